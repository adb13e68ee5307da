/*
 * The machine as a whole: its phases, and what the main thread does about requests.
 *
 * Any thread posts requests; the main thread takes them. While vCPUs are parked it has everything for itself.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/machine.h"

#include "acpi/acpi.h"
#include "console.h"
#include "cpu/cpu.h"
#include "cpu/time.h"
#include "dev/irq.h"
#include "dev/pci.h"
#include "dev/power.h"
#include "dev/rtc.h"
#include "dev/uart.h"
#include "ram.h"
#include "virtio/virtio.h"

#include <nova/error.h>
#include <nova/log.h>
#include <nova/program.h>
#include <nova/string.h>
#include <nova/sync.h>

#define RESET_VECTOR 0xffff0UL
#define REPORTS 3U /* of registers, for triple faults */

enum {
    POST_OFF = 1 << 0,
    POST_RESET = 1 << 1,
    POST_BROKEN = 1 << 2,
    POST_PAUSE = 1 << 3,
    POST_RESUME = 1 << 4,
    POST_TRIPLE = 1 << 5,
    POST_WORK = 1 << 6
};

uint32_t machine_phase = MACHINE_STOPPED, machine_epoch;
struct boot_state machine_entry;

static uint32_t posted, parked; /* atomic */
static uint32_t shown;          /* atomic: vCPUs that have filled in their registers */
static const struct machine_config *config;
static unsigned fallen_vcpu; /* atomic: of the last triple fault */
static unsigned broken_vcpu; /* with `broken`: the first one */
static const char *broken;   /* atomic */

static void post(uint32_t what)
{
    __atomic_fetch_or(&posted, what, __ATOMIC_SEQ_CST);
    nova_futex_wake(&posted, 1);
}

void machine_power_off(void)
{
    post(POST_OFF);
}

void machine_reset(void)
{
    post(POST_RESET);
}

void machine_pause(bool pause)
{
    post(pause ? POST_PAUSE : POST_RESUME);
}

void machine_work(void)
{
    post(POST_WORK);
}

void machine_power_button(void)
{
    power_button();
}

void machine_parked(bool is)
{
    __atomic_fetch_add(&parked, is ? 1 : UINT32_MAX, __ATOMIC_SEQ_CST);
    if (is)
        nova_futex_wake(&parked, 1);
    else
        vcpu_ask(0, VCPU_PAUSE); /* may wait to be the last one */
}

bool machine_may_run(unsigned vcpu)
{
    return __atomic_load_n(&machine_phase, __ATOMIC_SEQ_CST) == MACHINE_RUNNING &&
           (vcpu || __atomic_load_n(&parked, __ATOMIC_SEQ_CST) == 1);
}

void machine_broken(unsigned vcpu, const char *why)
{
    const char *none = NULL;

    if (!__atomic_load_n(&broken, __ATOMIC_ACQUIRE))
        broken_vcpu = vcpu;
    __atomic_compare_exchange_n(&broken, &none, why, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    post(POST_BROKEN);
}

void machine_triple_fault(unsigned vcpu)
{
    __atomic_store_n(&fallen_vcpu, vcpu, __ATOMIC_RELAXED);
    post(POST_TRIPLE);
}

void machine_registers(unsigned vcpu)
{
    __atomic_fetch_or(&shown, 1U << vcpu, __ATOMIC_SEQ_CST);
    nova_futex_wake(&shown, 1);
}

bool machine_collect(unsigned vcpu, uint64_t deadline)
{
    uint32_t seen = __atomic_and_fetch(&shown, ~(1U << vcpu), __ATOMIC_SEQ_CST);

    vcpu_ask(vcpu, VCPU_REGISTERS);
    while (!((seen = __atomic_load_n(&shown, __ATOMIC_ACQUIRE)) >> vcpu & 1))
        if (nova_futex_wait(&shown, seen, deadline, 0) == NOVA_ERR_TIMEOUT)
            return false;
    return true;
}

static void ask_all(void)
{
    for (unsigned i = 0; i < vcpu_count; i++)
        vcpu_ask(i, VCPU_PAUSE);
}

/* All vCPUs are parked when this returns. */
static void stop(enum machine_phase phase)
{
    uint32_t count;

    __atomic_store_n(&machine_phase, phase, __ATOMIC_SEQ_CST);
    ask_all();
    while ((count = __atomic_load_n(&parked, __ATOMIC_SEQ_CST)) < vcpu_count)
        nova_futex_wait(&parked, count, NOVA_NEVER, 0);
}

static void go(void)
{
    __atomic_store_n(&machine_phase, MACHINE_RUNNING, __ATOMIC_SEQ_CST);
    ask_all();
}

/*
 * What is at the reset vector of real mode, where Linux jumps to for a reset if the machine has neither the firmware of EFI
 * nor full ACPI hardware: a write to the reset register, in 16-bit code.
 */
static void write_reset_vector(void)
{
    static const uint8_t code[] = {
        0xba,
        ACPI_RESET & 0xff,
        ACPI_RESET >> 8, /* mov $ACPI_RESET, %dx */
        0xb0,
        ACPI_RESET_VALUE, /* mov $ACPI_RESET_VALUE, %al */
        0xee,             /* out %al, %dx */
        0xf4,
        0xeb,
        0xfd /* 1: hlt; jmp 1b */
    };

    memcpy(ram_at(RESET_VECTOR, sizeof(code)), code, sizeof(code));
}

/* As after power-on: devices, memory, the guest's system. Guest memory is zero the first time. */
static void set_up(void)
{
    const struct nova_info *info = nova_info();
    const char *error;

    virtio_reset(); /* the first, as back ends write to guest memory */
    if (machine_epoch) {
        memset(ram_at(0, ram_low_end()), 0, ram_low_end());
        if (ram_high_end() > RAM_HIGH)
            memset(ram_at(RAM_HIGH, ram_high_end() - RAM_HIGH), 0, ram_high_end() - RAM_HIGH);
    }
    irq_reset();
    pci_reset();
    uart_reset();
    rtc_reset();
    acpi_write(vcpu_count);
    write_reset_vector();
    error = boot_load((const void *)info->kernel_start, info->kernel_size, (const void *)info->initrd_start,
                      info->initrd_size, config->cmdline, &machine_entry);
    if (error) {
        nova_print("cannot boot: %s\n", error);
        nova_exit(1);
    }
    machine_epoch++;
    time_restart();
}

/* The machine ends: the text that the guest has written comes first. */
static _Noreturn void end(int status)
{
    console_flush();
    nova_exit(status);
}

static void pause(bool wanted)
{
    if (wanted && machine_phase == MACHINE_RUNNING) {
        stop(MACHINE_PAUSED);
        time_pause();
    } else if (!wanted && machine_phase == MACHINE_PAUSED) {
        time_resume();
        go();
    }
}

static void report_broken(void)
{
    console_flush();
    nova_print("vCPU %u: %s (event %#x)\n", broken_vcpu, broken, vcpus[broken_vcpu].event);
    machine_print_registers(broken_vcpu);
    end(1);
}

/* A guest may do nothing but fall: after some times it gets one line only. */
static void report_triple_fault(void)
{
    unsigned vcpu = __atomic_load_n(&fallen_vcpu, __ATOMIC_RELAXED);
    static unsigned reports;

    console_flush();
    nova_print("vCPU %u: triple fault\n", vcpu);
    if (reports++ < REPORTS || config->stop_on_triple_fault)
        machine_print_registers(vcpu);
    if (config->stop_on_triple_fault)
        end(1);
}

static void act(uint32_t what)
{
    if (what & POST_BROKEN)
        report_broken();
    if (what & POST_OFF)
        end(0);
    if (what & POST_TRIPLE)
        report_triple_fault();
    if (what & (POST_RESET | POST_TRIPLE)) {
        nova_print("reset\n");
        stop(MACHINE_STOPPED);
        __atomic_fetch_and(&posted, ~(uint32_t)(POST_RESET | POST_TRIPLE | POST_OFF), __ATOMIC_SEQ_CST);
        set_up();
        go();
    }
    if (what & POST_WORK)
        virtio_work();
    if (what & POST_PAUSE)
        pause(true);
    if (what & POST_RESUME)
        pause(false);
}

_Noreturn void machine_run(const struct machine_config *machine)
{
    config = machine;
    stop(MACHINE_STOPPED);
    set_up();
    go();
    for (;;) {
        uint32_t what = __atomic_exchange_n(&posted, 0, __ATOMIC_SEQ_CST);

        act(what);
        if (!what)
            nova_futex_wait(&posted, 0, NOVA_NEVER, 0);
    }
}
