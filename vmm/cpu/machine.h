/**
 * @file
 * Phases of the machine: vCPUs run, stand still, or wait for the machine to be set up.
 *
 * Changed by the main thread alone: it asks all vCPUs to look (VCPU_PAUSE), waits until all are parked, does its work, and lets
 * them go. So first start and reset are the same.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "boot/boot.h"
#include "dev/machine.h"

enum machine_phase { MACHINE_STOPPED, MACHINE_PAUSED, MACHINE_RUNNING };

extern uint32_t machine_phase;          /**< atomic */
extern uint32_t machine_epoch;          /**< counts starts; constant while vCPUs run */
extern struct boot_state machine_entry; /**< how the first vCPU starts; likewise */

/** From the configuration; constant. */
struct machine_config {
    const char *cmdline;
    bool stop_on_triple_fault; /**< instead of a reset */
};

/** The main thread, when all vCPUs have been created. */
_Noreturn void machine_run(const struct machine_config *config);

/** The vCPUs stand still, or go on. Any thread. */
void machine_pause(bool pause);

/** Brings the registers of a vCPU up to date, in struct vcpu; false: it did not answer in time. One thread. */
bool machine_collect(unsigned vcpu, uint64_t deadline);
void machine_print_registers(unsigned vcpu);

/** Devices have work for the main thread (virtio/virtio.h). Any thread; does not wait. */
void machine_work(void);

/** A vCPU is parked (true) or goes on. */
void machine_parked(bool parked);

/** May a parked vCPU go on? vCPU 0 only behind the others: what it asks of them they must not take for older than the start. */
bool machine_may_run(unsigned vcpu);

/** A vCPU cannot go on; the text is a literal. */
void machine_broken(unsigned vcpu, const char *why);

/** A vCPU has shut down: reset or stop, as configured. */
void machine_triple_fault(unsigned vcpu);

/** A vCPU has filled in its registers, as asked. */
void machine_registers(unsigned vcpu);
