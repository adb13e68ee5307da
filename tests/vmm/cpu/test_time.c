/*
 * Time of the guest: scaling, and the pages of the paravirtual clock as a guest reads them.
 *
 * Sources: cpu/time.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/time.h"
#include "tap.h"

#define NS_PER_S 1000000000UL
#define ROUNDS 200000

/* How the guest makes nanoseconds of its page. */
static uint64_t guest_ns(const struct time_page *p, uint64_t tsc)
{
    const struct time_scale scale = {.multiplier = p->tsc_to_system_mul, .shift = p->tsc_shift};

    return p->system_time + time_scaled(scale, tsc - p->tsc_timestamp);
}

static void test_scale(void)
{
    uint64_t seed = 1;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t hz = 1000 + tap_random(&seed) % (1UL << (10 + tap_random(&seed) % 30));
        uint64_t ticks = tap_random(&seed) >> (24 + tap_random(&seed) % 40);
        struct time_scale scale = time_scale(hz);
        unsigned __int128 exact = (unsigned __int128)ticks * NS_PER_S / hz;
        uint64_t ns;

        if (scale.shift > 0 && ticks >> (63 - scale.shift))
            continue;
        ns = time_scaled(scale, ticks);
        CHECK(ns <= exact + 1);
        CHECK(exact - ns <=
                  (exact >> 30) + (1UL << (scale.shift < 0 ? -scale.shift : 0)) * NS_PER_S / hz + 2 ||
              ns > exact);
        CHECK(time_scaled(scale, ticks + 1) >= ns);
    }
    ok_checks("scaled times are exact to 2^-30 and never run back");
}

static void test_page(void)
{
    struct time_page page = {.version = 7};
    struct time_wall wall = {.version = 2};
    uint64_t tsc, before;

    time_init(2000000000, 1600000000L * (int64_t)NS_PER_S);
    time_set_offset(-(__builtin_ia32_rdtsc()));
    time_restart();
    time_publish(&page, 0);
    CHECK(page.version == 8 && page.flags == TIME_STABLE);
    tsc = time_now();
    CHECK(guest_ns(&page, page.tsc_timestamp) == 0);
    CHECK(guest_ns(&page, page.tsc_timestamp + 2000000000) == NS_PER_S);
    CHECK(guest_ns(&page, tsc) < NS_PER_S);
    time_publish_wall(&wall);
    CHECK(wall.version == 4 && wall.nanoseconds < NS_PER_S);
    CHECK(wall.seconds >= 1600000000);
    ok_checks("clock and wall clock, with versions that end even");

    time_pause();
    before = guest_ns(&page, time_now());
    for (unsigned i = 0; i < 1000000; i++)
        __asm__ volatile("pause");
    time_resume();
    time_publish(&page, TIME_STOPPED);
    CHECK(page.flags == (TIME_STABLE | TIME_STOPPED));
    CHECK(page.system_time <= before);
    CHECK(guest_ns(&page, page.tsc_timestamp) <= before);
    ok_checks("the clock stands still during a pause");

    CHECK(time_deadline(time_now()) != 0);
    time_set_offset(5);
    CHECK(time_deadline(5) == 1 && time_deadline(105) == 100);
    ok_checks("a deadline is never 0");
}

int main(void)
{
    test_scale();
    test_page();
    return tap_done();
}
