/*
 * Exceptions and interrupts.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/interrupt.h"
#include "core/ipc.h"
#include "lib/panic.h"
#include "x86/apic.h"
#include "x86/asm.h"

#define VECTOR_PF 14

uint32_t nmi_count;

static void interrupt(struct cpu *cpu, unsigned vector)
{
    __atomic_store_n(&cpu->quiescent, cpu->quiescent + 1, __ATOMIC_RELEASE);
    if (vector < INTERRUPT_VECTOR + INTERRUPT_MAX) {
        interrupt_arrived(vector);
        return;
    }
    if (vector != VECTOR_SPURIOUS)
        apic_eoi();
    if (vector == VECTOR_TIMER)
        sc_tick(cpu);
    if (vector == VECTOR_IPI) {
        panic_check();
        cpu_serve(cpu);
    }
}

/* User mode was interrupted; the state is in the EC. */
_Noreturn void exception_user(struct ec *ec)
{
    struct cpu *cpu = ec->cpu;
    unsigned vector = (unsigned)ec->frame.vector;

    ec->cont = CONT_IRET;
    if (vector >= 32) {
        interrupt(cpu, vector);
        leave(cpu, ec);
    }
    if (vector == VECTOR_PF)
        ec->fault_addr = read_cr2();
    ipc_exception(cpu, ec, vector);
}

/* The kernel was interrupted: only interrupts may do that, and only where it waits for them. */
_Noreturn void exception_kernel(struct frame *frame)
{
    struct cpu *cpu = cpu_self();

    if (frame->vector < 32 || frame->cs != SEL_KERNEL_CODE)
        panic_frame(frame);
    __atomic_store_n(&cpu->idle, false, __ATOMIC_SEQ_CST); /* a full barrier */
    interrupt(cpu, (unsigned)frame->vector);
    reactivate(cpu);
}
