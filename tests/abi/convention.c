/*
 * Calling convention: which registers each hypercall changes and which it must not (specification
 * 8.8). Every hypercall runs with a pattern in all registers that are no parameters, with success
 * and with failure, blocking and not.
 *
 * SPDX-License-Identifier: MIT
 */

#include "registers.h"
#include "system.h"
#include "tap.h"

/* CF, PF, AF, ZF, SF, DF, OF, NT, AC, ID: all that user code can set, besides TF. */
#define USER_FLAGS 0x244cd5UL

static uint64_t pattern(unsigned i)
{
    return 0x0123456789abcdefUL * (2 * i + 1);
}

/* Executes one hypercall. changed: bit mask of registers, besides RDI, RCX and R11, that carry results. */
static unsigned check(const char *what, const struct hypercall_regs *in, uint64_t flags, unsigned changed)
{
    uint64_t *want = registers_in;
    unsigned wrong = 0;

    for (unsigned i = 0; i < REGISTERS; i++)
        want[i] = pattern(i);
    want[RDI] = in->rdi;
    want[RSI] = in->rsi;
    want[RDX] = in->rdx;
    want[RAX] = in->rax;
    want[R8] = in->r8;
    want[RFLAGS] = 0x202 | flags;

    registers_syscall();

    want[RCX] = want[RIP] + 2;
    want[R11] = 0x202;
    want[RFLAGS] = 0x202;
    changed |= 1U << RDI;
    for (unsigned i = 0; i < RIP; i++)
        if (!(changed & 1U << i) && registers_out[i] != want[i]) {
            wrong++;
            tap_diag("%s: %s is %lx, want %lx", what, register_name[i], registers_out[i], want[i]);
        }
    tap_is(wrong, 0, "%s: registers (flags %lx)", what, flags);
    return (unsigned)(registers_out[RDI] & 0xff);
}

struct test {
    const char *what;
    unsigned number, flags, changed, want;
    uint64_t sel, rsi, rdx, rax, r8;
};

static uint32_t on_echo(uint64_t pid, uint32_t mtd);

PORTAL_ENTRY(echo_entry, on_echo);

static uint32_t on_echo(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    return mtd;
}

static void run(const struct test *t, uint64_t flags)
{
    struct hypercall_regs in = {NOVA_HYPERCALL(t->number, (uint64_t)t->flags, t->sel), t->rsi, t->rdx, t->rax,
                                t->r8};

    tap_is(check(t->what, &in, flags, t->changed), t->want, "%s: status", t->what);
}

static void failures(void)
{
    uint64_t none = SEL();
    const struct test list[] = {
        {"ipc_call, no portal", NOVA_IPC_CALL, 0, 1 << RSI, NOVA_BAD_CAP, none, 0, pattern(90), pattern(91),
         7},
        {"create_pd, no PD", NOVA_CREATE_PD, 0, 0, NOVA_BAD_CAP, none, none, pattern(90), pattern(91), 7},
        {"create_ec, no PD", NOVA_CREATE_EC, 0, 0, NOVA_BAD_CAP, none, none, 0x5000000, pattern(91), 7},
        {"create_sc, no PD", NOVA_CREATE_SC, 0, 0, NOVA_BAD_CAP, none, none, none, 0x10001, 7},
        {"create_pt, no PD", NOVA_CREATE_PT, 0, 0, NOVA_BAD_CAP, none, none, none, 0, 7},
        {"create_sm, no PD", NOVA_CREATE_SM, 0, 0, NOVA_BAD_CAP, none, none, 0, pattern(91), 7},
        {"ctrl_pd, no space", NOVA_CTRL_PD, 0, 0, NOVA_BAD_CAP, none, none, 0x1000, 0x1000, 7},
        {"ctrl_ec, no EC", NOVA_CTRL_EC, 0, 0, NOVA_BAD_CAP, none, pattern(89), pattern(90), pattern(91), 7},
        {"ctrl_sc, no SC", NOVA_CTRL_SC, 0, 1 << RSI, NOVA_BAD_CAP, none, 1, pattern(90), pattern(91), 7},
        {"ctrl_pt, no portal", NOVA_CTRL_PT, 0, 0, NOVA_BAD_CAP, none, 1, 2, pattern(91), 7},
        {"ctrl_sm, no semaphore", NOVA_CTRL_SM, 0, 0, NOVA_BAD_CAP, none, 1, pattern(90), pattern(91), 7},
        {"ctrl_hw, invalid operation", NOVA_CTRL_HW, 15, 0, NOVA_BAD_PAR, 0, 1, pattern(90), pattern(91), 7},
        {"assign_int, no semaphore", NOVA_ASSIGN_INT, 0, 1 << RSI | 1 << RDX, NOVA_BAD_CAP, none, 0, 0,
         pattern(91), 7},
        {"reserved hypercall", 0xf, 0, 0, NOVA_BAD_HYP, 0, pattern(89), pattern(90), pattern(91), 7},
    };

    for (unsigned i = 0; i < sizeof(list) / sizeof(*list); i++) {
        run(&list[i], 0);
        run(&list[i], USER_FLAGS);
    }
}

static void successes(void)
{
    const struct thread *local = local_create(sys.bsp);
    uint64_t portal = portal_create(local, echo_entry, 0, 0), sm = sm_create(1), interrupt = SEL();
    uint64_t pd = sys.root.pd, utcb = UTCB_WINDOW + 0x1000000, soon = tsc() + ticks(20000);

    must(ctrl_pd(sys.nova_obj, sys.root.obj, NOVA_SEL_INT, interrupt, 0, NOVA_PERM_ALL, 0),
         "taking a semaphore");

    const struct test list[] = {
        {"ipc_call", NOVA_IPC_CALL, 0, 0, 0, portal, 5, pattern(90), pattern(91), 7},
        {"create_pd", NOVA_CREATE_PD, 0, 0, 0, SEL(), pd, pattern(90), pattern(91), 7},
        {"create_ec", NOVA_CREATE_EC, NOVA_EC_GLOBAL, 0, 0, SEL(), pd, utcb | sys.bsp, 0,
         sys.hip->sel_num - 0x80},
        {"create_sc", NOVA_CREATE_SC, 0, 0, 0, 0, pd, 0, 0x10001, 7},
        {"create_pt", NOVA_CREATE_PT, 0, 0, 0, SEL(), pd, local->ec, 0, 7},
        {"create_sm", NOVA_CREATE_SM, 0, 0, 0, SEL(), pd, 0, pattern(91), 7},
        {"ctrl_pd", NOVA_CTRL_PD, 0, 0, 0, sys.root.obj, sys.root.obj, SEL() << 12, SEL() << 12 | 0x1f, 7},
        {"ctrl_ec", NOVA_CTRL_EC, 0, 0, 0, local->ec, pattern(89), pattern(90), pattern(91), 7},
        {"ctrl_sc", NOVA_CTRL_SC, 0, 1 << RSI, 0, sys.sc, 1, pattern(90), pattern(91), 7},
        {"ctrl_pt", NOVA_CTRL_PT, 0, 0, 0, portal, 1, 0, pattern(91), 7},
        {"ctrl_sm up", NOVA_CTRL_SM, 0, 0, 0, sm, pattern(89), pattern(90), pattern(91), 7},
        {"ctrl_sm down", NOVA_CTRL_SM, NOVA_SM_DOWN, 0, 0, sm, 0, pattern(90), pattern(91), 7},
        {"ctrl_sm down, with the past", NOVA_CTRL_SM, NOVA_SM_DOWN, 0, NOVA_TIMEOUT, sys.never, 1, 7, 7, 7},
        {"ctrl_sm down, blocking", NOVA_CTRL_SM, NOVA_SM_DOWN, 0, NOVA_TIMEOUT, sys.never, soon, 7, 7, 7},
        {"assign_int", NOVA_ASSIGN_INT, NOVA_INT_MASK, 1 << RSI | 1 << RDX, 0, interrupt, 0, 0, pattern(91),
         7},
    };

    for (unsigned i = 0; i < sizeof(list) / sizeof(*list); i++) {
        struct test t = list[i];

        if (t.number == NOVA_CREATE_SC) {
            t.rdx = list[i - 1].sel;
            t.sel = SEL();
        }
        run(&t, i & 1 ? USER_FLAGS : 0);
    }
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    failures();
    successes();
}
