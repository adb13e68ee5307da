/*
 * create_*: what succeeds, and every status code besides those for permissions and types, which
 * objects.c covers (specification 5.3, 4.5).
 *
 * SPDX-License-Identifier: MIT
 */

#include "fault.h"
#include "system.h"
#include "tap.h"

static uint64_t top; /* end of user-accessible memory */
static uint64_t next_utcb = UTCB_WINDOW + 0x1000000;
static uint64_t no_events; /* event base without portals */

static uint64_t utcb_page(void)
{
    next_utcb += PAGE_SIZE;
    return next_utcb - PAGE_SIZE;
}

/* Each create_* with this selector for the new object, all other parameters valid. */
static void selector(uint64_t sel, const char *name)
{
    struct pd pd;

    pd_create(&pd);
    uint64_t local = SEL(), global = SEL();

    must(create_ec(local, sys.root.pd, utcb_page(), 0, 0, no_events, 0), "create_ec");
    must(create_ec(global, sys.root.pd, utcb_page(), 0, 0, no_events, NOVA_EC_GLOBAL), "create_ec");

    tap_is(create_pd(sel, sys.root.pd, NOVA_PD_PD), NOVA_BAD_CAP, "create_pd: %s", name);
    tap_is(create_pd(sel, pd.pd, NOVA_PD_MSR), NOVA_BAD_CAP, "create_pd (MSR space): %s", name);
    tap_is(create_ec(sel, sys.root.pd, utcb_page(), 0, 0, no_events, 0), NOVA_BAD_CAP, "create_ec: %s", name);
    tap_is(create_sc(sel, sys.root.pd, global, NOVA_SCD(1UL, 1)), NOVA_BAD_CAP, "create_sc: %s", name);
    tap_is(create_pt(sel, sys.root.pd, local, 0), NOVA_BAD_CAP, "create_pt: %s", name);
    tap_is(create_sm(sel, sys.root.pd, 0), NOVA_BAD_CAP, "create_sm: %s", name);
}

static void spaces(void)
{
    uint64_t pd = SEL();

    must(create_pd(pd, sys.root.pd, NOVA_PD_PD), "create_pd");
    tap_is(create_ec(SEL(), pd, utcb_page(), 0, 0, 0, 0), NOVA_ABORTED, "create_ec: PD without spaces");
    tap_is(create_pd(SEL(), pd, NOVA_PD_OBJ), NOVA_SUCCESS, "create_pd: object space");
    tap_is(create_pd(SEL(), pd, NOVA_PD_OBJ), NOVA_ABORTED, "create_pd: second object space");
    tap_is(create_ec(SEL(), pd, utcb_page(), 0, 0, 0, 0), NOVA_ABORTED,
           "create_ec: PD without host and PIO space");
    tap_is(create_pd(SEL(), pd, NOVA_PD_HST), NOVA_SUCCESS, "create_pd: host space");
    tap_is(create_pd(SEL(), pd, NOVA_PD_HST), NOVA_ABORTED, "create_pd: second host space");
    tap_is(create_ec(SEL(), pd, utcb_page(), 0, 0, 0, 0), NOVA_ABORTED, "create_ec: PD without PIO space");
    tap_is(create_pd(SEL(), pd, NOVA_PD_PIO), NOVA_SUCCESS, "create_pd: PIO space");
    tap_is(create_pd(SEL(), pd, NOVA_PD_PIO), NOVA_SUCCESS, "create_pd: second PIO space");
    tap_is(create_pd(SEL(), pd, NOVA_PD_MSR), NOVA_SUCCESS, "create_pd: MSR space");
    tap_is(create_pd(SEL(), pd, NOVA_PD_MSR), NOVA_SUCCESS, "create_pd: second MSR space");
    tap_is(create_ec(SEL(), pd, utcb_page(), 0, 0, 0, 0), NOVA_SUCCESS,
           "create_ec: PD with all three spaces");

    tap_is(create_pd(SEL(), sys.root.pd, NOVA_PD_OBJ), NOVA_ABORTED, "create_pd: second root object space");
    tap_is(create_pd(SEL(), sys.root.pd, NOVA_PD_HST), NOVA_ABORTED, "create_pd: second root host space");

    unsigned bad = 0;

    for (unsigned op = NOVA_PD_MSR + 1; op < 16; op++)
        if (op != NOVA_PD_LIMITED)
            bad += create_pd(SEL(), sys.root.pd, op) != NOVA_BAD_PAR;
    tap_is(bad, 0, "create_pd: invalid operations");
}

/* Spaces and ECs that need hardware which the HIP says is there or not. */
static void features(uint64_t bits)
{
    bool guests = bits & (NOVA_FEATURE_VMX | NOVA_FEATURE_SVM);
    struct pd pd;

    pd_create(&pd);
    tap_is(create_pd(SEL(), pd.pd, NOVA_PD_GST), guests ? NOVA_SUCCESS : NOVA_BAD_FTR,
           "create_pd: guest space");
    tap_is(create_pd(SEL(), pd.pd, NOVA_PD_GST), guests ? NOVA_SUCCESS : NOVA_BAD_FTR,
           "create_pd: second guest space");
    tap_is(create_pd(SEL(), pd.pd, NOVA_PD_DMA), bits & NOVA_FEATURE_IOMMU ? NOVA_SUCCESS : NOVA_BAD_FTR,
           "create_pd: DMA space");
    if (guests)
        tap_skip("virtualization present", "create_ec: guest");
    else
        tap_is(create_ec(SEL(), pd.pd, utcb_page(), 0, 0, 0, NOVA_EC_GUEST), NOVA_BAD_FTR,
               "create_ec: guest");
}

static void ecs(void)
{
    uint64_t page = utcb_page(), bad = 0;
    uint64_t sel = SEL();

    tap_is(try_load(page), VECTOR_PF, "create_ec: before, nothing is where the UTCB will be");
    tap_is(create_ec(sel, sys.root.pd, page, 0, 0, no_events, 0), NOVA_SUCCESS, "create_ec: local thread");
    tap_is(try_store(page), NO_FAULT, "create_ec: the UTCB is mapped and writable");
    for (unsigned i = 0; i < NOVA_UTCB_WORDS; i++)
        bad |= ((const union nova_utcb *)page)->word[i];
    tap_is(bad, 0, "create_ec: the UTCB is clear");

    tap_is(create_ec(SEL(), sys.root.pd, utcb_page(), 0, 0, no_events, NOVA_EC_GLOBAL), NOVA_SUCCESS,
           "create_ec: global thread");
    tap_is(create_ec(SEL(), sys.root.pd, utcb_page(), 0, 0, no_events, NOVA_EC_FPU), NOVA_SUCCESS,
           "create_ec: local thread with FPU");
    tap_is(create_ec(SEL(), sys.root.pd, utcb_page(), sys.cpus - 1, 0, no_events, 0), NOVA_SUCCESS,
           "create_ec: last CPU");
    tap_is(create_ec(SEL(), sys.root.pd, utcb_page(), sys.hip->cpu_num, 0, no_events, 0), NOVA_BAD_CPU,
           "create_ec: CPU_NUM");
    tap_is(create_ec(SEL(), sys.root.pd, utcb_page(), 0xfff, 0, no_events, 0), NOVA_BAD_CPU,
           "create_ec: CPU 4095");

    const uint64_t outside[] = {top, top + PAGE_SIZE, 0x0001000000000000UL << 8, 0xffff800000000000UL,
                                0xfffffffffffff000UL};

    for (unsigned i = 0; i < sizeof(outside) / sizeof(*outside); i++)
        tap_is(create_ec(SEL(), sys.root.pd, outside[i], 0, 0, no_events, 0), NOVA_BAD_PAR,
               "create_ec: UTCB at %lx", outside[i]);
}

static void scs(void)
{
    uint64_t local = SEL(), global = SEL(), sel = SEL();
    uint32_t ebx = 0, ecx = 0, eax = 7, edx;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    must(create_ec(local, sys.root.pd, utcb_page(), 0, 0, no_events, 0), "create_ec");
    must(create_ec(global, sys.root.pd, utcb_page(), 0, 0, no_events, NOVA_EC_GLOBAL), "create_ec");

    tap_is(create_sc(sel, sys.root.pd, local, NOVA_SCD(1UL, 1)), NOVA_BAD_CAP, "create_sc: local thread");
    tap_is(create_sc(sel, sys.root.pd, global, NOVA_SCD(0UL, 1)), NOVA_BAD_PAR, "create_sc: priority 0");
    tap_is(create_sc(sel, sys.root.pd, global, NOVA_SCD(1UL, 0)), NOVA_BAD_PAR, "create_sc: budget 0");
    if (ebx & 1U << 15)
        tap_skip("classes of service present", "create_sc: class of service");
    else
        tap_is(create_sc(sel, sys.root.pd, global, 1UL << 23 | NOVA_SCD(1UL, 1)), NOVA_BAD_PAR,
               "create_sc: class of service");
    tap_is(create_sc(sel, sys.root.pd, global, NOVA_SCD(1UL, 0xffff)), NOVA_SUCCESS,
           "create_sc: longest budget; after failures the selector is still free");
}

static void pts(void)
{
    uint64_t local = SEL(), global = SEL(), sel = SEL();

    must(create_ec(local, sys.root.pd, utcb_page(), 0, 0, no_events, 0), "create_ec");
    must(create_ec(global, sys.root.pd, utcb_page(), 0, 0, no_events, NOVA_EC_GLOBAL), "create_ec");
    tap_is(create_pt(sel, sys.root.pd, global, 0), NOVA_BAD_CAP, "create_pt: global thread");
    tap_is(create_pt(sel, sys.root.pd, local, 0), NOVA_SUCCESS, "create_pt: local thread");
    tap_is(create_pt(SEL(), sys.root.pd, local, 0), NOVA_SUCCESS,
           "create_pt: second portal of the same thread");
}

static void sms(void)
{
    uint64_t sel = SEL();

    tap_is(create_sm(sel, sys.root.pd, 2), NOVA_SUCCESS, "create_sm");
    tap_is(sm_down(sel) + sm_down(sel), NOVA_SUCCESS, "create_sm: the counter starts at its value");
    tap_is(ctrl_sm(sel, 1, NOVA_SM_DOWN), NOVA_TIMEOUT, "create_sm: and not above");
}

static void platform(void)
{
    uint64_t addr, data, interrupt = SEL();
    unsigned bad = 0;

    must(ctrl_pd(sys.nova_obj, sys.root.obj, NOVA_SEL_INT, interrupt, 0, NOVA_PERM_ALL, 0),
         "taking a semaphore");
    tap_is(assign_int(interrupt, sys.hip->cpu_num, 0, NOVA_INT_MASK, &addr, &data), NOVA_BAD_CPU,
           "assign_int: CPU_NUM");
    tap_is(assign_int(interrupt, UINT64_MAX, 0, NOVA_INT_MASK, &addr, &data), NOVA_BAD_CPU,
           "assign_int: CPU 2^64-1");

    unsigned status = assign_dev(SEL(), 0, 0);

    tap_ok(status == NOVA_BAD_DEV || status == NOVA_BAD_CAP || status == NOVA_BAD_FTR,
           "assign_dev: no such IOMMU, no such space (%u)",
           status);

    const unsigned invalid[] = {1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15};

    for (unsigned i = 0; i < sizeof(invalid) / sizeof(*invalid); i++)
        bad += ctrl_hw(0, invalid[i]) != NOVA_BAD_PAR;
    tap_is(bad, 0, "ctrl_hw: invalid operations");
    status = ctrl_hw(7, NOVA_HW_SLEEP);
    tap_ok(status == NOVA_BAD_PAR || status == NOVA_BAD_FTR, "ctrl_hw: no sleep state 7 (%u)", status);
    tap_is(hypercall_1(0xf), NOVA_BAD_HYP, "hypercall 0xf is reserved");
    tap_is(hypercall_1(0xffffffffffffffff), NOVA_BAD_HYP, "hypercall 0xf with all other bits");
}

/* The same from a PD that is not the root PD. */
static uint32_t on_unprivileged(uint64_t pid, uint32_t mtd);

PORTAL_ENTRY(unprivileged_entry, on_unprivileged);

static uint32_t on_unprivileged(uint64_t pid, uint32_t mtd)
{
    uint64_t *word = thread_self()->utcb->word;

    (void)pid;
    (void)mtd;
    word[0] = ctrl_hw(0, NOVA_HW_SLEEP);
    word[1] = ctrl_hw(5, NOVA_HW_SLEEP);
    word[2] = assign_dev(0, 0xfed90000, 0);
    word[3] = ctrl_hw(0, 15);
    return NOVA_MTD_WORDS(4);
}

static void unprivileged(void)
{
    struct pd pd;
    uint32_t mtd = 0;

    pd_create(&pd);
    pd_share_image(&pd);
    struct thread *t = thread_create(&pd, sys.bsp, STANDARD_EVENTS(sys.bsp), 0);

    must(ipc_call(portal_create(t, unprivileged_entry, 0, 0), &mtd, 0), "ipc_call");

    const uint64_t *word = thread_self()->utcb->word;

    tap_is(word[0], NOVA_BAD_HYP, "not root: ctrl_hw (reset)");
    tap_is(word[1], NOVA_BAD_HYP, "not root: ctrl_hw (power off)");
    tap_is(word[2], NOVA_BAD_HYP, "not root: assign_dev");
    tap_is(word[3], NOVA_BAD_HYP, "not root: ctrl_hw (invalid operation)");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)magic;
    (void)mbi;
    top = (uint64_t)hip + PAGE_SIZE;
    no_events = hip->sel_num - 0x80;

    selector(sys.never, "selector in use");
    selector(hip->sel_num, "selector SEL_NUM");
    spaces();
    features(hip->features);
    ecs();
    scs();
    pts();
    sms();
    platform();
    unprivileged();
}
