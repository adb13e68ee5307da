/*
 * Real-time clock: every day from 1970 to 2199 against the C library, all formats, setting the time, UIP and flags. Power: the
 * values that count, and all others that do not.
 *
 * Sources: ram.c dev/bus.c dev/irq.c dev/ioapic.c dev/lapic.c dev/lapic_timer.c dev/machine.c dev/power.c dev/rtc.c
 * Sources: ../libnova/src/format.c
 * Fakes: vmm/dev/fake.c native/host/fake/sync.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "acpi/acpi.h"
#include "dev/bus.h"
#include "dev/fake.h"
#include "dev/irq.h"
#include "dev/power.h"
#include "dev/rtc.h"
#include "tap.h"

#include <string.h>
#include <time.h>

#define SECOND 1000000000UL
#define DAY 86400UL
#define B_SET 0x80U
#define B_BINARY 4U
#define B_24 2U

static uint64_t wall_time;
static uint64_t random_state = 11;

static uint64_t wall(void)
{
    return wall_time;
}

static uint8_t get(unsigned index)
{
    uint64_t value = 0;

    CHECK(bus_write(BUS_PIO, RTC_PORT, 1, index) && bus_read(BUS_PIO, RTC_PORT + 1, 1, &value) &&
          value <= 0xff);
    return (uint8_t)value;
}

static void put(unsigned index, unsigned value)
{
    CHECK(bus_write(BUS_PIO, RTC_PORT, 1, index) && bus_write(BUS_PIO, RTC_PORT + 1, 1, value));
}

static unsigned digits(unsigned value, unsigned format)
{
    return format & B_BINARY ? value : value / 10 * 16 + value % 10;
}

static unsigned hours(unsigned hour, unsigned format)
{
    if (format & B_24)
        return digits(hour, format);
    return digits(hour % 12 ? hour % 12 : 12, format) | (hour >= 12 ? 0x80 : 0);
}

/* Whether the registers say this time. */
static bool shows(uint64_t seconds, unsigned format)
{
    time_t time = (time_t)seconds;
    struct tm tm;

    gmtime_r(&time, &tm);
    return CHECK(get(0) == digits((unsigned)tm.tm_sec, format)) &&
           CHECK(get(2) == digits((unsigned)tm.tm_min, format)) &&
           CHECK(get(4) == hours((unsigned)tm.tm_hour, format)) &&
           CHECK(get(6) == digits((unsigned)tm.tm_wday + 1, format)) &&
           CHECK(get(7) == digits((unsigned)tm.tm_mday, format)) &&
           CHECK(get(8) == digits((unsigned)tm.tm_mon + 1, format)) &&
           CHECK(get(9) == digits((unsigned)tm.tm_year % 100, format)) &&
           CHECK(get(0x32) == digits((unsigned)tm.tm_year / 100 + 19, format));
}

static void test_calendar(void)
{
    put(11, B_24);
    for (uint64_t day = 0; day < 84006; day++) {
        wall_time = (day * DAY + (day * 7919) % DAY) * SECOND + day;
        shows(wall_time / SECOND, B_24);
    }
    for (unsigned format = 0; format < 8; format += 2) {
        put(11, format);
        for (uint64_t second = 0; second < DAY; second += 599) {
            wall_time = (1767225600 + second) * SECOND;
            shows(wall_time / SECOND, format);
        }
    }
    ok_checks("time of each day from 1970 to 2199, BCD and binary, 12 and 24 hours");
}

static void set_time(uint64_t seconds, unsigned format)
{
    time_t time = (time_t)seconds;
    struct tm tm;

    gmtime_r(&time, &tm);
    put(11, B_SET | format);
    put(0, digits((unsigned)tm.tm_sec, format));
    put(2, digits((unsigned)tm.tm_min, format));
    put(4, hours((unsigned)tm.tm_hour, format));
    put(7, digits((unsigned)tm.tm_mday, format));
    put(8, digits((unsigned)tm.tm_mon + 1, format));
    put(9, digits((unsigned)tm.tm_year % 100, format));
    put(0x32, digits((unsigned)tm.tm_year / 100 + 19, format));
    CHECK(get(0) == digits((unsigned)tm.tm_sec, format));
    put(11, format);
}

static void test_set(void)
{
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t seconds = tap_random(&random_state) % 7258118400;
        unsigned format = (unsigned)(i % 4) * 2;

        wall_time = tap_random(&random_state) % (7258118400 * SECOND);
        set_time(seconds, format);
        shows(seconds, format);
        wall_time += 100000 * SECOND;
        shows(seconds + 100000, format);
    }
    put(11, B_24);
    /* While SET is on nothing moves. */
    put(11, B_24 | B_SET);
    CHECK(get(0) == get(0));
    put(0, 0x21);
    wall_time += 5 * SECOND;
    CHECK(get(0) == 0x21 && get(10) == 0x26);
    put(11, B_24);
    CHECK(get(0) == 0x21);
    wall_time += 5 * SECOND;
    CHECK(get(0) == 0x26);
    /* Without SET each field counts at once. */
    put(0, 0x40);
    CHECK(get(0) == 0x40);
    /* The divider held in reset stops it, too. */
    put(10, 0x66);
    wall_time += 7 * SECOND;
    CHECK(get(0) == 0x40 && get(10) == 0x66);
    put(10, 0x26);
    CHECK(get(0) == 0x40);
    /* A reset of the machine lets it go. */
    put(11, B_SET);
    wall_time += 7 * SECOND;
    rtc_reset();
    CHECK(get(0) == 0x40 && get(11) == B_24);
    ok_checks("setting: with and without SET, stopped, formats");
}

/* Nonsense in the fields: some valid time results, the same each time. */
static void test_nonsense(void)
{
    static const unsigned fields[] = {0, 2, 4, 6, 7, 8, 9, 0x32};

    set_time(951696000, B_24); /* 2000-02-28 */
    put(7, 0x31);
    shows(951696000 + 3 * DAY, B_24); /* 31 February 2000 is 2 March */
    put(8, 0x13);
    shows(978393600, B_24); /* month 13: 2 January 2001 */
    for (unsigned i = 0; i < 20000; i++) {
        put(11, (unsigned)tap_random(&random_state) & 6);
        put(fields[tap_random(&random_state) % 8], tap_random(&random_state) & 0xff);
        put(11, B_24 | B_BINARY);
        CHECK(get(0) < 60 && get(2) < 60 && get(4) < 24 && get(7) >= 1 && get(7) <= 31);
        CHECK(get(8) >= 1 && get(8) <= 12 && get(6) >= 1 && get(6) <= 7);
    }
    ok_checks("fields beyond their range carry over");
}

static void test_flags(void)
{
    wall_time = 1000 * SECOND;
    rtc_reset();
    /* UIP in the last 2228 us of a second. */
    for (uint64_t t = 0; t < SECOND; t += 100000) {
        wall_time = 1000 * SECOND + t;
        CHECK(get(10) == (t >= SECOND - 2228000 ? 0xa6 : 0x26));
    }
    put(11, B_24 | B_SET);
    CHECK(get(10) == 0x26);
    put(11, B_24);
    put(10, 0x20); /* no periodic rate */
    get(12);
    CHECK(get(12) == 0);
    wall_time = 1001 * SECOND;
    CHECK(get(12) == 0x10 && get(12) == 0);
    put(11, B_24 | 0x10);
    wall_time += SECOND;
    CHECK(get(12) == 0x90 && get(12) == 0);
    put(11, B_24);
    for (unsigned rate = 1; rate < 16; rate++) {
        uint64_t hz = rate == 1 ? 256U : rate == 2 ? 128U : 32768U >> (rate - 1), seen = 0;

        put(10, 0x20 | rate);
        get(12);
        for (unsigned i = 0; i < hz * 4; i++) {
            wall_time += SECOND / hz / 4 + (i % 4 == 0);
            seen += (get(12) & 0x40) != 0;
        }
        CHECK(seen >= hz - 1 && seen <= hz + 1);
    }
    wall_time += SECOND;
    CHECK(get(12) == 0x50 && get(12) == 0);
    CHECK(get(13) == 0x80);
    put(12, 0xff);
    put(13, 0);
    CHECK(get(13) == 0x80);
    ok_checks("UIP, update-ended and periodic flags, all rates");
}

static void test_memory(void)
{
    uint64_t value;

    for (unsigned i = 0; i < 256; i++) {
        bool time = i % 128 < 14 || i % 128 == 0x32;

        if (!time) {
            put(i, i * 3 & 0xff);
            CHECK(get(i) == (i * 3 & 0xff) && get(i ^ 0x80) == (i * 3 & 0xff));
        }
    }
    put(1, 0x12);
    put(3, 0x34);
    put(5, 0x56);
    CHECK(get(1) == 0x12 && get(3) == 0x34 && get(5) == 0x56);
    rtc_reset();
    CHECK(get(0x40) == 0x40 && bus_read(BUS_PIO, RTC_PORT, 1, &value) && value == 0xff);
    ok_checks("memory and alarm registers keep what is written");
}

static void test_power(void)
{
    uint64_t value;

    fake_vcpus(1, true);
    for (unsigned port = 0x600; port < 0x608; port++) {
        for (unsigned v = 0; v < 256; v++) {
            fake_power_offs = fake_resets = 0;
            CHECK(bus_write(BUS_PIO, port, 1, v) && bus_read(BUS_PIO, port, 1, &value) && value == 0);
            CHECK(fake_power_offs == (port == ACPI_SLEEP_CONTROL && v == 0x34));
            CHECK(fake_resets == (port == ACPI_RESET && v == ACPI_RESET_VALUE));
        }
    }
    CHECK(fake_errors() == 7 * 256 - 2);
    CHECK(fake_lines > 0 && fake_lines < 20);
    bus_write(BUS_PIO, 0x604, 4, 0xffffff01);
    CHECK(fake_resets == 1);
    bus_write(BUS_MMIO, IRQ_IOAPIC, 4, 0x10 + 2 * IRQ_GED);
    bus_write(BUS_MMIO, IRQ_IOAPIC + 0x10, 4, 0x59);
    power_button();
    CHECK(fake_requested(0, 0x59) && fake_quiet());
    power_button();
    CHECK(fake_requested(0, 0x59) && fake_quiet());
    ok_checks("power: off, reset, button; other values are counted, not all are logged");
}

int main(void)
{
    CHECK(rtc_init(wall) && irq_init() && power_init() && !power_init());
    rtc_reset();
    test_calendar();
    test_set();
    test_nonsense();
    test_flags();
    test_memory();
    test_power();
    return tap_done();
}
