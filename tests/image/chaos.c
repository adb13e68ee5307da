/*
 * A worker that issues random and half-valid hypercalls.
 *
 * No global data here, besides constants: the state of a worker is at the start of its region.
 * Left out on purpose: sleep states in the root PD, and priorities that keep the main thread from
 * running.
 *
 * SPDX-License-Identifier: MIT
 */

#include "chaos.h"

static uint64_t rnd(struct worker *w)
{
    uint64_t z = (w->random += 0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t below(struct worker *w, uint64_t n)
{
    return rnd(w) % n;
}

static uint64_t pick_sel(struct worker *w)
{
    switch (below(w, 16)) {
    case 0:
        return w->sel_num + below(w, 64);
    case 1:
        return w->kind == ROOT ? w->sel_num * 2 : w->sel_num - 1 - below(w, 8);
    case 2:
        return (1UL << 56) - 1 - below(w, 64);
    default:
        return w->sel_base + below(w, S_COUNT);
    }
}

/* Mostly the selector at which a capability of the right type should be. */
static uint64_t pick(struct worker *w, uint64_t right)
{
    return below(w, 4) ? w->sel_base + right : pick_sel(w);
}

/* Where to put a new object; and any of those. */
static uint64_t pick_new(struct worker *w)
{
    return pick(w, S_POOL + below(w, S_COUNT - S_POOL));
}

static uint64_t region_of(const struct worker *w)
{
    return (uint64_t)w;
}

/* An address, page-aligned. */
static uint64_t pick_page(struct worker *w)
{
    switch (below(w, 32)) {
    case 0:
        return 0;
    case 1: /* a worker in the root PD must not replace the HIP and the UTCB of the test */
        return w->kind == ROOT ? w->top : w->top - PAGE_SIZE * below(w, 4);
    case 2:
        return w->top + PAGE_SIZE * below(w, 4);
    case 3:
        return 0xffffffff80000000;
    case 4:
        return rnd(w) << 12;
    case 5:
        return w->kind == ISOLATED ? region_of(w) + PAGE_SIZE * below(w, 10) : 0x1000;
    default:
        return region_of(w) + PLAYGROUND + PAGE_SIZE * below(w, 64);
    }
}

static uint64_t pick_ip(struct worker *w)
{
    const uint64_t bad[] = {0, 0x8000000000000000, 0xffffffff80000000, w->top, UINT64_MAX};

    return below(w, 2) ? w->entry : bad[below(w, 5)];
}

/* Selector base of ctrl_pd: a selector, a page, a frame, a port or an MSR. */
static uint64_t pick_base(struct worker *w)
{
    switch (below(w, 6)) {
    case 0:
        return pick_page(w) >> 12;
    case 1:
        return w->scratch + below(w, 64);
    case 2:
        return below(w, 0x10000);
    case 3:
        return below(w, 2) ? 0xc0000080 + below(w, 8) : 0x170 + below(w, 16);
    default:
        return pick_sel(w) & 0xfffffffffffff;
    }
}

/* Spaces that fit together, or not; returns the source in *src. */
static uint64_t pick_spaces(struct worker *w, uint64_t *src)
{
    const uint8_t pair[][2] = {{S_OBJ, S_OBJ},      {S_HST, S_HST},      {S_NOVA_HST, S_HST},
                               {S_NOVA_PIO, S_PIO}, {S_NOVA_MSR, S_MSR}, {S_NOVA_HST, S_GST},
                               {S_HST, S_GST},      {S_PIO, S_PIO}};
    uint64_t i = below(w, sizeof(pair) / sizeof(*pair));

    *src = pick(w, pair[i][0]);
    return pick(w, pair[i][1]);
}

/* Fills in all but the source space, which is returned. */
static uint64_t pick_ctrl_pd(struct worker *w, struct hypercall_regs *r)
{
    uint64_t ord = below(w, 8) ? below(w, 7) : below(w, 32), src;
    uint64_t ssb = pick_base(w), dsb = below(w, 2) ? pick_base(w) : ssb;
    uint64_t pmm = rnd(w) & 0x1f;

    r->rsi = pick_spaces(w, &src);
    if (below(w, 8)) {
        ssb = ssb >> ord << ord;
        dsb = dsb >> ord << ord;
    }
    if (!below(w, 8)) { /* make room for new objects */
        ssb = dsb = w->sel_base + S_POOL;
        ord = 5;
        pmm = 0;
        r->rsi = src = w->sel_base + S_OBJ;
    }
    /* Whole ranges of physical memory are never writable, or a dying worker might hit the test. */
    if (w->kind != ISOLATED && ord > 6)
        pmm &= ~(uint64_t)NOVA_MEM_W;
    r->rdx = ssb << 12 | ord;
    r->rax = dsb << 12 | pmm;
    r->r8 = below(w, 16) ? below(w, 5) : rnd(w);
    return src;
}

/* Fills in all registers; returns the selector or value for RDI. */
static uint64_t pick_registers(struct worker *w, unsigned number, struct hypercall_regs *r)
{
    *r = (struct hypercall_regs){rnd(w), pick(w, S_PD), pick_sel(w), rnd(w), rnd(w)};
    switch (number) {
    case NOVA_IPC_CALL:
        r->rsi = rnd(w);
        return pick(w, below(w, 8) ? S_PORTAL : S_POOL + below(w, 32));
    case NOVA_CREATE_PD:
        r->rdx = below(w, 64);
        return pick_new(w);
    case NOVA_CREATE_EC:
        r->rdx = pick_page(w) | (below(w, 8) ? below(w, w->cpus) : below(w, 0x1000));
        r->rax = below(w, 2) ? region_of(w) + WORKER_TOP : 0;
        r->r8 = w->sel_base + (below(w, 2) ? EVENTS_OFFSET : below(w, S_COUNT));
        return pick_new(w);
    case NOVA_CREATE_SC:
        r->rdx = pick_new(w);
        r->rax = below(w, 16) ? NOVA_SCD(1 + below(w, 63), 1 + below(w, 15)) : rnd(w);
        return pick_new(w);
    case NOVA_CREATE_PT:
        r->rdx = below(w, 2) ? pick(w, S_SERVER) : pick_new(w);
        r->rax = pick_ip(w);
        return pick_new(w);
    case NOVA_CREATE_SM:
        r->rdx = below(w, 2) ? below(w, 4) : UINT64_MAX - below(w, 4);
        return pick_new(w);
    case NOVA_CTRL_PD:
        return pick_ctrl_pd(w, r);
    case NOVA_CTRL_EC:
        return pick(w, below(w, 2) ? S_EC : S_POOL + below(w, 32));
    case NOVA_CTRL_SC:
        return pick(w, below(w, 2) ? S_SC : S_IDLE);
    case NOVA_CTRL_PT:
        return pick(w, S_PORTAL);
    case NOVA_CTRL_SM:
        r->rsi = below(w, 64) ? tsc() + w->us * below(w, 100) : 0;
        return pick(w, below(w, 2) ? S_SM : below(w, 2) ? S_SHARED : S_INT + below(w, 4));
    case NOVA_ASSIGN_INT:
        r->rsi = below(w, 8) ? below(w, w->cpus) : rnd(w);
        return pick(w, S_INT + below(w, 4));
    case NOVA_ASSIGN_DEV:
        r->rsi = below(w, 2) ? 0xfed90000 : rnd(w);
        return pick_sel(w);
    case NOVA_CTRL_HW:
        return rnd(w) >> 8;
    default:
        return pick_sel(w);
    }
}

static void one_call(struct worker *w)
{
    unsigned number = (unsigned)below(w, 16), flags = (unsigned)below(w, 16);
    struct hypercall_regs r;
    uint64_t value;

    if (number == NOVA_IPC_REPLY && below(w, 512))
        number = NOVA_CTRL_PD;
    if (number == NOVA_CREATE_PD && below(w, 2))
        flags &= 7;
    if (number == NOVA_CREATE_EC && below(w, 2))
        flags &= NOVA_EC_GLOBAL | NOVA_EC_FPU;
    if (number == NOVA_CTRL_SM && below(w, 2))
        flags &= NOVA_SM_DOWN | NOVA_SM_ZERO;
    value = pick_registers(w, number, &r);
    if (!below(w, 64))
        r = (struct hypercall_regs){rnd(w), rnd(w), rnd(w), rnd(w), rnd(w)};
    if (w->kind == ROOT && number == NOVA_CTRL_HW && flags == NOVA_HW_SLEEP)
        flags = NOVA_HW_QOS;
    if (number == NOVA_CREATE_SC)
        r.rax &= ~(0x40UL << 16 | 0xfff0UL);
    r.rdi = NOVA_HYPERCALL(number, (uint64_t)flags, value);

    unsigned status = hypercall(&r);

    if (status <= NOVA_MEM_CAP)
        w->status[status]++;
    w->calls++;
}

/* The worker whose stack this is. */
static struct worker *worker_self(void)
{
    return (struct worker *)((uint64_t)__builtin_frame_address(0) & ~(REGION_SIZE - 1));
}

__asm__(".pushsection .text\n.globl chaos_worker\nchaos_worker:\n\tcall worker_loop\n\tud2\n\t.popsection");

static __attribute__((used, noinline)) void worker_loop(void)
{
    struct worker *w = worker_self();

    while (w->calls < w->target)
        one_call(w);
    for (;;)
        ctrl_sm(w->sel_base + S_SM, tsc() + w->us * 1000000, NOVA_SM_DOWN);
}

__asm__(".globl chaos_server");
PORTAL_ENTRY(chaos_server, on_serve);

static uint32_t on_serve(uint64_t pid, uint32_t mtd)
{
    struct worker *w = worker_self();

    (void)pid;
    (void)mtd;
    for (uint64_t i = below(w, 3); i; i--)
        one_call(w);
    return (uint32_t)rnd(w);
}
