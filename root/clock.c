/*
 * Time of day at boot, from the clock that runs on the battery (MC146818 and its successors).
 *
 * SPDX-License-Identifier: MIT
 */

#include "system.h"

enum { SECOND = 0, MINUTE = 2, HOUR = 4, DAY = 7, MONTH, YEAR, STATE, MODE, REGISTERS };

#define UPDATING 0x80 /* state */
#define BINARY 0x04   /* mode */
#define HOURS_24 0x02
#define AFTERNOON 0x80 /* of the hour, if there are 12 */
#define DAYS_TO_2000 10957
#define TRIES 10000

int64_t wall_clock;

int64_t clock_seconds(const uint8_t *reg)
{
    static const uint16_t before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t value[YEAR + 1] = {0}, month, days;

    for (unsigned i = 0; i <= YEAR; i++) {
        int64_t v = i == HOUR ? reg[i] & ~AFTERNOON : reg[i];

        value[i] = reg[MODE] & BINARY ? v : v % 16 + v / 16 * 10;
    }
    if (!(reg[MODE] & HOURS_24))
        value[HOUR] = value[HOUR] % 12 + (reg[HOUR] & AFTERNOON ? 12 : 0);
    month = (value[MONTH] + 11) % 12;
    days = DAYS_TO_2000 + value[YEAR] * 365 + (value[YEAR] + 3) / 4; /* 2000 is a leap year */
    days += before[month] + (value[YEAR] % 4 == 0 && month > 1) + value[DAY] - 1;
    return ((days * 24 + value[HOUR]) * 60 + value[MINUTE]) * 60 + value[SECOND];
}

static void read_all(uint8_t *reg)
{
    for (uint8_t n = 0; n < REGISTERS; n++) {
        out8(CLOCK_PORT, n);
        reg[n] = in8(CLOCK_PORT + 1);
    }
}

void clock_init(void)
{
    uint8_t reg[REGISTERS], again[REGISTERS];
    uint64_t stamp, ns, f = hip->stc_frequency;
    unsigned tries = 0;

    do {
        read_all(reg);
        read_all(again);
        stamp = now();
    } while (++tries < TRIES && (reg[STATE] & UPDATING || memcmp(reg, again, sizeof(reg)) != 0));
    ns = stamp / f * 1000000000 + stamp % f * 1000000000 / f;
    wall_clock = clock_seconds(reg) * 1000000000 - (int64_t)ns;
}
