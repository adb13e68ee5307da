/*
 * Time of the guest.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/time.h"

#define NS_PER_S 1000000000U

static uint64_t frequency, offset;
static int64_t wall_offset;
static struct time_scale scale;

/* The paravirtual clock was `base_ns` at `base_tsc`. Written only while no vCPU runs. */
static uint64_t base_tsc, base_ns;

struct time_scale time_scale(uint64_t hz)
{
    struct time_scale s = {.shift = 0};
    uint64_t ticks = hz;
    unsigned __int128 quotient;

    /* Brings the multiplier to between 2^31 and 2^32. */
    for (; ticks > 2UL * NS_PER_S; s.shift--)
        ticks >>= 1;
    for (; ticks <= NS_PER_S; s.shift++)
        ticks <<= 1;
    quotient = (unsigned __int128)NS_PER_S << 32;
    quotient = s.shift < 0 ? (quotient << -s.shift) / hz : (quotient / hz) >> s.shift;
    s.multiplier = quotient > UINT32_MAX ? UINT32_MAX : (uint32_t)quotient;
    return s;
}

uint64_t time_scaled(struct time_scale s, uint64_t ticks)
{
    ticks = s.shift < 0 ? ticks >> -s.shift : ticks << s.shift;
    return (uint64_t)((unsigned __int128)ticks * s.multiplier >> 32);
}

void time_init(uint64_t hz, int64_t wall)
{
    frequency = hz;
    wall_offset = wall;
    scale = time_scale(hz);
}

void time_set_offset(uint64_t tsc_offset)
{
    offset = tsc_offset;
}

/* At a value of the host's TSC. */
static uint64_t wall_at(uint64_t tsc)
{
    return (uint64_t)((unsigned __int128)tsc * NS_PER_S / frequency) + (uint64_t)wall_offset;
}

uint64_t time_wall(void)
{
    return wall_at(__builtin_ia32_rdtsc());
}

uint64_t time_frequency(void)
{
    return frequency;
}

uint64_t time_now(void)
{
    return __builtin_ia32_rdtsc() + offset;
}

uint64_t time_deadline(uint64_t tsc)
{
    uint64_t host = tsc - offset;

    return host ? host : 1;
}

void time_restart(void)
{
    base_tsc = time_now();
    base_ns = 0;
}

void time_pause(void)
{
    base_ns += time_scaled(scale, time_now() - base_tsc);
}

void time_resume(void)
{
    base_tsc = time_now();
}

/* The guest reads the version before and after, and tries again if it was odd or has changed. */
void time_publish(struct time_page *page, uint8_t flags)
{
    uint32_t version = __atomic_load_n(&page->version, __ATOMIC_RELAXED) | 1;

    __atomic_store_n(&page->version, version, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    page->reserved = 0;
    page->tsc_timestamp = base_tsc;
    page->system_time = base_ns;
    page->tsc_to_system_mul = scale.multiplier;
    page->tsc_shift = scale.shift;
    page->flags = TIME_STABLE | flags;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&page->version, version + 1, __ATOMIC_RELAXED);
}

void time_publish_wall(struct time_wall *wall)
{
    uint64_t ns = wall_at(base_tsc - offset) - base_ns;
    uint32_t version = __atomic_load_n(&wall->version, __ATOMIC_RELAXED) | 1;

    __atomic_store_n(&wall->version, version, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    wall->seconds = (uint32_t)(ns / NS_PER_S);
    wall->nanoseconds = (uint32_t)(ns % NS_PER_S);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&wall->version, version + 1, __ATOMIC_RELAXED);
}
