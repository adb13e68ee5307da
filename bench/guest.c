/*
 * Guests: an exit to a handler that does next to nothing, and back. The guest, which has an FPU, counts: two
 * instructions of its loop are part of each figure.
 *
 * SPDX-License-Identifier: MIT
 */

#include "bench.h"
#include "guest.h"

/* Replies that skip the instruction: CPUID with RAX to RDI, both ways; VMCALL or VMMCALL with all state out. */
void reply_cpuid(void);
void reply_call(void);

union nova_utcb *guest_utcb;

__asm__(".pushsection .text\n"
        "reply_cpuid:\n\tmov guest_utcb(%rip), %rax\n\taddq $2, 0x88(%rax)\n\t"
        "mov $1, %edi\n\tmov $0x12, %esi\n\tsyscall\n"
        "reply_call:\n\tmov guest_utcb(%rip), %rax\n\taddq $3, 0x88(%rax)\n\t"
        "mov $1, %edi\n\tmov $0x10, %esi\n\tsyscall\n"
        ".popsection");

_Static_assert(NOVA_IPC_REPLY == 1 && (NOVA_MTD_GPR_0_7 | NOVA_MTD_RIP) == 0x12 && NOVA_MTD_RIP == 0x10 &&
                   offsetof(struct nova_arch_state, rip) == 0x88,
               "handlers");

/* Each leaves the difference of two time stamps in R8. */
#define PROGRAM(name, instruction)                                                                           \
    GUEST_PROGRAM(name, ".code64",                                                                           \
                  "mov $10000, %esi; lfence; rdtsc; mov %eax, %r9d; shl $32, %rdx; or %rdx, %r9;"            \
                  "1:" instruction "; dec %esi; jnz 1b;"                                                     \
                  "lfence; rdtsc; mov %eax, %r8d; shl $32, %rdx; or %rdx, %r8; sub %r9, %r8; hlt; jmp .")

_Static_assert(ROUNDS == 10000, "programs");

PROGRAM(cpuids, "xor %eax, %eax; cpuid");
PROGRAM(vmcalls, "vmcall");
PROGRAM(vmmcalls, "vmmcall");
PROGRAM(quiet, "mov %cr8, %rax; mov %rax, %cr8");

static struct guest g;
static struct guest_cpu v;

static void handle_by(unsigned event, void (*entry)(void), uint32_t mtd)
{
    uint64_t sel = v.events + event;

    must(ctrl_pd(sys.root.obj, sys.root.obj, sel, sel, 0, 0, 0), "dropping a portal");
    portal_create_at(sel, v.handler, entry, 0, mtd);
}

static void measure(const char *start, const char *end, const char *operation)
{
    guest_load(&g, GUEST_CODE, start, end);
    guest_long(&v, GUEST_CODE);
    v.state.xcr0 = option("xcr0", 3);
    guest_run(&v, v.mtd);
    bench_report(v.exit == GUEST_HLT, v.state.gpr[8] / ROUNDS, operation);
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    if (!guest_possible()) {
        tap_skip("no virtualization", "exits of guests");
        return;
    }
    guest_create(&g);
    guest_cpu_create(&v, &g, sys.bsp, NOVA_EC_FPU);
    guest_utcb = v.handler->utcb;
    handle_by(guest_vmx() ? 10 : 0x72, reply_cpuid, NOVA_MTD_GPR_0_7 | NOVA_MTD_RIP);
    handle_by(guest_vmx() ? 18 : 0x81, reply_call, GUEST_ALL_OUT);
    measure(cpuids, cpuids_end, "VM exit, GPR 0-7 and RIP both ways, and back");
    measure(guest_vmx() ? vmcalls : vmmcalls, guest_vmx() ? vmcalls_end : vmmcalls_end,
            "VM exit with all state out, RIP in, and back");
    measure(quiet, quiet_end, "guest reads and writes CR8");
}
