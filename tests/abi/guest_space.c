/*
 * Spaces of guests: which can be created, delegated to and assigned, and with what errors; permissions of guest memory,
 * which are in force when ctrl_pd returns; ports and MSRs, each of which exits unless it was delegated.
 *
 * SPDX-License-Identifier: MIT
 */

#include "capacity.h"
#include "guest.h"
#include "system.h"
#include "tap.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define KILLED_MS 300 /* so long nothing comes from a vCPU that has been killed */

static struct guest g;
static struct guest_cpu v;

/* -- Hypercalls -- */

static uint64_t weaker(uint64_t sel, unsigned pmm)
{
    uint64_t copy = SEL();

    must(ctrl_pd(sys.root.obj, sys.root.obj, sel, copy, 0, pmm, 0), "ctrl_pd");
    return copy;
}

static uint64_t page(void)
{
    return va_alloc(PAGE_SIZE, PAGE_SIZE);
}

static void create_errors(void)
{
    uint64_t no_events = sys.hip->sel_num - 0x200, sel = SEL(), empty = SEL(), ec = SEL(), sc = SEL();

    must(create_pd(empty, sys.root.pd, NOVA_PD_PD), "create_pd");
    tap_is(create_ec(sys.ec, sys.root.pd, page(), 0, 0, no_events, NOVA_EC_GUEST), NOVA_BAD_CAP,
           "create_ec: the selector is taken");
    tap_is(create_ec(sel, g.gst, page(), 0, 0, no_events, NOVA_EC_GUEST), NOVA_BAD_CAP,
           "create_ec: not a PD");
    tap_is(create_ec(sel, weaker(sys.root.pd, NOVA_PERM_ALL & ~NOVA_PD_CREATE_EC), page(), 0, 0, no_events,
                     NOVA_EC_GUEST),
           NOVA_BAD_CAP, "create_ec: no permission");
    tap_is(create_ec(sel, sys.root.pd, page(), sys.hip->cpu_num, 0, no_events, NOVA_EC_GUEST), NOVA_BAD_CPU,
           "create_ec: no such CPU");
    tap_is(create_ec(sel, empty, page(), 0, 0, no_events, NOVA_EC_GUEST), NOVA_ABORTED,
           "create_ec: no spaces");
    tap_is(create_ec(sel, sys.root.pd, 1UL << 47, 0, 0, no_events, NOVA_EC_GUEST),
           guest_vmx() ? NOVA_BAD_PAR : NOVA_SUCCESS, "create_ec: vAPIC page out of range");

    tap_is(create_ec(ec, sys.root.pd, page(), 0, 0, no_events, NOVA_EC_GUEST | NOVA_EC_OFFSET | NOVA_EC_FPU),
           NOVA_SUCCESS, "create_ec: all flags");
    tap_is(create_pt(SEL(), sys.root.pd, ec, 0x1000), NOVA_BAD_CAP, "create_pt: not for guests");
    tap_is(ctrl_ec(ec, NOVA_EC_STRONG), NOVA_SUCCESS, "ctrl_ec: before there is an SC");
    tap_is(create_sc(sc, sys.root.pd, weaker(ec, NOVA_EC_CTRL), NOVA_SCD(1UL, 10)), NOVA_BAD_CAP,
           "create_sc: no permission");
    tap_is(create_sc(sc, sys.root.pd, ec, NOVA_SCD(1UL, 10)), NOVA_SUCCESS, "create_sc: for a guest");
    tap_is(create_sc(SEL(), sys.root.pd, ec, NOVA_SCD(1UL, 10)), NOVA_ABORTED, "create_sc: it has one");
    tap_is(ctrl_ec(weaker(ec, NOVA_EC_BIND_SC), 0), NOVA_BAD_CAP, "ctrl_ec: no permission");
}

/* A PD with each number of pages, until it is enough for a guest space and a guest EC. */
static void out_of_memory(void)
{
    unsigned wrong = 0, limit = 0, status;
    uint64_t gst = SEL(), ec = SEL();

    do {
        struct pd pd = {.pd = SEL(), .obj = SEL(), .hst = SEL(), .pio = SEL()};
        struct hypercall_regs r = {.rdi = NOVA_HYPERCALL(NOVA_CREATE_PD, (uint64_t)NOVA_PD_LIMITED, pd.pd),
                                   .rsi = sys.root.pd,
                                   .rdx = limit++};
        must(hypercall(&r), "create_pd (limited)");
        status = create_pd(pd.obj, pd.pd, NOVA_PD_OBJ);
        status = status == NOVA_SUCCESS ? create_pd(pd.hst, pd.pd, NOVA_PD_HST) : status;
        status = status == NOVA_SUCCESS ? create_pd(pd.pio, pd.pd, NOVA_PD_PIO) : status;
        status = status == NOVA_SUCCESS ? create_pd(gst, pd.pd, NOVA_PD_GST) : status;
        if (status == NOVA_SUCCESS)
            status = create_ec(ec, pd.pd, 0x100000, sys.bsp, 0, 0, NOVA_EC_GUEST | NOVA_EC_FPU);
        wrong += status != NOVA_SUCCESS && status != NOVA_MEM_OBJ;
        ctrl_pd(sys.root.obj, sys.root.obj, gst, gst, 0, 0, 0);
        ctrl_pd(sys.root.obj, sys.root.obj, ec, ec, 0, 0, 0);
        ctrl_range(sys.root.obj, sys.root.obj, pd.pd, pd.pd, 4, 0, 0);
    } while (status != NOVA_SUCCESS && limit < 100);
    tap_ok(status == NOVA_SUCCESS && limit > 8, "a guest takes %u pages of kernel memory", limit - 1);
    tap_is(wrong, 0, "less memory: MEM_OBJ");
}

static void delegation_errors(void)
{
    const uint64_t from = (uint64_t)g.memory / PAGE_SIZE, last = 1UL << 36;

    tap_is(ctrl_pd(sys.root.hst, weaker(g.gst, NOVA_SPC_ASSIGN), from, 0x1000, 0, NOVA_PERM_ALL, 0),
           NOVA_BAD_CAP, "ctrl_pd: guest space without GRANT");
    tap_is(ctrl_pd(weaker(sys.root.hst, NOVA_SPC_GRANT), g.gst, from, 0x1000, 0, NOVA_PERM_ALL, 0),
           NOVA_BAD_CAP, "ctrl_pd: host space without TAKE");
    tap_is(ctrl_pd(g.gst, g.gst, 0, 0x1000, 0, NOVA_PERM_ALL, 0), NOVA_BAD_CAP, "ctrl_pd: guest to guest");
    tap_is(ctrl_pd(g.gst, sys.root.hst, 0, from, 0, NOVA_PERM_ALL, 0), NOVA_BAD_CAP,
           "ctrl_pd: guest to host");
    tap_is(ctrl_pd(sys.root.obj, g.gst, 0, 0, 0, NOVA_PERM_ALL, 0), NOVA_BAD_CAP,
           "ctrl_pd: objects to guest");
    tap_is(ctrl_pd(g.pio, g.gst, 0, 0, 0, NOVA_PERM_ALL, 0), NOVA_BAD_CAP, "ctrl_pd: ports to guest");
    tap_is(ctrl_pd(sys.root.hst, g.gst, from, 0x1001, 1, NOVA_PERM_ALL, 0), NOVA_BAD_PAR,
           "ctrl_pd: alignment");
    tap_is(ctrl_pd(sys.root.hst, g.gst, from, last, 0, NOVA_PERM_ALL, 0), NOVA_BAD_PAR,
           "ctrl_pd: behind the last guest-physical page");
    tap_is(ctrl_pd(sys.root.hst, g.gst, from, last - 1, 0, NOVA_PERM_ALL, 0), NOVA_SUCCESS,
           "ctrl_pd: the last guest-physical page");
    tap_is(ctrl_pd(sys.root.hst, g.gst, from, last - 1, 0, 0, 0), NOVA_SUCCESS, "ctrl_pd: none any more");
    tap_is(ctrl_pd(sys.nova_hst, g.gst, g.phys / PAGE_SIZE, 0x1000, 0, NOVA_PERM_ALL, 7), NOVA_BAD_PAR,
           "ctrl_pd: wrong memory attributes");
    tap_is(ctrl_pd(sys.nova_hst, g.gst, g.phys / PAGE_SIZE, 0x1000, 0, NOVA_PERM_ALL, NOVA_MAD_WC),
           NOVA_SUCCESS, "ctrl_pd: from the NOVA host space");
    tap_is(ctrl_pd(sys.root.hst, g.gst, from, 0x1000, 0, 0, 0), NOVA_SUCCESS, "ctrl_pd: none any more");
}

/* -- Assignment -- */

GUEST_PROGRAM(hlt, ".code64", "1: hlt; jmp 1b");

/* A fresh vCPU, whose reply to STARTUP names these spaces: it must be killed. */
static void refuse(const char *what, uint64_t gst, uint64_t pio, uint64_t msr, uint32_t mtd)
{
    struct guest_cpu cpu;

    guest_cpu_create(&cpu, &g, sys.bsp, 0);
    guest_long(&cpu, GUEST_CODE);
    cpu.state.sel_gst = gst;
    cpu.state.sel_pio = pio;
    cpu.state.sel_msr = msr;
    guest_reply(&cpu, cpu.mtd & ~mtd);
    tap_is((uint64_t)guest_wait(&cpu, KILLED_MS), GUEST_TIMEOUT, "assignment: %s", what);
    guest_cpu_destroy(&cpu);
}

static void assignment_errors(void)
{
    struct pd other;
    uint64_t other_gst = SEL(), other_pio = SEL(), other_msr = SEL();

    pd_create(&other);
    must(create_pd(other_gst, other.pd, NOVA_PD_GST), "create_pd");
    must(create_pd(other_pio, other.pd, NOVA_PD_PIO), "create_pd");
    must(create_pd(other_msr, other.pd, NOVA_PD_MSR), "create_pd");
    GUEST_LOAD(&g, hlt);
    refuse("none", g.gst, g.pio, g.msr, NOVA_MTD_SPACES);
    refuse("null", sys.hip->sel_num / 2, g.pio, g.msr, 0);
    refuse("selector out of range", g.gst, 1UL << 40, g.msr, 0);
    refuse("wrong types", g.msr, g.gst, g.pio, 0);
    refuse("not a space", g.gst, g.pio, sys.ec, 0);
    refuse("guest space without ASSIGN", weaker(g.gst, NOVA_SPC_GRANT), g.pio, g.msr, 0);
    refuse("port space without ASSIGN", g.gst, weaker(g.pio, NOVA_SPC_GRANT | NOVA_SPC_TAKE), g.msr, 0);
    refuse("MSR space without ASSIGN", g.gst, g.pio, weaker(g.msr, NOVA_SPC_GRANT | NOVA_SPC_TAKE), 0);
    refuse("guest space of another PD", other_gst, g.pio, g.msr, 0);
    refuse("port space of another PD", g.gst, other_pio, g.msr, 0);
    refuse("MSR space of another PD", g.gst, g.pio, other_msr, 0);
}

GUEST_PROGRAM(reads, ".code64", "1: mov 0x10000, %eax; hlt; jmp 1b");

/* Another guest space at another event; the first one may go meanwhile. */
static void reassignment(void)
{
    struct guest first, second;
    unsigned wrong = 0;

    guest_create(&first);
    guest_create(&second);
    *(uint32_t *)(void *)(first.memory + 0x10000) = 0x11111111;
    *(uint32_t *)(void *)(second.memory + 0x10000) = 0x22222222;
    for (unsigned i = 0; i < 2; i++) {
        v.guest = i ? &second : &first;
        GUEST_LOAD(v.guest, reads);
        guest_long(&v, GUEST_CODE);
    }
    v.state.sel_gst = first.gst;
    guest_is(&v, guest_run(&v, v.mtd), GUEST_HLT, "assignment: first");
    tap_is(v.state.gpr[0], 0x11111111, "assignment: memory of the first one");
    for (unsigned i = 1; i < 100; i++) {
        const struct guest *to = i % 2 ? &second : &first;
        v.state.sel_gst = to->gst;
        v.state.sel_pio = to->pio;
        v.state.sel_msr = to->msr;
        guest_skip(&v, 1, NOVA_MTD_SPACES);
        wrong += v.exit != GUEST_HLT || v.state.gpr[0] != (i % 2 ? 0x22222222 : 0x11111111);
    }
    tap_is(wrong, 0, "assignment: 99 times another one");
    guest_destroy(&second);
    sleep_us(20000);
    guest_is(&v, guest_skip(&v, 1, 0), GUEST_HLT, "assignment: no capability is left");
    tap_is(v.state.gpr[0], 0x22222222, "assignment: the memory is still there");
    v.guest = &g;
    guest_destroy(&first);
}

/* -- Permissions of memory -- */

/* At 1 GiB: one page each with one of these; they execute HLT where they can. */
#define FAR 0x40000000UL

GUEST_PROGRAM(do_read, ".code64", "mov $0x40000000, %ebx; mov (%rbx), %eax; hlt");
GUEST_PROGRAM(do_write, ".code64", "mov $0x40000000, %ebx; movb $0xf4, (%rbx); hlt");
GUEST_PROGRAM(do_execute, ".code64", "mov $0x40000000, %ebx; jmp *%rbx");

static enum guest_exit access(const char *start, const char *end)
{
    guest_load(&g, GUEST_CODE, start, end);
    guest_long(&v, GUEST_CODE);
    return guest_run(&v, v.mtd);
}

#define ACCESS(name) access(name, name##_end)

static void permissions(void)
{
    for (unsigned pmm = 0; pmm < 16; pmm++) {
        const bool w = pmm & NOVA_MEM_W, x = pmm & (NOVA_MEM_XU | NOVA_MEM_XS);
        const bool r = pmm; /* what can be written or executed can also be read */

        g.memory[0x20000] = 0xf4;
        guest_map(&g, FAR, g.memory + 0x20000, 0, pmm);
        tap_is((uint64_t)ACCESS(do_read), r ? GUEST_HLT : GUEST_MEMORY, "permissions 0x%x: read", pmm);
        tap_is((uint64_t)ACCESS(do_write), w ? GUEST_HLT : GUEST_MEMORY, "permissions 0x%x: write", pmm);
        tap_is((uint64_t)ACCESS(do_execute), x ? GUEST_HLT : GUEST_MEMORY, "permissions 0x%x: execute", pmm);
    }
    guest_map(&g, FAR, g.memory, 0, 0);

    /* A large page, then without a page in its middle. */
    guest_map(&g, FAR, g.memory, GUEST_ORDER, NOVA_PERM_ALL);
    guest_is(&v, ACCESS(do_read), GUEST_HLT, "large page");
    tap_is((uint32_t)v.state.gpr[0], *(uint32_t *)(void *)g.memory, "large page: its contents");
    guest_map(&g, FAR, g.memory, 0, 0);
    guest_is(&v, ACCESS(do_read), GUEST_MEMORY, "large page without a page");
    guest_map(&g, FAR, g.memory + 0x3000, 0, NOVA_MEM_R);
    guest_is(&v, ACCESS(do_read), GUEST_HLT, "another page in its place");
    guest_map(&g, FAR, g.memory, GUEST_ORDER, 0);
    guest_is(&v, ACCESS(do_read), GUEST_MEMORY, "no page any more");
}

/* -- Changes while the guest uses the memory, on this CPU or on another one -- */

GUEST_PROGRAM(counts, ".code64", "mov $0x40000000, %ebx; 1: incq (%rbx); jmp 1b");

/* The guest counts in one of two pages; the other one must not change. */
static void changes(unsigned cpu)
{
    volatile uint64_t *pages[2] = {(void *)(g.memory + 0x20000), (void *)(g.memory + 0x30000)};
    unsigned wrong = 0, still = 0, rounds = 200;
    struct guest_cpu w;

    guest_cpu_create(&w, &g, cpu, NOVA_EC_FPU);
    GUEST_LOAD(&g, counts);
    guest_long(&w, GUEST_CODE);
    w.state.rflags = 0x202;
    guest_map(&g, FAR, (const void *)pages[0], 0, NOVA_PERM_ALL);
    guest_reply(&w, w.mtd);
    for (unsigned i = 1; i <= rounds; i++) {
        uint64_t old, fresh = *pages[i % 2];
        guest_map(&g, FAR, (const void *)pages[i % 2], 0, NOVA_PERM_ALL);
        old = *pages[!(i % 2)];
        for (unsigned wait = 0; wait < 1000 && *pages[i % 2] == fresh; wait++)
            sleep_us(100);
        still += *pages[i % 2] == fresh;
        wrong += *pages[!(i % 2)] != old;
    }
    tap_is(wrong, 0, "CPU %u: %u changes of a page, no write to the old one", cpu, rounds);
    tap_is(still, 0, "CPU %u: the guest has used the new ones", cpu);
    guest_map(&g, FAR, g.memory, 0, 0);
    tap_is((uint64_t)guest_wait(&w, 20000), GUEST_MEMORY, "CPU %u: the page is gone", cpu);
    guest_cpu_destroy(&w);
}

/* -- Ports and MSRs, each of them -- */

GUEST_PROGRAM(all_ports, ".code64",
              "xor %edx, %edx; 1: inb %dx, %al; inc %edx; cmp $0x10000, %edx; jne 1b; hlt");
GUEST_PROGRAM(
    all_msrs, ".code64",
    "xor %ecx, %ecx; 1: rdmsr; inc %ecx; cmp $0x2000, %ecx; jne 2f; mov $0xc0000000, %ecx;"
    "2: cmp $0xc0002000, %ecx; jne 3f; mov $0xc0010000, %ecx; 3: cmp $0xc0012000, %ecx; jne 1b; hlt");
GUEST_PROGRAM(all_msr_writes, ".code64",
              "xor %eax, %eax; xor %edx, %edx; xor %ecx, %ecx; 1: wrmsr; inc %ecx; cmp $0x2000, %ecx; jne 2f;"
              "mov $0xc0000000, %ecx; 2: cmp $0xc0002000, %ecx; jne 3f; mov $0xc0010000, %ecx;"
              "3: cmp $0xc0012000, %ecx; jne 1b; hlt");

static unsigned seen, out_of_order;
static uint64_t expected;

/* Exits and #GPs are skipped, in the handler itself: both instructions are short. */
static uint32_t skip(struct guest_cpu *cpu, struct nova_arch_state *s)
{
    uint64_t number = cpu->exit == GUEST_IO ? s->gpr[2] : s->gpr[1];

    if (cpu->exit != GUEST_IO && cpu->exit != GUEST_RDMSR && cpu->exit != GUEST_WRMSR)
        return GUEST_STOP;
    out_of_order += (uint32_t)number != (uint32_t)expected;
    expected = number == 0x1fff ? 0xc0000000 : number == 0xc0001fff ? 0xc0010000 : number + 1;
    if (cpu->exit == GUEST_IO)
        expected = number + 1;
    seen++;
    s->rip += cpu->exit == GUEST_IO ? 1 : 2;
    return NOVA_MTD_RIP;
}

static void each(const char *what, const char *start, const char *end, unsigned count)
{
    guest_load(&g, GUEST_CODE, start, end);
    guest_long(&v, GUEST_CODE);
    seen = out_of_order = 0;
    expected = 0;
    v.on_exit = skip;
    guest_reply(&v, v.mtd);
    guest_is(&v, guest_wait(&v, 120000), GUEST_HLT, what);
    v.on_exit = 0;
    tap_is(seen, count, "%s: each one exits", what);
    tap_is(out_of_order, 0, "%s: one after the other", what);
}

GUEST_PROGRAM(port_80, ".code64", "inb $0x80, %al; hlt");
GUEST_PROGRAM(port_7f, ".code64", "inb $0x7f, %al; hlt");
GUEST_PROGRAM(port_81, ".code64", "inb $0x81, %al; hlt");
GUEST_PROGRAM(port_80_word, ".code64", "inw $0x80, %ax; hlt");
GUEST_PROGRAM(port_7f_word, ".code64", "inw $0x7f, %ax; hlt");
GUEST_PROGRAM(read_msr, ".code64", "mov $0x174, %ecx; rdmsr; hlt");
GUEST_PROGRAM(write_msr, ".code64", "mov $0x174, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr; hlt");
GUEST_PROGRAM(next_msr, ".code64", "mov $0x175, %ecx; rdmsr; hlt");

static void delegated(void)
{
    must(ctrl_pd(sys.nova_pio, g.pio, 0x80, 0x80, 0, NOVA_PIO_A, 0), "ctrl_pd");
    guest_is(&v, ACCESS(port_80), GUEST_HLT, "port, delegated");
    guest_is(&v, ACCESS(port_7f), GUEST_IO, "port below");
    guest_is(&v, ACCESS(port_81), GUEST_IO, "port above");
    guest_is(&v, ACCESS(port_80_word), GUEST_IO, "that port and the one above");
    guest_is(&v, ACCESS(port_7f_word), GUEST_IO, "that port and the one below");
    must(ctrl_pd(sys.nova_pio, g.pio, 0x80, 0x80, 0, 0, 0), "ctrl_pd");
    guest_is(&v, ACCESS(port_80), GUEST_IO, "port, not any more");

    must(ctrl_pd(sys.nova_msr, g.msr, 0x174, 0x174, 0, NOVA_MSR_R, 0), "ctrl_pd");
    guest_is(&v, ACCESS(read_msr), GUEST_HLT, "MSR, delegated for reading");
    guest_is(&v, ACCESS(write_msr), GUEST_WRMSR, "but not for writing");
    guest_is(&v, ACCESS(next_msr), GUEST_RDMSR, "nor the next one");
    must(ctrl_pd(sys.nova_msr, g.msr, 0x174, 0x174, 0, NOVA_MSR_W, 0), "ctrl_pd");
    guest_is(&v, ACCESS(read_msr), GUEST_RDMSR, "MSR, delegated for writing");
    guest_is(&v, ACCESS(write_msr), GUEST_HLT, "for this");
    must(ctrl_pd(sys.nova_msr, g.msr, 0x174, 0x174, 0, 0, 0), "ctrl_pd");
    guest_is(&v, ACCESS(write_msr), GUEST_WRMSR, "MSR, not any more");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    if (!guest_possible()) {
        tap_skip("no virtualization", "spaces of guests");
        return;
    }
    guest_create(&g);
    guest_cpu_create(&v, &g, sys.bsp, NOVA_EC_FPU);
    create_errors();
    out_of_memory();
    delegation_errors();
    assignment_errors();
    reassignment();
    permissions();
    for (unsigned cpu = 0; cpu < sys.cpus && cpu < 2; cpu++)
        changes(cpu);
    each("ports", all_ports, all_ports_end, 0x10000);
    each("MSRs, reading", all_msrs, all_msrs_end, 0x6000);
    each("MSRs, writing", all_msr_writes, all_msr_writes_end, 0x6000);
    delegated();
    guest_cpu_destroy(&v);
    guest_destroy(&g);
}
