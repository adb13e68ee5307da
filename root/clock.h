/*
 * Calendar of the clock that runs on the battery.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef ROOT_CLOCK_H
#define ROOT_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_PORT 0x70

/* As the clock's registers have it; the year without its century. */
struct clock_time {
    uint8_t second, minute, hour, day, month, year;
};

/*
 * Seconds since 1970-01-01 UTC, for years 2000 to 2099. Registers hold binary numbers or BCD, and 24 or 12
 * hours.
 */
int64_t clock_seconds(const struct clock_time *time, bool binary, bool hours_24);

#endif
