/*
 * The calendar of the clock, against that of the host, for every day of a century and all forms of hours.
 *
 * Sources: clock.c
 *
 * SPDX-License-Identifier: MIT
 */

#define _DEFAULT_SOURCE
#include "clock.h"
#include "tap.h"

#include <time.h>

static uint8_t encode(int value, bool binary)
{
    return (uint8_t)(binary ? value : value / 10 * 16 + value % 10);
}

int main(void)
{
    for (time_t t = 946684800; t < 4102444800; t += 86400 / 2 + 1237)
        for (unsigned mode = 0; mode < 4; mode++) {
            bool binary = mode & 1, hours_24 = mode & 2;
            struct tm tm;
            struct clock_time c;
            int hour;

            gmtime_r(&t, &tm);
            hour = hours_24 ? tm.tm_hour : (tm.tm_hour + 11) % 12 + 1;
            c = (struct clock_time){.second = encode(tm.tm_sec, binary),
                                    .minute = encode(tm.tm_min, binary),
                                    .hour = encode(hour, binary),
                                    .day = encode(tm.tm_mday, binary),
                                    .month = encode(tm.tm_mon + 1, binary),
                                    .year = encode(tm.tm_year - 100, binary)};
            if (!hours_24 && tm.tm_hour >= 12)
                c.hour |= 0x80;
            CHECK(clock_seconds(&c, binary, hours_24) == t);
        }
    ok_checks("all days of the century");
    for (unsigned i = 0; i < 256; i++)
        clock_seconds(
            &(struct clock_time){(uint8_t)i, (uint8_t)i, (uint8_t)i, (uint8_t)i, (uint8_t)i, (uint8_t)i},
            i % 2, i % 3);
    ok(true, "no register leads outside of a table");
    return tap_done();
}
