/*
 * Guests: a program in real mode, one in 64-bit mode, and the exits of the instructions that always exit.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"
#include "system.h"
#include "tap.h"

GUEST_PROGRAM(real_program, ".code16", "cpuid; mov %eax, %ebx; out %al, $0x80; hlt; jmp .");
GUEST_PROGRAM(long_program, ".code64", "mov $0x123456789abcdef, %rcx; cpuid; hlt; jmp .");

static bool exits(struct guest_cpu *v, enum guest_exit got, enum guest_exit want, const char *what)
{
    if (got != want)
        tap_diag("event 0x%x RIP 0x%lx qual 0x%lx 0x%lx", v->event, v->state.rip, v->state.qual[0], v->state.qual[2]);
    return tap_ok(got == want, "%s: %s, got %s", what, guest_name(want), guest_name(got));
}

static void real_mode(void)
{
    struct guest g;
    struct guest_cpu v;

    guest_create(&g);
    GUEST_LOAD(&g, real_program);
    guest_cpu_create(&v, &g, sys.bsp, NOVA_EC_FPU);
    guest_real(&v, GUEST_CODE);
    exits(&v, guest_run(&v, v.mtd), GUEST_CPUID, "real mode");
    tap_is(v.state.rip, GUEST_CODE, "RIP is that of the instruction");
    v.state.gpr[0] = 0x12345678;
    exits(&v, guest_skip(&v, 2, NOVA_MTD_GPR_0_7), GUEST_IO, "real mode");
    tap_is(v.state.gpr[3], 0x12345678, "the guest has got the VMM's register");
    tap_is(v.state.inst_len, 2, "length of the I/O instruction");
    exits(&v, guest_skip(&v, 2, 0), GUEST_HLT, "real mode");
    guest_cpu_destroy(&v);
    guest_destroy(&g);
}

static void long_mode(void)
{
    struct guest g;
    struct guest_cpu v;

    guest_create(&g);
    GUEST_LOAD(&g, long_program);
    guest_cpu_create(&v, &g, sys.bsp, NOVA_EC_FPU);
    guest_long(&v, GUEST_CODE);
    exits(&v, guest_run(&v, v.mtd), GUEST_CPUID, "64-bit mode");
    tap_is(v.state.gpr[1], 0x123456789abcdef, "64-bit registers");
    exits(&v, guest_skip(&v, 2, 0), GUEST_HLT, "64-bit mode");
    guest_cpu_destroy(&v);
    guest_destroy(&g);
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    if (!guest_possible()) {
        tap_skip("no virtualization", "guests");
        return;
    }
    real_mode();
    long_mode();
}
