/*
 * Conversion of the clock's registers.
 *
 * SPDX-License-Identifier: MIT
 */

#include "clock.h"

#define AFTERNOON 0x80 /* of the hour, if there are 12 */
#define DAYS_TO_2000 10957

static int64_t number(uint8_t value, bool binary)
{
    return binary ? value : value % 16 + value / 16 * 10;
}

int64_t clock_seconds(const struct clock_time *t, bool binary, bool hours_24)
{
    static const uint16_t before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t hour = number(hours_24 ? t->hour : (uint8_t)(t->hour & ~AFTERNOON), binary);
    int64_t year = number(t->year, binary), month = (number(t->month, binary) + 11) % 12, days;

    if (!hours_24)
        hour = hour % 12 + (t->hour & AFTERNOON ? 12 : 0);
    days = DAYS_TO_2000 + year * 365 + (year + 3) / 4; /* 2000 is a leap year */
    days += before[month] + (year % 4 == 0 && month > 1) + number(t->day, binary) - 1;
    return ((days * 24 + hour) * 60 + number(t->minute, binary)) * 60 + number(t->second, binary);
}
