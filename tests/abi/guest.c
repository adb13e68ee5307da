/*
 * Guests: programs in real mode and in 64-bit mode; each instruction that exits, in any case or if the VMM wants it; those
 * that do not.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"
#include "system.h"
#include "tap.h"

static struct guest g;
static struct guest_cpu v;

/* -- Two modes -- */

GUEST_PROGRAM(real_program, ".code16", "cpuid; mov %eax, %ebx; out %al, $0x80; hlt; jmp .");
GUEST_PROGRAM(long_program, ".code64", "mov $0x123456789abcdef, %rcx; cpuid; hlt; jmp .");

static void real_mode(void)
{
    GUEST_LOAD(&g, real_program);
    guest_real(&v, GUEST_CODE);
    guest_is(&v, guest_run(&v, v.mtd), GUEST_CPUID, "real mode");
    tap_is(v.state.rip, GUEST_CODE, "RIP is that of the instruction");
    v.state.gpr[0] = 0x12345678;
    guest_is(&v, guest_skip(&v, 2, NOVA_MTD_GPR_0_7), GUEST_IO, "real mode");
    tap_is(v.state.gpr[3], 0x12345678, "the guest has got the VMM's register");
    tap_is(v.state.inst_len, 2, "length of the I/O instruction");
    guest_is(&v, guest_skip(&v, 2, 0), GUEST_HLT, "real mode");
}

static void long_mode(void)
{
    GUEST_LOAD(&g, long_program);
    guest_long(&v, GUEST_CODE);
    guest_is(&v, guest_run(&v, v.mtd), GUEST_CPUID, "64-bit mode");
    tap_is(v.state.gpr[1], 0x123456789abcdef, "64-bit registers");
    guest_is(&v, guest_skip(&v, 2, 0), GUEST_HLT, "64-bit mode");
}

/* -- Instructions: all end with a jump to themselves, and an exit must come before that -- */

#define INSTRUCTION(name, text) GUEST_PROGRAM(name, ".code64", text "; hlt; jmp .")

INSTRUCTION(i_in, "inb $0x70, %al");
INSTRUCTION(i_in_dx, "mov $0xcfc, %edx; inl %dx, %eax");
INSTRUCTION(i_ins, "mov $0x10000, %edi; mov $4, %ecx; mov $0x1f0, %edx; rep insw");
INSTRUCTION(i_outs, "mov $0x10000, %esi; mov $4, %ecx; mov $0x1f0, %edx; rep outsb");
INSTRUCTION(i_rdmsr, "mov $0x1b, %ecx; rdmsr");
INSTRUCTION(i_wrmsr, "mov $0x1b, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr");
INSTRUCTION(i_rdmsr_efer, "mov $0xc0000080, %ecx; rdmsr");
INSTRUCTION(i_rdmsr_far, "mov $0x40000000, %ecx; rdmsr");
INSTRUCTION(i_rdmsr_spec_ctrl, "mov $0x48, %ecx; rdmsr");
INSTRUCTION(i_invd, "invd");
INSTRUCTION(i_xsetbv, "mov %cr4, %rax; or $0x40000, %eax; mov %rax, %cr4; xor %ecx, %ecx; xor %edx, %edx;"
                      "mov $3, %eax; xsetbv");
INSTRUCTION(i_rdpmc, "xor %ecx, %ecx; rdpmc");
INSTRUCTION(i_shutdown, "ud2"); /* the IDT is empty */
INSTRUCTION(i_cr0_cd, "mov %cr0, %rax; or $0x40000000, %eax; mov %rax, %cr0");
INSTRUCTION(i_memory, "mov $0x40001234, %eax; mov %ecx, (%rax)");
INSTRUCTION(i_fetch, "mov $0x40001234, %eax; jmp *%rax");
INSTRUCTION(i_vmmcall, "vmmcall");
INSTRUCTION(i_vmcall, "vmcall");
INSTRUCTION(i_pause, "pause");
INSTRUCTION(
    i_quiet,
    "rdtsc; mov %cr3, %rax; mov %rax, %cr3; mov %cr4, %rax; mov %rax, %cr4; mov %cr8, %rax;"
    "mov %rax, %cr8; invlpg (%rax); mov %dr7, %rax; mov %rax, %dr7; mov %dr0, %rax; pushf; popf;"
    "cli; sgdt 0x10000; lgdt 0x10000; sidt 0x10000; lidt 0x10000; str %ax; sldt %ax; smsw %ax; clts; pause;"
    "mov $0x28, %eax; movb $0x89, 0x202d; ltr %ax; fninit; swapgs; swapgs");
INSTRUCTION(i_wbinvd, "wbinvd");
INSTRUCTION(s_vmrun, "mov $0x10000, %eax; vmrun");
INSTRUCTION(s_vmload, "mov $0x10000, %eax; vmload");
INSTRUCTION(s_vmsave, "mov $0x10000, %eax; vmsave");
INSTRUCTION(s_stgi, "stgi");
INSTRUCTION(s_clgi, "clgi");
INSTRUCTION(s_invlpga, "xor %eax, %eax; xor %ecx, %ecx; invlpga");
INSTRUCTION(v_vmxoff, "vmxoff");
INSTRUCTION(v_vmlaunch, "vmlaunch");
INSTRUCTION(v_vmread, "vmread %rax, %rcx");
INSTRUCTION(v_invept, "sub $16, %rsp; invept (%rsp), %rax");

static enum guest_exit run_program(const char *start, const char *end)
{
    guest_load(&g, GUEST_CODE, start, end);
    guest_long(&v, GUEST_CODE);
    return guest_run(&v, v.mtd);
}

#define EXIT(name, want, what) guest_is(&v, run_program(i_##name, i_##name##_end), want, what)
#define VIRTUALIZATION(name) guest_is(&v, run_program(name, name##_end), GUEST_VIRT, #name)

static void io(void)
{
    const bool vmx = guest_vmx();

    EXIT(in, GUEST_IO, "IN");
    tap_is(v.state.qual[0] >> 16, 0x70, "IN: the port");
    tap_ok(v.state.qual[0] & (vmx ? 8 : 1), "IN: the direction");
    tap_is(v.state.inst_len, 2, "IN: the length");
    EXIT(in_dx, GUEST_IO, "IN with DX");
    tap_is(v.state.qual[0] >> 16, 0xcfc, "IN with DX: the port");
    tap_is(v.state.inst_len, 1, "IN with DX: the length");
    EXIT(ins, GUEST_IO, "REP INS");
    tap_is(v.state.qual[0] >> (vmx ? 4 : 2) & 3, 3, "REP INS: string, repeated");
    tap_is(v.state.gpr[1], 4, "REP INS: before the first access");
    EXIT(outs, GUEST_IO, "REP OUTS");
    tap_is(v.state.inst_len, 2, "REP OUTS: the length");
}

static void instructions(void)
{
    io();
    EXIT(rdmsr, GUEST_RDMSR, "RDMSR");
    tap_is(v.state.gpr[1], 0x1b, "RDMSR: the number");
    EXIT(wrmsr, GUEST_WRMSR, "WRMSR");
    EXIT(rdmsr_efer, GUEST_RDMSR, "RDMSR of EFER");
    EXIT(rdmsr_far, GUEST_RDMSR, "RDMSR of a number without a bit");
    EXIT(rdmsr_spec_ctrl, GUEST_RDMSR, "RDMSR of SPEC_CTRL");
    if (guest_tcg()) { /* takes INVD for WBINVD */
        run_program(i_invd, i_invd_end);
        tap_is(v.event, 0x89, "INVD");
    } else {
        EXIT(invd, GUEST_INVD, "INVD");
    }
    run_program(i_wbinvd, i_wbinvd_end);
    tap_is(v.event, guest_vmx() ? 54 : 0x89, "WBINVD");
    EXIT(rdpmc, GUEST_RDPMC, "RDPMC");
    if (option("bochs", 0) && !guest_vmx())
        tap_skip("Bochs stops", "triple fault");
    else
        EXIT(shutdown, GUEST_SHUTDOWN, "triple fault");
    EXIT(cr0_cd, GUEST_CR, "CR0.CD");
    EXIT(memory, GUEST_MEMORY, "write of memory that is not there");
    tap_is(v.state.qual[2], 0x40001234, "the guest-physical address");
    tap_ok(v.state.qual[0] & 2, "it is a write");
    EXIT(fetch, GUEST_MEMORY, "execution of memory that is not there");
    tap_is(v.state.qual[2], 0x40001234, "the guest-physical address");
    if (guest_vmx())
        EXIT(vmcall, GUEST_CALL, "VMCALL");
    else
        EXIT(vmmcall, GUEST_CALL, "VMMCALL");
    if (guest_tcg()) { /* does not intercept it */
        EXIT(xsetbv, GUEST_HLT, "XSETBV");
        tap_is(v.state.xcr0, 3, "XSETBV: the VMM learns of it");
    } else {
        EXIT(xsetbv, GUEST_XSETBV, "XSETBV");
    }
    EXIT(quiet, GUEST_HLT, "instructions that need not exit");
}

/* The kernel's state must not be changed by these, whatever it is. */
static void virtualization(void)
{
    if (guest_vmx()) {
        VIRTUALIZATION(v_vmxoff);
        VIRTUALIZATION(v_vmlaunch);
        VIRTUALIZATION(v_vmread);
    } else {
        VIRTUALIZATION(s_vmrun);
        VIRTUALIZATION(s_vmload);
        VIRTUALIZATION(s_vmsave);
        VIRTUALIZATION(s_stgi);
        VIRTUALIZATION(s_clgi);
        VIRTUALIZATION(s_invlpga);
    }
}

/* Exits that the VMM asks for, here PAUSE, and cannot do without, here HLT. */
static void controls(void)
{
    const uint32_t pri = v.controls_pri, sec = v.controls_sec;

    EXIT(pause, GUEST_HLT, "PAUSE, not wanted");
    v.controls_pri |= guest_vmx() ? 1U << 30 : 1U << 23;
    EXIT(pause, GUEST_PAUSE, "PAUSE, wanted");
    v.controls_pri = v.controls_sec = 0;
    EXIT(pause, GUEST_HLT, "HLT, not wanted");
    EXIT(in, GUEST_IO, "IN, not wanted");
    EXIT(rdmsr, GUEST_RDMSR, "RDMSR, not wanted");
    EXIT(memory, GUEST_MEMORY, "nested paging, not wanted");
    v.controls_pri = v.controls_sec = UINT32_MAX;
    EXIT(in, GUEST_IO, "IN, with all controls wanted");
    v.controls_pri = pri;
    v.controls_sec = sec;
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
    guest_create(&g);
    guest_cpu_create(&v, &g, sys.bsp, NOVA_EC_FPU);
    real_mode();
    long_mode();
    instructions();
    virtualization();
    controls();
    guest_cpu_destroy(&v);
    guest_destroy(&g);
}
