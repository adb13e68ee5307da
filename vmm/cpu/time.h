/**
 * @file
 * Time of the guest: all of it is the TSC, and what can be computed from it.
 *
 * The guest's TSC is the host's plus an offset, the same for all vCPUs; it is never written. The paravirtual clock (Linux,
 * Documentation/virt/kvm/x86/msr.rst) tells the guest how to make nanoseconds of it. It does not go on while the machine is
 * paused.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

/** Factor of a clock: ns = (ticks << shift) * multiplier >> 32; a negative shift is to the right. */
struct time_scale {
    uint32_t multiplier;
    int8_t shift;
};

/** struct pvclock_vcpu_time_info; the guest need only align it to 4 bytes. */
struct time_page {
    uint32_t version; /**< odd while it is being written */
    uint32_t reserved;
    uint64_t tsc_timestamp;
    uint64_t system_time; /**< nanoseconds at that time */
    uint32_t tsc_to_system_mul;
    int8_t tsc_shift;
    uint8_t flags;
    uint8_t reserved2[2];
} __attribute__((packed, aligned(4)));

_Static_assert(sizeof(struct time_page) == 32, "interface of the guest");

#define TIME_STABLE 1U  /**< the same for all vCPUs */
#define TIME_STOPPED 2U /**< the guest was stopped by its host */

/** struct pvclock_wall_clock. */
struct time_wall {
    uint32_t version, seconds, nanoseconds;
};

_Static_assert(sizeof(struct time_wall) == 12, "interface of the guest");

/** Pure: the scale of a counter of `frequency` Hz (1 kHz to 2^40 Hz), exact to 2^-31; and its use. */
struct time_scale time_scale(uint64_t frequency);
uint64_t time_scaled(struct time_scale scale, uint64_t ticks);

/** Once: frequency of the TSC in Hz; nanoseconds since 1970 when the host's TSC was 0. */
void time_init(uint64_t frequency, int64_t wall_offset);

/** The guest's TSC minus the host's, when the first vCPU tells; the same for all, and constant. */
void time_set_offset(uint64_t tsc_offset);

/** Nanoseconds since 1970. */
uint64_t time_wall(void);

uint64_t time_frequency(void);

/** The guest's TSC. */
uint64_t time_now(void);

/** Deadline of a hypercall for a value of the guest's TSC: never 0, which would mean to wait for ever. */
uint64_t time_deadline(uint64_t tsc);

/** The paravirtual clock starts at 0, stops, goes on. While no vCPU runs. */
void time_restart(void);
void time_pause(void);
void time_resume(void);

/** Fills a page of a vCPU; what the guest reads at the same time it reads again. `flags`: besides TIME_STABLE. */
void time_publish(struct time_page *page, uint8_t flags);

/** Fills in the wall-clock time at which the paravirtual clock was 0. */
void time_publish_wall(struct time_wall *wall);
