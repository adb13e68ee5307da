/*
 * Guests of test images.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"

#include "fault.h"
#include "tap.h"

#define EVENTS (NOVA_EVT_GST_ARCH + 2)
#define EXIT_MS 20000
#define SPARE 64

/* Blocks of event selectors that are not in use any more: each is a page of the object space. */
static uint64_t spare[SPARE];
static unsigned spares;

/* Numbers of the exits: SVM, VMX. */
static const struct {
    uint16_t svm, vmx;
    const char *name;
} exits[] = {
    [GUEST_TIMEOUT] = {0xffff, 0xffff, "time-out"},
    [GUEST_STARTUP] = {256, 256, "STARTUP"},
    [GUEST_RECALL] = {257, 257, "RECALL"},
    [GUEST_CPUID] = {0x72, 10, "CPUID"},
    [GUEST_HLT] = {0x78, 12, "HLT"},
    [GUEST_IO] = {0x7b, 30, "I/O"},
    [GUEST_RDMSR] = {0x7c, 31, "RDMSR"},
    [GUEST_WRMSR] = {0x7c, 32, "WRMSR"},
    [GUEST_MEMORY] = {0xfc, 48, "nested page fault"},
    [GUEST_WINDOW] = {0x64, 7, "interrupt window"},
    [GUEST_NMI_WINDOW] = {0x74, 8, "NMI window"},
    [GUEST_CALL] = {0x81, 18, "VMMCALL"},
    [GUEST_SHUTDOWN] = {0x7f, 2, "triple fault"},
    [GUEST_INVALID] = {0xfd, 33, "invalid state"},
    [GUEST_XSETBV] = {0x8d, 55, "XSETBV"},
    [GUEST_INVD] = {0x76, 13, "INVD"},
    [GUEST_CR] = {0x65, 28, "control register"},
    [GUEST_EXCEPTION] = {0xffff, 0, "exception"},
    [GUEST_PAUSE] = {0x77, 40, "PAUSE"},
    [GUEST_RDPMC] = {0x6f, 15, "RDPMC"},
    [GUEST_TASK] = {0x7d, 9, "task switch"},
    [GUEST_VIRT] = {0xffff, 0xffff, "virtualization instruction"},
    [GUEST_OTHER] = {0xffff, 0xffff, "other exit"},
};

PORTAL_ENTRY(guest_entry, on_event);

bool guest_possible(void)
{
    return sys.hip->features & (NOVA_FEATURE_VMX | NOVA_FEATURE_SVM);
}

bool guest_vmx(void)
{
    return sys.hip->features & NOVA_FEATURE_VMX;
}

bool guest_tcg(void)
{
    uint32_t a = 0x40000000, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return b == 0x54474354 && c == 0x43544743 && d == 0x47435447; /* TCGTCGTCGTCG */
}

const char *guest_name(enum guest_exit exit)
{
    return exits[exit].name;
}

bool guest_is(const struct guest_cpu *v, enum guest_exit got, enum guest_exit want, const char *what)
{
    if (got != want)
        tap_diag("event 0x%x RIP 0x%lx qualifications 0x%lx 0x%lx", v->event, v->state.rip, v->state.qual[0],
                 v->state.qual[2]);
    return tap_ok(got == want, "%s: %s, got %s", what, guest_name(want), guest_name(got));
}

enum guest_exit guest_exit_of(unsigned event, const struct nova_arch_state *state, unsigned *vector)
{
    *vector = 0xff;
    if (!guest_vmx()) {
        if (event == 0x7c)
            return state->qual[0] & 1 ? GUEST_WRMSR : GUEST_RDMSR;
        if (event >= 0x40 && event < 0x60) {
            *vector = event - 0x40;
            return GUEST_EXCEPTION;
        }
        if (event < 0x20)
            return GUEST_CR;
        if ((event >= 0x80 && event <= 0x86 && event != 0x81) || event == 0x7a)
            return GUEST_VIRT;
    } else {
        if (event == 0)
            *vector = state->inj_info & 0xff;
        if (event >= 19 && event <= 27)
            return GUEST_VIRT;
    }
    for (unsigned i = 0; i < sizeof(exits) / sizeof(*exits); i++)
        if (event == (guest_vmx() ? exits[i].vmx : exits[i].svm))
            return (enum guest_exit)i;
    return GUEST_OTHER;
}

/* In the handler of a vCPU. */
static uint32_t on_event(uint64_t pid, uint32_t mtd)
{
    struct thread *self = thread_self();
    struct guest_cpu *v = self->arg;
    uint32_t reply = GUEST_STOP;

    (void)mtd;
    v->event = (unsigned)pid;
    v->exit = guest_exit_of((unsigned)pid, &self->utcb->arch, &v->vector);
    v->exits = v->exits + 1;
    if (v->on_exit)
        reply = v->on_exit(v, &self->utcb->arch);
    if (!(reply & GUEST_STOP))
        return reply;
    v->state = self->utcb->arch;
    sm_up(v->stopped);
    sm_down(v->resume);
    self->utcb->arch = v->state;
    return v->mtd;
}

void guest_create(struct guest *g)
{
    *g = (struct guest){.gst = SEL(), .pio = SEL(), .msr = SEL(), .phys = phys_alloc(GUEST_ORDER)};
    must(create_pd(g->gst, sys.root.pd, NOVA_PD_GST), "create_pd (guest space)");
    must(create_pd(g->pio, sys.root.pd, NOVA_PD_PIO), "create_pd (port space)");
    must(create_pd(g->msr, sys.root.pd, NOVA_PD_MSR), "create_pd (MSR space)");
    if (!g->phys)
        tap_bail("no memory for a guest");
    g->memory = map_phys(g->phys, GUEST_SIZE, NOVA_MEM_R | NOVA_MEM_W | NOVA_MEM_XU, NOVA_MAD_WB);
    __builtin_memset(g->memory, 0, GUEST_SIZE);
    guest_map(g, 0, g->memory, GUEST_ORDER, NOVA_PERM_ALL);
}

void guest_map(const struct guest *g, uint64_t gpa, const void *from, unsigned order, unsigned pmm)
{
    must(ctrl_range(sys.root.hst, g->gst, (uint64_t)from / PAGE_SIZE, gpa / PAGE_SIZE, 1UL << order, pmm, 0),
         "mapping guest memory");
}

void guest_portals(struct guest_cpu *v, unsigned cpu)
{
    v->handler = local_create(cpu);
    v->handler->arg = v;
    v->stopped = sm_create(0);
    v->resume = sm_create(0);
    v->events = spares ? spare[--spares] : sel_alloc(512, 512);
    for (unsigned i = 0; i < EVENTS; i++)
        portal_create_at(v->events + i, v->handler, guest_entry, i, GUEST_ALL_OUT);
}

/* Where its vAPIC page goes: as there is one for each block of event selectors, they need one page table. */
static uint64_t apic_page(const struct guest_cpu *v)
{
    static uint64_t window;

    if (!window)
        window = va_alloc(512 * PAGE_SIZE, 512 * PAGE_SIZE);
    return window + v->events / 512 * PAGE_SIZE;
}

void guest_cpu_create(struct guest_cpu *v, struct guest *g, unsigned cpu, unsigned flags)
{
    *v = (struct guest_cpu){.guest = g, .ec = SEL(), .sc = SEL()};
    guest_portals(v, cpu);
    must(create_ec(v->ec, sys.root.pd, apic_page(v), cpu, 0, v->events, NOVA_EC_GUEST | flags),
         "create_ec (guest)");
    must(create_sc(v->sc, sys.root.pd, v->ec, NOVA_SCD(10UL, 10)), "create_sc (guest)");
    if (guest_wait(v, EXIT_MS) != GUEST_STARTUP)
        tap_bail("%s (event %u) instead of STARTUP", guest_name(v->exit), v->event);
    if (guest_vmx()) /* what the CPU can: RDTSCP, INVPCID */
        v->controls_sec = (uint32_t)v->state.gpr[1] & (1U << 3 | 1U << 12);
}

static void drop(uint64_t sel, unsigned order)
{
    ctrl_pd(sys.root.obj, sys.root.obj, sel, sel, order, 0, 0);
    if (!order)
        sel_free(sel);
}

void guest_cpu_destroy(struct guest_cpu *v)
{
    drop(v->sc, 0);
    drop(v->ec, 0);
    drop(v->events, 9);
    thread_free(v->handler);
    /* Until its UTCB has gone, the handler may still work, with `v`. */
    for (unsigned i = 0; i < 2000 && try_load((uint64_t)v->handler->utcb) == NO_FAULT; i++)
        sleep_us(500);
    if (spares < SPARE)
        spare[spares++] = v->events;
    drop(v->stopped, 0);
    drop(v->resume, 0);
}

void guest_destroy(struct guest *g)
{
    drop(g->gst, 0);
    drop(g->pio, 0);
    drop(g->msr, 0);
}

void guest_load(const struct guest *g, uint64_t gpa, const char *start, const char *end)
{
    __builtin_memcpy(g->memory + gpa, start, (size_t)(end - start));
}

/* State after a reset, Intel SDM volume 3, table 10-1, as far as both vendors agree, but for CS. */
static void reset(struct guest_cpu *v)
{
    struct nova_arch_state *s = &v->state;
    const struct nova_segment data = {.ar = 0x93, .limit = 0xffff};

    *s = (struct nova_arch_state){
        .rflags = 2,
        .ctrl_pri = v->controls_pri,
        .ctrl_sec = v->controls_sec,
        .cs = {.ar = 0x9b, .limit = 0xffff},
        .ss = data,
        .ds = data,
        .es = data,
        .fs = data,
        .gs = data,
        .tr = {.ar = 0x8b, .limit = 0xffff},
        .ldtr = {.ar = 0x82, .limit = 0xffff},
        .gdtr = {.limit = 0xffff},
        .idtr = {.limit = 0xffff},
        .cr0 = 0x10,
        .dr7 = 0x400,
        .xcr0 = 1,
        .pat = 0x0007040600070406,
        .sel_gst = v->guest->gst,
        .sel_pio = v->guest->pio,
        .sel_msr = v->guest->msr,
    };
    if (guest_vmx()) /* of the fixed bits, unrestricted guests may clear only PE and PG */
        s->cr0 |= 0x20;
    v->mtd = GUEST_ALL_IN;
}

void guest_real(struct guest_cpu *v, uint64_t ip)
{
    reset(v);
    v->state.rip = ip;
    v->state.gpr[4] = GUEST_STACK;
}

/* 64-bit mode: the first 2 GiB mapped as they are, for users as well; a GDT, a TSS, an empty IDT. */
void guest_long(struct guest_cpu *v, uint64_t rip)
{
    struct nova_arch_state *s = &v->state;
    uint64_t *tables = (uint64_t *)(void *)(v->guest->memory + GUEST_TABLES);
    uint64_t *gdt = (uint64_t *)(void *)(v->guest->memory + GUEST_GDT);
    const struct nova_segment data = {.sel = GUEST_DS, .ar = 0xc93, .limit = 0xffffffff};

    reset(v);
    tables[0] = (GUEST_TABLES + 0x1000) | 7;
    for (uint64_t gib = 0; gib < 2; gib++) {
        tables[512 + gib] = (GUEST_TABLES + 0x2000 + gib * 0x1000) | 7;
        for (uint64_t i = 0; i < 512; i++)
            tables[1024 + gib * 512 + i] = gib << 30 | i << 21 | 0xe7;
    }
    gdt[GUEST_CS / 8] = 0x00af9b000000ffff;
    gdt[GUEST_DS / 8] = 0x00cf93000000ffff;
    gdt[GUEST_USER_CS / 8] = 0x00affb000000ffff;
    gdt[GUEST_USER_DS / 8] = 0x00cff3000000ffff;
    gdt[GUEST_TR / 8] = 0x00008b0000000067 | (uint64_t)GUEST_TSS << 16;
    gdt[GUEST_TR / 8 + 1] = 0;
    *(uint64_t *)(void *)(v->guest->memory + GUEST_TSS + 4) = GUEST_STACK; /* RSP0 */
    s->cs = (struct nova_segment){.sel = GUEST_CS, .ar = 0xa9b, .limit = 0xffffffff};
    s->ss = s->ds = s->es = s->fs = s->gs = data;
    s->tr = (struct nova_segment){.sel = GUEST_TR, .ar = 0x8b, .limit = 0x67, .base = GUEST_TSS};
    s->ldtr = (struct nova_segment){.ar = 0x1000};
    s->gdtr = (struct nova_segment){.limit = GUEST_TR + 15, .base = GUEST_GDT};
    s->idtr = (struct nova_segment){.limit = 0xfff, .base = GUEST_IDT};
    s->cr0 = 0x80000031;
    s->cr3 = GUEST_TABLES;
    s->cr4 = 0x20;
    s->efer = 0x501;
    s->rip = rip;
    s->gpr[4] = GUEST_STACK;
}

void guest_reply(struct guest_cpu *v, uint32_t mtd)
{
    v->mtd = mtd;
    sm_up(v->resume);
}

enum guest_exit guest_wait(struct guest_cpu *v, uint64_t ms)
{
    return sm_down_ms(v->stopped, ms) == NOVA_SUCCESS ? v->exit : GUEST_TIMEOUT;
}

enum guest_exit guest_run(struct guest_cpu *v, uint32_t mtd)
{
    guest_reply(v, mtd);
    return guest_wait(v, EXIT_MS);
}

enum guest_exit guest_skip(struct guest_cpu *v, unsigned length, uint32_t mtd)
{
    v->state.rip += length;
    return guest_run(v, mtd | NOVA_MTD_RIP);
}
