/*
 * Time of day at boot, from the clock that runs on the battery (MC146818 and its successors).
 *
 * SPDX-License-Identifier: MIT
 */

#include "clock.h"

#include "system.h"

#define UPDATING 0x80 /* register A */
#define BINARY 0x04   /* register B */
#define HOURS_24 0x02
#define READS 1000000

static uint8_t clock_read(uint8_t reg)
{
    out8(CLOCK_PORT, reg);
    return in8(CLOCK_PORT + 1);
}

static void read_all(struct clock_time *t)
{
    for (unsigned i = 0; i < READS && clock_read(0xa) & UPDATING; i++)
        __builtin_ia32_pause();
    *t = (struct clock_time){.second = clock_read(0),
                             .minute = clock_read(2),
                             .hour = clock_read(4),
                             .day = clock_read(7),
                             .month = clock_read(8),
                             .year = clock_read(9)};
}

int64_t wall_clock;

void clock_init(void)
{
    struct clock_time t, again;
    uint64_t stamp, ns, f = hip->stc_frequency;
    uint8_t mode = clock_read(0xb);

    read_all(&again);
    do {
        t = again;
        read_all(&again);
        stamp = now();
    } while (memcmp(&t, &again, sizeof(t)) != 0);

    ns = stamp / f * 1000000000 + stamp % f * 1000000000 / f;
    wall_clock = clock_seconds(&t, mode & BINARY, mode & HOURS_24) * 1000000000 - (int64_t)ns;
}
