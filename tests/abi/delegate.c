/*
 * ctrl_pd with object, PIO and MSR spaces: which spaces fit together, alignment, range, masks,
 * revocation (specification 5.4.1). Host memory is in memory.c.
 *
 * SPDX-License-Identifier: MIT
 */

#include "fault.h"
#include "system.h"
#include "tap.h"

/* -- Pairs of spaces -- */

enum { OBJ, HST, PIO, MSR, GST, SPACES };

static const char *const space_name[] = {"OBJ", "HST", "PIO", "MSR", "GST"};
static uint64_t space[SPACES]; /* of one PD */
static unsigned space_count;

static void create_spaces(bool guests)
{
    const unsigned op[] = {NOVA_PD_OBJ, NOVA_PD_HST, NOVA_PD_PIO, NOVA_PD_MSR, NOVA_PD_GST};
    uint64_t pd = SEL();

    must(create_pd(pd, sys.root.pd, NOVA_PD_PD), "create_pd");
    space_count = guests ? SPACES : GST;
    for (unsigned i = 0; i < space_count; i++) {
        space[i] = SEL();
        must(create_pd(space[i], pd, op[i]), "create_pd (space)");
    }
}

static bool compatible(unsigned src, unsigned dst)
{
    return src != GST && (src == dst || (src == HST && dst == GST));
}

static void pairs(void)
{
    for (unsigned src = 0; src < space_count; src++)
        for (unsigned dst = 0; dst < space_count; dst++)
            tap_is(ctrl_pd(space[src], space[dst], 0x100, 0x100, 0, NOVA_PERM_ALL, 0),
                   compatible(src, dst) ? NOVA_SUCCESS : NOVA_BAD_CAP, "%s to %s", space_name[src],
                   space_name[dst]);
}

/* -- Alignment and range -- */

static void alignment(void)
{
    for (unsigned i = 0; i < space_count; i++) {
        unsigned wrong = 0;

        if (i == GST)
            continue;
        for (unsigned order = 1; order <= 12; order++)
            for (uint64_t offset = 0; offset < 1UL << order; offset += order < 4 ? 1 : 1UL << (order - 2)) {
                uint64_t a = 0x1000, b = 0x1000 + offset;
                unsigned want = offset ? NOVA_BAD_PAR : NOVA_SUCCESS;

                wrong += ctrl_pd(space[i], space[i], b, a, order, 0, 0) != want;
                wrong += ctrl_pd(space[i], space[i], a, b, order, 0, 0) != want;
                wrong += ctrl_pd(space[i], space[i], b, b, order, 0, 0) != want;
            }
        tap_is(wrong, 0, "%s: selectors must be multiples of the order", space_name[i]);
    }
}

static void range(void)
{
    uint64_t pages = ((uint64_t)sys.hip + PAGE_SIZE) / PAGE_SIZE;
    const uint64_t number[] = {sys.hip->sel_num, pages, 0x10000, 1UL << 32, pages * 2};

    for (unsigned i = 0; i < space_count; i++) {
        uint64_t src = i == GST ? space[HST] : space[i];
        uint64_t last = number[i] - 1;
        unsigned wrong = 0;

        if (i == MSR)
            last = 0xc0001fff;
        if (i == GST)
            last = number[HST] - 1;
        else
            wrong += ctrl_pd(src, space[i], last, last, 0, 0, 0) != NOVA_SUCCESS;
        for (unsigned order = 0; order < 5; order++) {
            wrong += ctrl_pd(src, space[i], number[i], number[i], order, 0, 0) != NOVA_BAD_PAR;
            wrong += ctrl_pd(src, space[i], 1UL << 51, 1UL << 51, order, 0, 0) != NOVA_BAD_PAR;
            if (i != PIO && i != MSR) {
                wrong += ctrl_pd(src, space[i], 0, number[i], order, 0, 0) != NOVA_BAD_PAR;
                wrong += ctrl_pd(src, space[i], number[i], 0, order, 0, 0) != NOVA_BAD_PAR;
            }
        }
        if (number[i] < 1UL << 31)
            wrong += ctrl_pd(src, space[i], 0, 0, 31, 0, 0) != NOVA_BAD_PAR;
        tap_is(wrong, 0, "%s: selectors must exist", space_name[i]);
    }
    tap_is(ctrl_pd(space[OBJ], space[OBJ], 0, 0, 18, 0, 0),
           sys.hip->sel_num >= 1UL << 18 ? NOVA_SUCCESS : NOVA_BAD_PAR, "OBJ: 2^18 selectors at once");
    tap_is(ctrl_pd(space[PIO], space[PIO], 0, 0, 16, 0, 0), NOVA_SUCCESS, "PIO: all ports at once");
    tap_is(ctrl_pd(space[PIO], space[PIO], 0, 0, 17, 0, 0), NOVA_BAD_PAR, "PIO: and not more");
}

static void identity(void)
{
    tap_is(ctrl_pd(sys.nova_pio, space[PIO], 0x70, 0x71, 0, NOVA_PIO_A, 0), NOVA_BAD_PAR,
           "PIO: equal selectors");
    tap_is(ctrl_pd(sys.nova_msr, space[MSR], 0x174, 0x175, 0, NOVA_MSR_R, 0), NOVA_BAD_PAR,
           "MSR: equal selectors");
    tap_is(ctrl_pd(sys.nova_msr, space[MSR], 0x174, 0x174, 0, NOVA_MSR_R, 0), NOVA_SUCCESS,
           "MSR: one register");
    tap_is(ctrl_pd(sys.nova_msr, space[MSR], 0xc0000080, 0xc0000080, 2, NOVA_MSR_R | NOVA_MSR_W, 0),
           NOVA_SUCCESS, "MSR: four registers");
    tap_is(ctrl_pd(sys.nova_obj, sys.root.obj, 0, SEL(), 0, NOVA_PERM_ALL, UINT32_MAX), NOVA_SUCCESS,
           "OBJ: memory attributes are ignored");
}

/* -- Object capabilities -- */

/* Which of UP and DN a semaphore capability carries; 0 if there is none. The counter must be > 0. */
static unsigned semaphore_permissions(uint64_t sel)
{
    bool down = ctrl_sm(sel, 1, NOVA_SM_DOWN) == NOVA_SUCCESS;
    bool up = sm_up(sel) == NOVA_SUCCESS;

    return (up ? NOVA_SM_CTRL_UP : 0U) | (down ? NOVA_SM_CTRL_DN : 0U);
}

static uint64_t copy(uint64_t from, uint64_t to, unsigned order, unsigned mask)
{
    return ctrl_pd(sys.root.obj, sys.root.obj, from, to, order, mask, 0);
}

static void masks(void)
{
    uint64_t all = sm_create(100), some = SEL(), back = SEL(), in_place = SEL();

    copy(all, some, 0, NOVA_SM_CTRL_DN);
    tap_is(semaphore_permissions(some), NOVA_SM_CTRL_DN, "a mask removes permissions");
    copy(some, back, 0, NOVA_PERM_ALL);
    tap_is(semaphore_permissions(back), NOVA_SM_CTRL_DN, "and they do not come back");
    copy(all, back, 0, NOVA_PERM_ALL);
    tap_is(semaphore_permissions(back), NOVA_SM_CTRL_UP | NOVA_SM_CTRL_DN,
           "a delegation replaces what was there");
    copy(all, in_place, 0, NOVA_PERM_ALL);
    copy(in_place, in_place, 0, NOVA_SM_CTRL_UP);
    tap_is(semaphore_permissions(in_place), NOVA_SM_CTRL_UP,
           "source and destination can be the same selector");
    copy(SEL(), in_place, 0, NOVA_PERM_ALL);
    tap_is(semaphore_permissions(in_place), 0, "a null capability as source revokes");
    copy(all, back, 0, 0);
    tap_is(semaphore_permissions(back), 0, "an empty mask revokes");
    copy(all, back, 0, 0x1c);
    tap_is(semaphore_permissions(back), 0, "a mask without a permission of the source revokes");
    tap_is(create_sm(back, sys.root.pd, 1), NOVA_SUCCESS, "a revoked selector is free");
    tap_is(semaphore_permissions(all), NOVA_SM_CTRL_UP | NOVA_SM_CTRL_DN, "the source keeps its permissions");
}

/* Ranges: every third selector holds a capability, and the destination is full of others. */
static void ranges(void)
{
    uint64_t sm = sm_create(1000000), other = sm_create(1000000);

    for (unsigned order = 0; order <= 11; order++) {
        unsigned n = 1U << order, wrong = 0;
        uint64_t src = sel_alloc(n, n), dst = sel_alloc(3 * n, n) + n;

        for (unsigned i = 0; i < n; i += 3)
            copy(sm, src + i, 0, NOVA_SM_CTRL_UP);
        for (unsigned i = 0; i < 3 * n; i++)
            copy(other, dst - n + i, 0, NOVA_SM_CTRL_DN);
        wrong += copy(src, dst, order, NOVA_PERM_ALL) != NOVA_SUCCESS;
        for (unsigned i = 0; i < 3 * n; i++) {
            unsigned want = i < n || i >= 2 * n ? NOVA_SM_CTRL_DN : (i - n) % 3 ? 0 : NOVA_SM_CTRL_UP;

            wrong += semaphore_permissions(dst - n + i) != want;
        }
        wrong += copy(src, dst, order, 0) != NOVA_SUCCESS;
        for (unsigned i = 0; i < n; i++)
            wrong += semaphore_permissions(dst + i) != 0;
        tap_is(wrong, 0, "OBJ, order %u: range, holes and neighbours", order);
        ctrl_range(sys.root.obj, sys.root.obj, dst - n, dst - n, 3UL * n, 0, 0);
    }
}

/* -- A child sees what it was given, with the permissions it was given -- */

static uint32_t on_child(uint64_t pid, uint32_t mtd);

PORTAL_ENTRY(child_entry, on_child);

/* Pid 0: permissions of the semaphore at the selector in word 0. Pid 1: tries the port in word 0. */
static uint32_t on_child(uint64_t pid, uint32_t mtd)
{
    uint64_t *word = thread_self()->utcb->word;

    (void)mtd;
    word[0] = pid ? try_in((uint16_t)word[0]) : semaphore_permissions(word[0]);
    return 0;
}

static uint64_t ask(uint64_t portal, uint64_t question)
{
    uint32_t mtd = 0;

    thread_self()->utcb->word[0] = question;
    must(ipc_call(portal, &mtd, 0), "ipc_call");
    return thread_self()->utcb->word[0];
}

static void child(void)
{
    uint64_t sm = sm_create(10);
    struct pd pd;

    pd_create(&pd);
    pd_share_image(&pd);

    const struct thread *t = thread_create(&pd, sys.bsp, STANDARD_EVENTS(sys.bsp), 0);
    uint64_t object = portal_create(t, child_entry, 0, 0), port = portal_create(t, child_entry, 1, 0);

    tap_is(ask(object, sm), 0, "child: the parent's selectors mean nothing");
    must(ctrl_pd(sys.root.obj, pd.obj, sm, 0x3333, 0, NOVA_SM_CTRL_UP, 0), "ctrl_pd");
    tap_is(ask(object, 0x3333), NOVA_SM_CTRL_UP, "child: uses a capability that was delegated");
    must(ctrl_pd(sys.root.obj, pd.obj, sm, 0x3333, 0, 0, 0), "ctrl_pd");
    tap_is(ask(object, 0x3333), 0, "child: not when it was revoked");
    must(ctrl_pd(sys.root.obj, pd.obj, sm, 0x3333, 0, NOVA_PERM_ALL, 0), "ctrl_pd");
    must(ctrl_pd(sys.root.obj, sys.root.obj, sm, sm, 0, 0, 0), "ctrl_pd");
    tap_is(ask(object, 0x3333), NOVA_SM_CTRL_UP | NOVA_SM_CTRL_DN,
           "child: keeps a capability that the parent dropped");
    must(ctrl_pd(pd.obj, sys.root.obj, 0x3333, sm, 0, NOVA_SM_CTRL_DN, 0), "ctrl_pd");
    tap_is(semaphore_permissions(sm), NOVA_SM_CTRL_DN, "and the parent can take it back");

    tap_is(ask(port, 0x71), VECTOR_GP, "child: no port 0x71");
    must(ctrl_pd(sys.nova_pio, pd.pio, 0x70, 0x70, 1, NOVA_PIO_A, 0), "ctrl_pd");
    tap_is(ask(port, 0x71), NO_FAULT, "child: port 0x71 once delegated");
    tap_is(ask(port, 0x72), VECTOR_GP, "child: but not port 0x72");
    tap_is(try_in(0x71), VECTOR_GP, "the parent itself has no port 0x71");
    must(ctrl_pd(sys.root.pio, pd.pio, 0x71, 0x71, 0, NOVA_PIO_A, 0), "ctrl_pd");
    tap_is(ask(port, 0x71), VECTOR_GP, "child: a port that the source lacks is revoked");
    tap_is(ask(port, 0x70), NO_FAULT, "child: its neighbour is not");

    must(ctrl_pd(sys.nova_pio, pd.pio, 0, 0, 16, NOVA_PIO_A, 0), "ctrl_pd");
    tap_is(ask(port, 0x0), NO_FAULT, "child: all ports: the first");
    tap_is(ask(port, 0xfff0), NO_FAULT, "child: all ports: one of the last");
    must(ctrl_pd(sys.nova_pio, pd.pio, 0, 0, 15, 0, 0), "ctrl_pd");
    tap_is(ask(port, 0x7fff), VECTOR_GP, "child: half of them revoked");
    tap_is(ask(port, 0x8000), NO_FAULT, "child: and half not");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)magic;
    (void)mbi;
    create_spaces(hip->features & (NOVA_FEATURE_VMX | NOVA_FEATURE_SVM));
    pairs();
    alignment();
    range();
    identity();
    masks();
    ranges();
    child();
}
