/*
 * Corners of the interface where kernels are known to differ: what the specification says there.
 *
 * These tests stand apart from the images of their subjects, because those also pass on the
 * existing NOVA kernel.
 *
 * SPDX-License-Identifier: MIT
 */

#include "fault.h"
#include "registers.h"
#include "system.h"
#include "tap.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static uint64_t done, no_events, next_utcb = UTCB_WINDOW + 0x1000000;

static uint64_t utcb_page(void)
{
    next_utcb += PAGE_SIZE;
    return next_utcb - PAGE_SIZE;
}

PORTAL_ENTRY(echo_entry, on_echo);

static uint32_t on_echo(uint64_t pid, uint32_t mtd)
{
    thread_self()->utcb->word[0] = pid;
    return mtd & 0x1ff;
}

/* -- Selectors do not wrap -- */

static void selectors(void)
{
    const uint64_t alias[] = {1UL << 32, 1UL << 40, (1UL << 56) - sys.hip->sel_num, 1UL << 18, 1UL << 24};
    uint64_t sm = sm_create(1), space = sys.root.obj, time, addr, data;
    unsigned wrong = 0;

    for (unsigned i = 0; i < COUNT(alias); i++) {
        uint64_t a = alias[i];
        uint32_t mtd = 0;

        if (a < sys.hip->sel_num)
            continue;
        wrong += sm_up((a + sm) & ~(0xffUL << 56)) != NOVA_BAD_CAP;
        wrong += ctrl_sc(a + sys.sc, &time) != NOVA_BAD_CAP;
        wrong += ctrl_ec(a + sys.ec, 0) != NOVA_BAD_CAP;
        wrong += create_sm(a + SEL(), sys.root.pd, 0) != NOVA_BAD_CAP;
        wrong += create_sm(SEL(), a + sys.root.pd, 0) != NOVA_BAD_CAP;
        wrong += ctrl_pd(a + space, space, 0x700, 0x700, 0, 0, 0) != NOVA_BAD_CAP;
        wrong += ctrl_pd(space, a + space, 0x700, 0x700, 0, 0, 0) != NOVA_BAD_CAP;
        wrong += ipc_call(a, &mtd, 0) != NOVA_BAD_CAP;
        wrong += assign_int(a + sm, 0, 0, NOVA_INT_MASK, &addr, &data) != NOVA_BAD_CAP;
    }
    tap_is(wrong, 0, "selectors beyond SEL_NUM do not wrap to others");
}

/* -- One SC for each global thread (2.2.1: "may have an SC bound to it") -- */

static void one_sc(void)
{
    uint64_t ec = SEL();

    must(create_ec(ec, sys.root.pd, utcb_page(), 0, 0, no_events, NOVA_EC_GLOBAL), "create_ec");
    tap_is(create_sc(SEL(), sys.root.pd, ec, NOVA_SCD(1UL, 1)), NOVA_SUCCESS, "create_sc");
    tap_is(create_sc(SEL(), sys.root.pd, ec, NOVA_SCD(1UL, 1)), NOVA_ABORTED,
           "create_sc: a second one for that EC");
    tap_is(create_sc(SEL(), sys.root.pd, sys.ec, NOVA_SCD(1UL, 1)), NOVA_ABORTED,
           "create_sc: a second one for root");
}

/* -- Status of calls with the timeout flag -- */

PORTAL_ENTRY(die_entry, on_die);

static uint32_t on_die(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    __asm__ volatile("ud2");
    return mtd;
}

static void call_status(void)
{
    const struct thread *mortal = thread_create(&sys.root, sys.bsp, no_events, 0);
    uint64_t good = portal_create(local_create(sys.bsp), echo_entry, 0, 0);
    uint64_t deadly = portal_create(mortal, die_entry, 0, 0);
    uint32_t mtd = 0;

    tap_is(ipc_call(good, &mtd, NOVA_CALL_TIMEOUT), NOVA_SUCCESS, "timeout flag, free callee");
    tap_is(ipc_call(deadly, &mtd, NOVA_CALL_TIMEOUT), NOVA_ABORTED, "timeout flag, callee that dies");
    tap_is(ipc_call(deadly, &mtd, NOVA_CALL_TIMEOUT), NOVA_ABORTED, "timeout flag, dead callee");
    mtd = 0xfffffe05;
    tap_is(ipc_call(good, &mtd, 0), NOVA_SUCCESS, "reserved bits of the MTD in a call");
    tap_is(mtd & 0x1ff, 5, "have no effect");
}

/* -- A recall of itself ends in the registers of the calling convention -- */

static void recall_self(unsigned flags, const char *name)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < REGISTERS; i++)
        registers_in[i] = 0x1111111111111111UL * (i + 1);
    registers_in[RFLAGS] = 0xad7;
    registers_in[RDI] = NOVA_HYPERCALL(NOVA_CTRL_EC, (uint64_t)flags, sys.ec);
    registers_syscall();
    registers_in[RCX] = registers_in[RIP] + 2;
    registers_in[R11] = registers_in[RFLAGS] = 0x202;
    for (unsigned i = 0; i < RIP; i++)
        if (i != RDI && registers_out[i] != registers_in[i]) {
            wrong++;
            tap_diag("%s is %lx, want %lx", register_name[i], registers_out[i], registers_in[i]);
        }
    tap_is((registers_out[RDI] & 0xff) + wrong, 0, "registers after a %s recall of itself", name);
}

/* -- State of events -- */

static struct nova_arch_state seen;
static unsigned events;
static uint64_t reply_rflags;

PORTAL_ENTRY(observer_entry, on_event);

static uint32_t on_event(uint64_t pid, uint32_t mtd)
{
    struct nova_arch_state *s = &thread_self()->utcb->arch;

    (void)mtd;
    seen = *s;
    (void)pid;
    if (events++) /* the second one is the consequence of the first reply */
        return NOVA_MTD_POISON;
    s->rip += 2;
    s->rflags = reply_rflags;
    return NOVA_MTD_RIP | NOVA_MTD_RFLAGS;
}

PORTAL_ENTRY(ud2_entry, on_ud2);

static uint32_t on_ud2(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    (void)mtd;
    for (unsigned i = 0; i < REGISTERS; i++)
        registers_in[i] = i;
    registers_in[RFLAGS] = 0x202;
    registers_ud2();
    return 0;
}

/* A victim raises #UD; the reply is set by the globals above. Status of the call. */
static unsigned raise_ud2(void)
{
    const uint32_t all = NOVA_MTD_GPR_0_7 | NOVA_MTD_RFLAGS | NOVA_MTD_RIP | NOVA_MTD_QUAL;
    uint64_t base = sel_alloc(SEL_EVENT_BLOCK, SEL_EVENT_BLOCK);
    const struct thread *victim = thread_create(&sys.root, sys.bsp, base, 0);
    const struct thread *observer = local_create(sys.bsp);
    uint32_t mtd = 0;

    for (unsigned i = 0; i < NOVA_EVT_HST_ARCH; i++)
        portal_create_at(base + i, observer, observer_entry, i, all);
    events = 0;
    return ipc_call(portal_create(victim, ud2_entry, 0, 0), &mtd, 0);
}

static void system_flags(void)
{
    const uint64_t bits = 1UL << 8 | 1UL << 9 | 3UL << 12 | 1UL << 14 | 1UL << 16 | 1UL << 17 | 1UL << 18 |
                          1UL << 19 | 1UL << 20 | 1UL << 21;

    reply_rflags = bits;
    tap_is(raise_ud2(), NOVA_SUCCESS, "all system flags in a reply");
    tap_is(registers_out[RFLAGS], 0x202, "have no effect");
    tap_is(events, 1, "and TF among them does not step");
    reply_rflags = 0x202;
    raise_ud2();
    tap_is(registers_out[RFLAGS], 0x202, "AC does not appear from nowhere");
    tap_is(seen.qual[0] | seen.qual[1] | seen.qual[2], 0, "no qualification of an exception that has none");
}

/* -- Time stamps of running SCs -- */

static void times(void)
{
    uint64_t before = 0, after = 0, start = tsc();

    ctrl_sc(sys.sc, &before);
    while (tsc() - start < ticks(3000))
        continue;
    ctrl_sc(sys.sc, &after);
    tap_ok(after - before >= ticks(2900), "the time of the running SC includes the present (%lu of %lu)",
           after - before, ticks(3000));
    if (sys.cpus == 1)
        return;

    unsigned other = (sys.bsp + 1) % sys.cpus;
    uint64_t idle = SEL();

    must(ctrl_pd(sys.nova_obj, sys.root.obj, other, idle, 0, NOVA_PERM_ALL, 0), "taking an idle SC");
    sleep_us(10000);
    ctrl_sc(idle, &before);
    sleep_us(10000);
    ctrl_sc(idle, &after);
    tap_ok(after - before >= ticks(5000), "and that of an idle CPU too (%lu of %lu)", after - before,
           ticks(10000));
}

/* -- The last port of a port space -- */

static void last_port(void)
{
    must(ctrl_pd(sys.nova_pio, sys.root.pio, 0xffff, 0xffff, 0, NOVA_PIO_A, 0), "ctrl_pd");
    tap_is(try_in(0xffff), NO_FAULT, "port 0xffff can be delegated");
    must(ctrl_pd(sys.nova_pio, sys.root.pio, 0xffff, 0xffff, 0, 0, 0), "ctrl_pd");
    tap_is(try_in(0xffff), VECTOR_GP, "and revoked");
}

/* -- FS and GS base belong to the EC -- */

static void bases_thread(void *arg)
{
    uint64_t *result = arg, fs, gs;

    __asm__ volatile("rdfsbase %0; rdgsbase %1" : "=r"(fs), "=r"(gs));
    result[0] = fs | gs;
    __asm__ volatile("wrfsbase %0; wrgsbase %1" : : "r"(0x1111000UL), "r"(0x2222000UL));
    sleep_us(1000);
    __asm__ volatile("rdfsbase %0; rdgsbase %1" : "=r"(fs), "=r"(gs));
    result[1] = fs;
    result[2] = gs;
    sm_up(done);
}

static void segment_bases(void)
{
    uint32_t eax = 7, ebx, ecx = 0, edx;
    uint64_t result[2][3], fs, gs;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    if (!(ebx & 1)) {
        tap_skip("no FSGSBASE", "FS and GS base");
        return;
    }
    if (!tap_is(try_instruction("rdfsbase %%rax"), NO_FAULT, "FS and GS base can be used"))
        return;
    __asm__ volatile("wrfsbase %0; wrgsbase %1" : : "r"(0x3333000UL), "r"(0x4444000UL));
    for (unsigned i = 0; i < 2; i++)
        global_start(sys.bsp, 10, bases_thread, result[i]);
    for (unsigned i = 0; i < 2; i++)
        must(sm_down_ms(done, 5000), "waiting for a thread");
    __asm__ volatile("rdfsbase %0; rdgsbase %1" : "=r"(fs), "=r"(gs));
    tap_ok(fs == 0x3333000 && gs == 0x4444000, "FS and GS base stay with the main thread");
    for (unsigned i = 0; i < 2; i++) {
        tap_is(result[i][0], 0, "thread %u: they are 0 at first", i);
        tap_ok(result[i][1] == 0x1111000 && result[i][2] == 0x2222000, "thread %u: and stay with it", i);
    }
    __asm__ volatile("wrfsbase %0; wrgsbase %0" : : "r"(0UL));
}

/* -- UMIP: no addresses of kernel tables for user code -- */

static void umip(void)
{
    uint32_t eax = 7, ebx, ecx = 0, edx;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    if (!(ecx & 1U << 2)) {
        tap_skip("no UMIP", "SGDT, SIDT, SLDT, STR, SMSW");
        return;
    }
    tap_is(try_instruction("sgdt -64(%%rsp)"), VECTOR_GP, "SGDT");
    tap_is(try_instruction("sidt -64(%%rsp)"), VECTOR_GP, "SIDT");
    tap_is(try_instruction("sldt %%ax"), VECTOR_GP, "SLDT");
    tap_is(try_instruction("str %%ax"), VECTOR_GP, "STR");
    tap_is(try_instruction("smsw %%ax"), VECTOR_GP, "SMSW");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)magic;
    (void)mbi;
    no_events = hip->sel_num - 0x80;
    done = sm_create(0);
    selectors();
    one_sc();
    call_status();
    recall_self(0, "weak");
    recall_self(NOVA_EC_STRONG, "strong");
    system_flags();
    times();
    last_port();
    segment_bases();
    umip();
}
