/*
 * Guest spaces while guests run, with small and with large pages: memory that is taken away, replaced or write-protected is
 * out of reach when ctrl_pd returns, also if the guest did not run meanwhile, and another one on its CPU did.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"
#include "system.h"
#include "tap.h"

#define PAGE_GPA 0x40000000UL
#define ROUNDS 30

static struct guest g;
static struct guest_cpu v[2];

/* Counts in the page, for ever. */
GUEST_PROGRAM(count, ".code64", "mov $0x40000000, %edi; 1: incq (%rdi); jmp 1b");
/* Stores what it reads there, in RBX. */
GUEST_PROGRAM(read, ".code64", "mov $0x40000000, %edi; mov (%rdi), %rbx; cpuid; mov (%rdi), %rbx; hlt");

static bool grows(volatile uint64_t *counter)
{
    uint64_t before = *counter, end = tsc() + ticks(5000000);

    while (*counter == before)
        if (tsc() > end)
            return false;
    return true;
}

/* A guest on the last CPU counts in a page; this one takes it away, gives another one, makes that read-only. */
static void revoked(unsigned order)
{
    uint64_t size = PAGE_SIZE << order, phys = phys_alloc(order + 1), va = va_alloc(2 * size, size);
    volatile uint64_t *page[2] = {(void *)va, (void *)(va + size)};
    unsigned late = 0, wrong = 0, dead = 0;

    must(ctrl_range(sys.nova_hst, sys.root.hst, phys / PAGE_SIZE, va / PAGE_SIZE, 2UL << order,
                    NOVA_MEM_R | NOVA_MEM_W, NOVA_MAD_WB),
         "mapping memory");
    *page[0] = *page[1] = 0;
    GUEST_LOAD(&g, count);
    guest_long(&v[0], GUEST_CODE);
    v[0].state.rflags |= 0x200; /* IF: without, Bochs' SVM lets the host's interrupts wait, too */
    guest_map(&g, PAGE_GPA, (void *)page[0], order, NOVA_MEM_R | NOVA_MEM_W);
    guest_reply(&v[0], v[0].mtd);
    for (unsigned i = 0; i < ROUNDS; i++) {
        volatile uint64_t *old = page[i % 2], *new = page[(i + 1) % 2];
        uint64_t value;

        dead += !grows(old);
        if (i % 3 == 0) { /* nothing instead */
            guest_map(&g, PAGE_GPA, (void *)old, order, 0);
            value = *old;
            wrong += guest_wait(&v[0], 20000) != GUEST_MEMORY || v[0].state.qual[2] != PAGE_GPA;
            guest_map(&g, PAGE_GPA, (void *)new, order, NOVA_MEM_R | NOVA_MEM_W);
            guest_reply(&v[0], 0);
        } else if (i % 3 == 1) { /* another page instead */
            guest_map(&g, PAGE_GPA, (void *)new, order, NOVA_MEM_R | NOVA_MEM_W);
            value = *old;
        } else { /* the same, but read-only */
            guest_map(&g, PAGE_GPA, (void *)old, order, NOVA_MEM_R);
            value = *old;
            wrong += guest_wait(&v[0], 20000) != GUEST_MEMORY || v[0].state.qual[2] != PAGE_GPA;
            guest_map(&g, PAGE_GPA, (void *)new, order, NOVA_MEM_R | NOVA_MEM_W);
            guest_reply(&v[0], 0);
        }
        dead += !grows(new);
        late += *old != value;
    }
    tap_is(late, 0, "order %u: the guest never writes to a page that it has lost", order);
    tap_is(wrong, 0, "order %u: it faults instead", order);
    tap_is(dead, 0, "order %u: it goes on with the next one", order);
    ctrl_ec(v[0].ec, 0);
    tap_is((uint64_t)guest_wait(&v[0], 20000), GUEST_RECALL, "order %u: recall", order);
    guest_map(&g, PAGE_GPA, (void *)page[0], order, 0);
}

/* Two guests on one CPU in turn: a change while one of them does not run, and while another guest space does. */
static void in_between(void)
{
    volatile uint64_t *page = page_alloc(2);
    struct guest other;
    unsigned wrong = 0;

    guest_create(&other);
    guest_cpu_create(&v[1], &other, sys.cpus - 1, NOVA_EC_FPU);
    page[0] = 1;
    page[PAGE_SIZE / 8] = 2;
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned n = 0; n < 2; n++) {
            const struct guest *guest = n ? &other : &g;
            GUEST_LOAD(guest, read);
            guest_long(&v[n], GUEST_CODE);
            guest_map(guest, PAGE_GPA, (char *)page + n * PAGE_SIZE, 0, NOVA_MEM_R);
            wrong += guest_run(&v[n], v[n].mtd) != GUEST_CPUID || v[n].state.gpr[3] != n + 1;
        }
        for (unsigned n = 0; n < 2; n++)
            guest_map(n ? &other : &g, PAGE_GPA, (char *)page + !n * PAGE_SIZE, 0, NOVA_MEM_R);
        for (unsigned n = 0; n < 2; n++)
            wrong += guest_skip(&v[n], 2, 0) != GUEST_HLT || v[n].state.gpr[3] != 2 - n;
    }
    tap_is(wrong, 0, "two guest spaces on one CPU, changed in between");

    /* The other vCPU moves to the first guest's space. */
    v[1].state.sel_gst = g.gst;
    v[1].state.rip = GUEST_CODE;
    tap_ok(guest_run(&v[1], NOVA_MTD_SPACES | NOVA_MTD_RIP) == GUEST_CPUID && v[1].state.gpr[3] == 2,
           "a vCPU is assigned to another guest space");
    guest_destroy(&other);
    v[1].state.rip = GUEST_CODE;
    tap_ok(guest_run(&v[1], NOVA_MTD_RIP) == GUEST_CPUID, "and does not need the old one any more");
    guest_cpu_destroy(&v[1]);
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    if (!guest_possible()) {
        tap_skip("no virtualization", "memory of guests");
        return;
    }
    guest_create(&g);
    guest_cpu_create(&v[0], &g, sys.cpus - 1, NOVA_EC_FPU);
    guest_long(&v[0], GUEST_CODE);
    if (sys.cpus > 1) {
        revoked(0);
        revoked(9);
    }
    in_between();
    guest_cpu_destroy(&v[0]);
    guest_destroy(&g);
}
