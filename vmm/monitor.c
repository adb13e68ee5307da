/*
 * The monitor.
 *
 * SPDX-License-Identifier: MIT
 */

#include "monitor.h"

#include "cpu/cpu.h"
#include "cpu/machine.h"
#include "cpu/msr.h"
#include "dev/bus.h"

#include <nova/log.h>
#include <nova/time.h>

static const char *const phases[] = {
    [MACHINE_STOPPED] = "stopped", [MACHINE_PAUSED] = "paused", [MACHINE_RUNNING] = "running"};
static const char *const states[] = {[VCPU_OFF] = "off",
                                     [VCPU_WAIT_SIPI] = "waits to be started",
                                     [VCPU_RUNNING] = "runs",
                                     [VCPU_HALTED] = "halted",
                                     [VCPU_DEAD] = "dead"};

static uint64_t exits_of(const struct vcpu *v)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < NOVA_VM_EVENTS; i++)
        sum += v->exits[i];
    return sum;
}

static void print_state(void)
{
    nova_print("machine: %s; errors of the guest: %lu, unknown MSRs %lu, ports %lu, addresses %lu\n",
               phases[machine_phase], machine_guest_errors(), msr_unknown(), bus_misses(BUS_PIO),
               bus_misses(BUS_MMIO));
    for (unsigned i = 0; i < vcpu_count; i++)
        nova_print("vCPU %u: %s, %lu exits\n", i, states[vcpus[i].state], exits_of(&vcpus[i]));
}

static void print_exits(void)
{
    uint64_t all = 0;

    for (unsigned event = 0; event < NOVA_VM_EVENTS; event++) {
        const char *name = vendor.exits[event].name;
        uint64_t sum = 0;

        for (unsigned i = 0; i < vcpu_count; i++)
            sum += vcpus[i].exits[event];
        all += sum;
        if (sum)
            nova_print("exits: %8lu %s (%#x)\n", sum, name ? name : "?", event);
    }
    nova_print("exits: %8lu in all\n", all);
}

static void print_segment(const char *name, const struct nova_segment *s)
{
    nova_print("  %-4s %04x base %016lx limit %08x rights %04x\n", name, s->sel, s->base, s->limit, s->ar);
}

void machine_print_registers(unsigned vcpu)
{
    static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    const struct nova_arch_state *s = &vcpus[vcpu].registers;

    nova_print("vCPU %u: %s\n", vcpu, states[vcpus[vcpu].state]);
    for (unsigned i = 0; i < 16; i += 4)
        nova_print("  %-3s %016lx %-3s %016lx %-3s %016lx %-3s %016lx\n", names[i], s->gpr[i], names[i + 1],
                   s->gpr[i + 1], names[i + 2], s->gpr[i + 2], names[i + 3], s->gpr[i + 3]);
    nova_print("  rip %016lx rflags %08lx cr0 %08lx cr2 %016lx cr3 %016lx cr4 %08lx efer %04lx\n", s->rip,
               s->rflags, s->cr0, s->cr2, s->cr3, s->cr4, s->efer);
    print_segment("cs", &s->cs);
    print_segment("ss", &s->ss);
    print_segment("ds", &s->ds);
    print_segment("es", &s->es);
    print_segment("fs", &s->fs);
    print_segment("gs", &s->gs);
    print_segment("tr", &s->tr);
    print_segment("ldtr", &s->ldtr);
    print_segment("gdtr", &s->gdtr);
    print_segment("idtr", &s->idtr);
    nova_print("  exit %#lx %#lx %#lx interruptibility %x injection %x %x vectoring %x %x\n", s->qual[0],
               s->qual[1], s->qual[2], s->intr_state, s->inj_info, s->inj_error, s->vect_info, s->vect_error);
}

/* vCPUs that stand still do not answer: theirs are those of the moment before. */
static void collect_registers(void)
{
    for (unsigned i = 0; i < vcpu_count && machine_phase == MACHINE_RUNNING; i++)
        if (!machine_collect(i, nova_now() + NOVA_S))
            nova_print("vCPU %u does not answer\n", i);
}

static void print_registers(void)
{
    collect_registers();
    for (unsigned i = 0; i < vcpu_count; i++)
        machine_print_registers(i);
}

void monitor_command(uint64_t command)
{
    switch (command) {
    case NOVA_LOG_STATE:
        print_state();
        break;
    case NOVA_LOG_EXITS:
        print_exits();
        break;
    case NOVA_LOG_REGISTERS:
        print_registers();
        break;
    case NOVA_LOG_PAUSE:
        collect_registers();
        /* fallthrough */
    case NOVA_LOG_RESUME:
        machine_pause(command == NOVA_LOG_PAUSE);
        break;
    case NOVA_LOG_RESET:
        machine_reset();
        break;
    case NOVA_LOG_POWER:
        machine_power_button();
        break;
    default:
        nova_print(
            "no such command: s state, x exits, r registers, h halt, c continue, b reset, o power button\n");
    }
}
