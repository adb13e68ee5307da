/**
 * @file
 * Virtual CPUs: what devices and others may ask of them.
 *
 * The state of a vCPU changes on its own handler thread only. Others set bits of a request word, atomically, and wake it: by the
 * semaphore if it is halted, by a recall if it runs.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "dev/lapic.h"

#define VCPU_MAX 8

/** Requests. */
enum vcpu_request {
    VCPU_INTERRUPT = 1 << 0, /**< its LAPIC has accepted one, or its timer may have expired */
    VCPU_NMI = 1 << 1,
    VCPU_INIT = 1 << 2,
    VCPU_SIPI = 1 << 3,     /**< by vcpu_sipi() */
    VCPU_PAUSE = 1 << 4,    /**< the phase of the machine has changed (cpu/machine.h) */
    VCPU_REGISTERS = 1 << 5 /**< all registers shall be reported */
};

extern unsigned vcpu_count;

struct lapic *vcpu_lapic(unsigned number);

/** Any thread. Never blocks. */
void vcpu_ask(unsigned number, unsigned requests);

/** Start-up IPI; any thread. */
void vcpu_sipi(unsigned number, uint8_t vector);
