/*
 * What devices are tested with: vCPUs that only note what they are asked, and a machine and a log that count.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "cpu/vcpu.h"

/* `count` vCPUs whose LAPICs are as after power-on, but enabled by software if `enable`. Counters are 0. */
void fake_vcpus(unsigned count, bool enable);

/* Requests to a vCPU since the last call. */
unsigned fake_asked(unsigned number);

/* Vector of the last start-up IPI. */
extern unsigned fake_sipi[VCPU_MAX];

/* Calls of machine_power_off() and machine_reset(), lines in the log. */
extern unsigned fake_power_offs, fake_resets, fake_lines;

/* Errors of the guest since the last call. */
unsigned fake_errors(void);

/* Whether a vector is requested, in the only LAPIC with requests if `number` is -1; it is taken away. */
bool fake_requested(int number, uint8_t vector);

/* Whether nothing is requested at any LAPIC. */
bool fake_quiet(void);
