/*
 * The calendar of the clock, against that of the host, for every day of a century and all forms of hours.
 *
 * Sources: clock.c
 *
 * SPDX-License-Identifier: MIT
 */

#define _DEFAULT_SOURCE
#include "system.h"
#include "tap.h"

#include <time.h>

const struct nova_hip *hip;

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
            int hour;

            gmtime_r(&t, &tm);
            hour = hours_24 ? tm.tm_hour : (tm.tm_hour + 11) % 12 + 1;
            uint8_t reg[12] = {[0] = encode(tm.tm_sec, binary),
                               [2] = encode(tm.tm_min, binary),
                               [4] = encode(hour, binary),
                               [7] = encode(tm.tm_mday, binary),
                               [8] = encode(tm.tm_mon + 1, binary),
                               [9] = encode(tm.tm_year - 100, binary),
                               [11] = (uint8_t)((binary ? 4 : 0) | (hours_24 ? 2 : 0))};
            if (!hours_24 && tm.tm_hour >= 12)
                reg[4] |= 0x80;
            CHECK(clock_seconds(reg) == t);
        }
    ok_checks("all days of the century");
    for (unsigned i = 0; i < 256; i++) {
        uint8_t reg[12];

        memset(reg, (int)i, sizeof(reg));
        reg[11] = (uint8_t)(i % 4 * 2);
        clock_seconds(reg);
    }
    ok(true, "no register leads outside of a table");
    return tap_done();
}
