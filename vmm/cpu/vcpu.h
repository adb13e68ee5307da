/*
 * Virtual CPUs: what devices and others may ask of them.
 *
 * The state of a vCPU changes on its own handler thread only. Others set bits of a request word, atomically, and wake it: by the
 * semaphore if it is halted, by a recall if it runs.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef VMM_CPU_VCPU_H
#define VMM_CPU_VCPU_H

#include "dev/lapic.h"

#define VCPU_MAX 8

/* Requests. */
enum vcpu_request {
    VCPU_INTERRUPT = 1 << 0, /* its LAPIC has accepted one */
    VCPU_NMI = 1 << 1,
    VCPU_INIT = 1 << 2,
    VCPU_SIPI = 1 << 3, /* with the vector in the upper half */
    VCPU_PAUSE = 1 << 4,
    VCPU_RESET = 1 << 5
};

extern unsigned vcpu_count;

struct lapic *vcpu_lapic(unsigned number);

/* Any thread. Never blocks. */
void vcpu_ask(unsigned number, unsigned requests);

/* Start-up IPI; any thread. */
void vcpu_sipi(unsigned number, uint8_t vector);

#endif
