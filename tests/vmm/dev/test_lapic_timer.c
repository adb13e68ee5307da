/*
 * Timer of the local APIC: deadlines and counts against exact fractions, for many frequencies, dividers and counts; periods
 * that are late; modes and the ways between them; numbers at the end of 64 bits.
 *
 * Sources: dev/irq.c dev/lapic.c dev/lapic_timer.c dev/machine.c ../libnova/src/format.c
 * Fakes: vmm/dev/fake.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/fake.h"
#include "dev/irq.h"
#include "tap.h"

enum { TIMER = 0x32, INITIAL = 0x38, CURRENT = 0x39, DIVIDE = 0x3e };

#define VECTOR 0xec
#define MASKED 0x10000U
#define ONE_SHOT 0U
#define PERIODIC 0x20000U
#define DEADLINE 0x40000U
#define RESERVED 0x60000U

typedef unsigned __int128 wide;

static struct lapic *lapic;
static uint64_t random_state = 5;

void irq_eoi(uint8_t vector)
{
    (void)vector;
}

static void start(uint64_t tsc_hz, uint32_t mode)
{
    fake_vcpus(1, true);
    lapic = vcpu_lapic(0);
    lapic_init_time(tsc_hz);
    CHECK(lapic_write(lapic, TIMER, 0, mode | VECTOR));
}

static uint64_t count_at(uint64_t now)
{
    uint64_t value;

    CHECK(lapic_read(lapic, CURRENT, now, &value));
    return value;
}

/* Whether the timer's interrupt comes at this time. */
static bool fires(uint64_t now)
{
    lapic_timer(lapic, now);
    CHECK(!lapic_is_level(lapic, VECTOR));
    return fake_requested(0, VECTOR);
}

/* Register values and dividers of figure 11-10. */
static const unsigned dividers[8][2] = {{0, 2},  {1, 4},  {2, 8},    {3, 16},
                                        {8, 32}, {9, 64}, {10, 128}, {11, 1}};

static void check_one_shot(uint64_t hz, unsigned divider, uint32_t count)
{
    uint64_t begin = tap_random(&random_state) >> 8, end;
    uint64_t unit = dividers[divider][1];
    wide ticks = (wide)count * unit * hz;

    start(hz, ONE_SHOT);
    CHECK(lapic_write(lapic, DIVIDE, begin, dividers[divider][0]));
    CHECK(lapic_write(lapic, INITIAL, begin, count));
    end = begin + (uint64_t)((ticks + LAPIC_TIMER_HZ - 1) / LAPIC_TIMER_HZ);
    CHECK(lapic->deadline == end && count_at(begin) == count && count_at(end) == 0);
    CHECK(!fires(begin) && !fires(end - 1));
    for (unsigned i = 0; i < 20; i++) {
        uint64_t time = begin + tap_random(&random_state) % (end - begin);
        wide gone = (wide)(time - begin) * LAPIC_TIMER_HZ / hz / unit;

        CHECK(count_at(time) == (gone < count ? count - (uint64_t)gone : 0));
    }
    CHECK(fires(end) && lapic->deadline == LAPIC_NEVER && count_at(end) == 0 && !fires(end + 1));
}

static void test_one_shot(void)
{
    static const uint64_t frequencies[] = {1, 999999999, 1000000000, 2625000000, 3400000001, 100000000000};
    static const uint32_t counts[] = {1, 2, 3, 1000, 62500, 0x7fffffff, 0xfffffffe, 0xffffffff};

    for (unsigned f = 0; f < sizeof(frequencies) / sizeof(*frequencies); f++) {
        for (unsigned d = 0; d < 8; d++) {
            for (unsigned c = 0; c < sizeof(counts) / sizeof(*counts); c++)
                check_one_shot(frequencies[f], d, counts[c]);
            for (unsigned i = 0; i < 50; i++)
                check_one_shot(frequencies[f], d, (uint32_t)tap_random(&random_state) | 1);
        }
    }
    ok_checks("one-shot: count and expiry are exact for all dividers");
}

static void test_periodic(void)
{
    uint64_t hz = 2625000000, period = 4000000UL * 2625 / 1000, now = 1000, interrupts = 0;

    start(hz, PERIODIC);
    CHECK(lapic_write(lapic, DIVIDE, now, 0xb) && lapic_write(lapic, INITIAL, now, 4000000));
    /* Looked at in time: one interrupt for each period. */
    for (unsigned i = 1; i <= 1000; i++) {
        now = 1000 + i * period;
        CHECK(!fires(now - 1) && fires(now) && lapic->deadline == now + period && count_at(now) == 4000000);
    }
    /* Late by random times: a period's interrupt is lost, but none comes early, and the phase stays. */
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t before = (now - 1000) / period, after;

        now += tap_random(&random_state) % (3 * period);
        after = (now - 1000) / period;
        CHECK(fires(now) == (after != before));
        CHECK(lapic->deadline == 1000 + (after + 1) * period);
        CHECK(count_at(now) == 4000000 - (now - 1000 - after * period) * 1000 / 2625);
        interrupts++;
    }
    CHECK(interrupts);
    CHECK(lapic_write(lapic, INITIAL, now, 0) && lapic->deadline == LAPIC_NEVER && !fires(now + 10 * period));
    /* An expiry that nobody has seen yet: the count has begun again. */
    CHECK(lapic_write(lapic, INITIAL, 0, 1000) && count_at(2625 + 263) == 1000 - 100);
    ok_checks("periodic: in time, late, stopped");
}

static void test_deadline(void)
{
    uint64_t value;

    start(2625000000, DEADLINE);
    CHECK(lapic_tsc_deadline(lapic) == 0 && lapic->deadline == LAPIC_NEVER);
    lapic_set_tsc_deadline(lapic, 5000);
    CHECK(lapic_tsc_deadline(lapic) == 5000 && count_at(100) == 0 && !fires(4999));
    CHECK(fires(5000) && lapic_tsc_deadline(lapic) == 0 && !fires(6000));
    lapic_set_tsc_deadline(lapic, 1);
    CHECK(fires(6000) && lapic_tsc_deadline(lapic) == 0);
    lapic_set_tsc_deadline(lapic, 7000);
    lapic_set_tsc_deadline(lapic, 0);
    CHECK(!fires(8000));
    /* Masked: it expires, silently. */
    lapic_set_tsc_deadline(lapic, 9000);
    CHECK(lapic_write(lapic, TIMER, 8500, DEADLINE | MASKED | VECTOR));
    CHECK(lapic_tsc_deadline(lapic) == 9000 && !fires(9000) && lapic_tsc_deadline(lapic) == 0);
    /* The initial count is ignored, and the deadline in the other modes. */
    CHECK(lapic_write(lapic, INITIAL, 9000, 77) && lapic_read(lapic, INITIAL, 9000, &value) && value == 0);
    CHECK(lapic->deadline == LAPIC_NEVER);
    CHECK(lapic_write(lapic, TIMER, 0, ONE_SHOT | VECTOR));
    lapic_set_tsc_deadline(lapic, 10000);
    CHECK(lapic_tsc_deadline(lapic) == 0 && lapic->deadline == LAPIC_NEVER);
    ok_checks("TSC deadline: armed, passed, past, masked, disarmed");
}

/* 11.5.4.1: to and from TSC-deadline mode the timer is disarmed; between the others it goes on. */
static void test_modes(void)
{
    static const uint32_t modes[] = {ONE_SHOT, PERIODIC, DEADLINE, RESERVED};

    for (unsigned from = 0; from < 4; from++) {
        for (unsigned to = 0; to < 4; to++) {
            bool kept = (from == 2) == (to == 2);

            start(1000000000, modes[from]);
            CHECK(lapic_write(lapic, DIVIDE, 0, 0xb) && lapic_write(lapic, INITIAL, 100, 1000));
            lapic_set_tsc_deadline(lapic, 1100);
            CHECK(lapic->deadline == 1100);
            CHECK(lapic_write(lapic, TIMER, 200, modes[to] | VECTOR));
            CHECK(lapic->deadline == (kept ? 1100 : LAPIC_NEVER));
            CHECK(fires(1100) == kept && (lapic->deadline == 2100) == (kept && to == 1));
        }
    }
    ok_checks("mode changes disarm the timer or do not");
}

static void test_divide(void)
{
    start(1000000000, ONE_SHOT);
    CHECK(lapic_write(lapic, DIVIDE, 0, 0xb) && lapic_write(lapic, INITIAL, 1000, 100));
    CHECK(lapic_write(lapic, DIVIDE, 1050, 0) && lapic->deadline == 1200 && count_at(1050) == 75);
    CHECK(fires(1200) && lapic_write(lapic, DIVIDE, 1300, 0xb) && lapic->deadline == LAPIC_NEVER);
    ok_checks("the divider changes while the timer counts");
}

static void test_moves(void)
{
    start(1000000000, PERIODIC);
    CHECK(lapic_write(lapic, DIVIDE, 0, 0xb) && lapic_write(lapic, INITIAL, 1000, 100));
    lapic_tsc_moved(lapic, 1UL << 40);
    CHECK(count_at(1030 + (1UL << 40)) == 70 && lapic->deadline == 1100 + (1UL << 40));
    lapic_tsc_moved(lapic, -(1UL << 40));
    CHECK(count_at(1030) == 70 && lapic->deadline == 1100 && fires(1100) && lapic->deadline == 1200);
    CHECK(lapic_write(lapic, TIMER, 0, DEADLINE | VECTOR));
    lapic_tsc_moved(lapic, 500);
    CHECK(lapic->deadline == LAPIC_NEVER);
    lapic_set_tsc_deadline(lapic, 3000);
    lapic_tsc_moved(lapic, 500);
    CHECK(lapic_tsc_deadline(lapic) == 3000);
    ok_checks("the TSC is set: counts go on, the deadline stays");
}

/* Nothing overflows or traps, whatever the guest does; the sanitizer looks on. */
static void test_ends(void)
{
    static const uint64_t times[] = {0, 1, 1UL << 32, 1UL << 62, 1UL << 63, UINT64_MAX - 1, UINT64_MAX};
    static const uint64_t frequencies[] = {1, 1000000000, 100000000000, UINT64_MAX};

    for (unsigned f = 0; f < 4; f++) {
        for (unsigned i = 0; i < 20000; i++) {
            uint64_t now = times[tap_random(&random_state) % 7];

            if (i % 500 == 0)
                start(frequencies[f], PERIODIC);
            switch (tap_random(&random_state) % 6) {
            case 0:
                lapic_write(lapic, TIMER, now, (uint32_t)tap_random(&random_state) & 0x700ff);
                break;
            case 1:
                lapic_write(lapic, INITIAL, now, tap_random(&random_state) % 4 ? 1 : UINT32_MAX);
                break;
            case 2:
                lapic_write(lapic, DIVIDE, now, tap_random(&random_state));
                break;
            case 3:
                lapic_set_tsc_deadline(lapic, times[tap_random(&random_state) % 7]);
                break;
            case 4:
                lapic_tsc_moved(lapic, times[tap_random(&random_state) % 7]);
                break;
            default:
                lapic_timer(lapic, now);
                CHECK(now < lapic->deadline || lapic->deadline == LAPIC_NEVER);
            }
            CHECK(count_at(times[tap_random(&random_state) % 7]) <= lapic->initial_count);
        }
    }
    ok_checks("times, frequencies and counts at the end of their range");
}

int main(void)
{
    test_one_shot();
    test_periodic();
    test_deadline();
    test_modes();
    test_divide();
    test_moves();
    test_ends();
    return tap_done();
}
