/*
 * Objects and permissions: each hypercall that names an object, with all 32 permission masks, with
 * capabilities of all other types, with null capabilities and selectors outside the object space
 * (specification 4.1.2, 5.2 to 5.5).
 *
 * Status codes that depend on something else are tested in create.c, delegate.c and the like.
 *
 * SPDX-License-Identifier: MIT
 */

#include "system.h"
#include "tap.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static uint64_t next_utcb = UTCB_WINDOW + 0x1000000;

static uint32_t on_call(uint64_t pid, uint32_t mtd);

PORTAL_ENTRY(call_entry, on_call);

static uint32_t on_call(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    (void)mtd;
    return 0;
}

/* -- One fresh object of each type; its selector -- */

/* Threads made here must never run: their event base is empty, so STARTUP kills them. */
static uint64_t new_ec(unsigned flags)
{
    uint64_t sel = SEL();

    must(create_ec(sel, sys.root.pd, next_utcb, sys.bsp, 0, sys.hip->sel_num - 0x80, flags), "create_ec");
    next_utcb += PAGE_SIZE;
    return sel;
}

static uint64_t new_local(void)
{
    return new_ec(0);
}

static uint64_t new_global(void)
{
    return new_ec(NOVA_EC_GLOBAL);
}

static uint64_t new_sc(void)
{
    uint64_t sel = SEL();

    must(create_sc(sel, sys.root.pd, new_global(), NOVA_SCD(1UL, 1)), "create_sc");
    return sel;
}

static uint64_t callee; /* EC behind all portals */

static uint64_t new_pt(void)
{
    uint64_t sel = SEL();

    must(create_pt(sel, sys.root.pd, callee, (uint64_t)call_entry), "create_pt");
    return sel;
}

static uint64_t new_sm(void)
{
    return sm_create(1);
}

static uint64_t new_interrupt(void)
{
    uint64_t sel = SEL();
    uint64_t interrupt = NOVA_SEL_INT + 0UL + sys.hip->int_pin + sys.hip->int_msi - 1;

    must(ctrl_pd(sys.nova_obj, sys.root.obj, interrupt, sel, 0, NOVA_PERM_ALL, 0),
         "taking an interrupt semaphore");
    return sel;
}

/* A space of a PD of its own, which also gets the two spaces that every PD needs first. */
static uint64_t new_space(unsigned op)
{
    uint64_t pd = SEL(), obj = SEL(), hst = SEL(), other = SEL();

    must(create_pd(pd, sys.root.pd, NOVA_PD_PD), "create_pd");
    must(create_pd(obj, pd, NOVA_PD_OBJ), "create_pd (object space)");
    must(create_pd(hst, pd, NOVA_PD_HST), "create_pd (host space)");
    if (op == NOVA_PD_OBJ || op == NOVA_PD_HST)
        return op == NOVA_PD_OBJ ? obj : hst;
    must(create_pd(other, pd, op), "create_pd (space)");
    return other;
}

static uint64_t new_pd(void)
{
    return sys.root.pd;
}

static uint64_t new_obj(void)
{
    return new_space(NOVA_PD_OBJ);
}

static uint64_t new_hst(void)
{
    return new_space(NOVA_PD_HST);
}

static uint64_t new_pio(void)
{
    return new_space(NOVA_PD_PIO);
}

static uint64_t new_msr(void)
{
    return new_space(NOVA_PD_MSR);
}

static uint64_t new_gst(void)
{
    return new_space(NOVA_PD_GST);
}

static uint64_t new_null(void)
{
    return SEL();
}

static uint64_t beyond(void)
{
    return sys.hip->sel_num;
}

/* -- One way to use a capability; the status -- */

static unsigned do_create_pd(uint64_t cap)
{
    return create_pd(SEL(), cap, NOVA_PD_PD);
}

static unsigned do_create_ec(uint64_t cap)
{
    next_utcb += PAGE_SIZE;
    return create_ec(SEL(), cap, next_utcb - PAGE_SIZE, sys.bsp, 0, 0, 0);
}

static unsigned do_create_sc(uint64_t cap)
{
    return create_sc(SEL(), cap, new_global(), NOVA_SCD(1UL, 1));
}

static unsigned do_create_pt(uint64_t cap)
{
    return create_pt(SEL(), cap, callee, 0);
}

static unsigned do_create_sm(uint64_t cap)
{
    return create_sm(SEL(), cap, 0);
}

static unsigned do_bind_pt(uint64_t cap)
{
    return create_pt(SEL(), sys.root.pd, cap, 0);
}

static unsigned do_bind_sc(uint64_t cap)
{
    return create_sc(SEL(), sys.root.pd, cap, NOVA_SCD(1UL, 1));
}

static unsigned do_ctrl_ec(uint64_t cap)
{
    return ctrl_ec(cap, 0);
}

static unsigned do_ctrl_sc(uint64_t cap)
{
    uint64_t time;

    return ctrl_sc(cap, &time);
}

static unsigned do_ctrl_pt(uint64_t cap)
{
    return ctrl_pt(cap, 0, 0);
}

static unsigned do_call(uint64_t cap)
{
    uint32_t mtd = 0;

    return ipc_call(cap, &mtd, 0);
}

static unsigned do_up(uint64_t cap)
{
    return sm_up(cap);
}

static unsigned do_down(uint64_t cap)
{
    return sm_down(cap);
}

static unsigned do_assign_int(uint64_t cap)
{
    uint64_t addr, data;

    return assign_int(cap, sys.bsp, 0, NOVA_INT_MASK, &addr, &data);
}

static unsigned do_take_obj(uint64_t cap)
{
    return ctrl_pd(cap, sys.root.obj, 0x700, 0x700, 0, 0, 0);
}

static unsigned do_grant_obj(uint64_t cap)
{
    return ctrl_pd(sys.root.obj, cap, 0x700, 0x700, 0, 0, 0);
}

static unsigned do_take_hst(uint64_t cap)
{
    return ctrl_pd(cap, sys.root.hst, 0x700, 0x700, 0, 0, 0);
}

static unsigned do_grant_mem(uint64_t cap)
{
    return ctrl_pd(sys.root.hst, cap, 0x700, 0x700, 0, 0, 0);
}

static unsigned do_take_pio(uint64_t cap)
{
    return ctrl_pd(cap, sys.root.pio, 0x700, 0x700, 0, 0, 0);
}

static unsigned do_grant_pio(uint64_t cap)
{
    return ctrl_pd(sys.nova_pio, cap, 0x700, 0x700, 0, 0, 0);
}

static uint64_t an_msr_space;

static unsigned do_take_msr(uint64_t cap)
{
    return ctrl_pd(cap, an_msr_space, 0x174, 0x174, 0, 0, 0);
}

static unsigned do_grant_msr(uint64_t cap)
{
    return ctrl_pd(sys.nova_msr, cap, 0x174, 0x174, 0, 0, 0);
}

struct type {
    const char *name;
    uint64_t (*create)(void);
};

enum { PD, OBJ, HST, PIO, MSR, LOCAL, GLOBAL, SC, PT, SM, INTERRUPT, NONE, BEYOND, GST };

/* All types that exist on every machine, in the order of the enumeration; GST is optional. */
static const struct type types[] = {
    [PD] = {"PD", new_pd},
    [OBJ] = {"object space", new_obj},
    [HST] = {"host space", new_hst},
    [PIO] = {"PIO space", new_pio},
    [MSR] = {"MSR space", new_msr},
    [LOCAL] = {"local EC", new_local},
    [GLOBAL] = {"global EC", new_global},
    [SC] = {"SC", new_sc},
    [PT] = {"portal", new_pt},
    [SM] = {"semaphore", new_sm},
    [INTERRUPT] = {"interrupt semaphore", new_interrupt},
    [NONE] = {"null capability", new_null},
    [BEYOND] = {"selector SEL_NUM", beyond},
    [GST] = {"guest space", new_gst},
};

struct use {
    const char *name;
    unsigned (*run)(uint64_t cap);
    unsigned permission;
    unsigned type;
    unsigned also; /* a second type that is accepted (or the same) */
};

static const struct use uses[] = {
    {"create_pd: permission PD", do_create_pd, NOVA_PD_CREATE_PD, PD, PD},
    {"create_ec: permission EC", do_create_ec, NOVA_PD_CREATE_EC, PD, PD},
    {"create_sc: permission SC", do_create_sc, NOVA_PD_CREATE_SC, PD, PD},
    {"create_pt: permission PT", do_create_pt, NOVA_PD_CREATE_PT, PD, PD},
    {"create_sm: permission SM", do_create_sm, NOVA_PD_CREATE_SM, PD, PD},
    {"create_pt: permission BIND_PT", do_bind_pt, NOVA_EC_BIND_PT, LOCAL, LOCAL},
    {"create_sc: permission BIND_SC", do_bind_sc, NOVA_EC_BIND_SC, GLOBAL, GLOBAL},
    {"ctrl_ec: permission CTRL", do_ctrl_ec, NOVA_EC_CTRL, LOCAL, GLOBAL},
    {"ctrl_sc: permission CTRL", do_ctrl_sc, NOVA_SC_CTRL, SC, SC},
    {"ctrl_pt: permission CTRL", do_ctrl_pt, NOVA_PT_CTRL, PT, PT},
    {"ipc_call: permission CALL", do_call, NOVA_PT_CALL, PT, PT},
    {"ctrl_sm up: permission UP", do_up, NOVA_SM_CTRL_UP, SM, SM},
    {"ctrl_sm down: permission DN", do_down, NOVA_SM_CTRL_DN, SM, INTERRUPT},
    {"assign_int: permission ASSIGN", do_assign_int, NOVA_SM_ASSIGN, INTERRUPT, INTERRUPT},
    {"ctrl_pd: permission TAKE of an object space", do_take_obj, NOVA_SPC_TAKE, OBJ, OBJ},
    {"ctrl_pd: permission GRANT of an object space", do_grant_obj, NOVA_SPC_GRANT, OBJ, OBJ},
    {"ctrl_pd: permission TAKE of a host space", do_take_hst, NOVA_SPC_TAKE, HST, HST},
    {"ctrl_pd: permission GRANT of a host space", do_grant_mem, NOVA_SPC_GRANT, HST, GST},
    {"ctrl_pd: permission TAKE of a PIO space", do_take_pio, NOVA_SPC_TAKE, PIO, PIO},
    {"ctrl_pd: permission GRANT of a PIO space", do_grant_pio, NOVA_SPC_GRANT, PIO, PIO},
    {"ctrl_pd: permission TAKE of an MSR space", do_take_msr, NOVA_SPC_TAKE, MSR, MSR},
    {"ctrl_pd: permission GRANT of an MSR space", do_grant_msr, NOVA_SPC_GRANT, MSR, MSR},
};

/* A copy of a capability with some of its permissions. */
static uint64_t derive(uint64_t sel, unsigned mask)
{
    uint64_t copy = SEL();

    must(ctrl_pd(sys.root.obj, sys.root.obj, sel, copy, 0, mask, 0), "deriving a capability");
    return copy;
}

/* Of all 32 masks, those with the permission succeed and the others do not. */
static void all_masks(const struct use *use)
{
    unsigned wrong = 0;

    for (unsigned mask = 0; mask < 32; mask++) {
        unsigned want = mask & use->permission ? NOVA_SUCCESS : NOVA_BAD_CAP;
        unsigned got = use->run(derive(types[use->type].create(), mask));

        if (got != want) {
            wrong++;
            tap_diag("%s: mask 0x%x: got %u, want %u", use->name, mask, got, want);
        }
    }
    tap_is(wrong, 0, "%s", use->name);
}

/* Capabilities of other types do not do. */
static void other_types(const struct use *use, unsigned count)
{
    unsigned wrong = 0;

    for (unsigned type = 0; type < count; type++) {
        if (type == use->type || type == use->also)
            continue;
        unsigned got = use->run(types[type].create());

        if (got != NOVA_BAD_CAP) {
            wrong++;
            tap_diag("%s: with %s: got %u, want %u", use->name, types[type].name, got, NOVA_BAD_CAP);
        }
    }
    tap_is(wrong, 0, "%s: refuses other types", use->name);
}

/* Guest spaces can be granted to but not taken from: only host memory is a source. */
static void guest_space(void)
{
    static const struct use grant = {"ctrl_pd: permission GRANT of a guest space", do_grant_mem,
                                     NOVA_SPC_GRANT, GST, 0};

    all_masks(&grant);
    tap_is(do_take_hst(new_gst()), NOVA_BAD_CAP, "ctrl_pd: a guest space is no source");
}

/* A new PD capability carries the permissions of the one it was made with. */
static void inherited(void)
{
    unsigned wrong = 0;

    for (unsigned mask = 1; mask < 32; mask += 2) {
        uint64_t pd = SEL();

        must(create_pd(pd, derive(sys.root.pd, mask), NOVA_PD_PD), "create_pd");
        wrong += create_sm(SEL(), pd, 0) != (mask & NOVA_PD_CREATE_SM ? NOVA_SUCCESS : NOVA_BAD_CAP);
        wrong += create_pt(SEL(), pd, callee, 0) != (mask & NOVA_PD_CREATE_PT ? NOVA_SUCCESS : NOVA_BAD_CAP);
    }
    tap_is(wrong, 0, "create_pd: a new PD inherits the permissions");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    bool guests = hip->features & (NOVA_FEATURE_VMX | NOVA_FEATURE_SVM);

    (void)magic;
    (void)mbi;
    callee = local_create(sys.bsp)->ec;
    an_msr_space = new_msr();

    for (unsigned i = 0; i < COUNT(uses); i++) {
        all_masks(&uses[i]);
        other_types(&uses[i], guests ? COUNT(types) : COUNT(types) - 1);
    }
    inherited();
    if (guests)
        guest_space();
    else
        tap_skip("no virtualization", "guest space");
}
