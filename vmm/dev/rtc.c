/*
 * Real-time clock: the wall clock of the host, plus what the guest has set it to differ by.
 *
 * The guest sees a second's registers until its end; in the last 2228 us (244 us notice, 1984 us for the update) UIP is set,
 * with all time bases. While SET is on, registers are memory; when it goes off the time begins to run with what they say.
 * Update-ended and periodic flags follow the clock, so that a guest can poll them. There is no interrupt, and the alarm does
 * not go off.
 *
 * State: registers and memory, offset to the host's clock, under one lock.
 * Guest input checked: any index and value; fields beyond their range are carried over (31st of February: 3rd of March).
 * Locking: its lock only. Any thread.
 * Specification: Motorola MC146818A data sheet; century at index 0x32, as in PCs.
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/rtc.h"

#include "dev/bus.h"

#include <nova/sync.h>

enum {
    SECONDS = 0,
    MINUTES = 2,
    HOURS = 4,
    WEEKDAY = 6,
    DAY = 7,
    MONTH = 8,
    YEAR = 9,
    A = 10,
    B = 11,
    C = 12,
    D = 13,
    CENTURY = 0x32,
    BYTES = 0x80
};

#define A_UPDATE 0x80U
#define A_DIVIDER_RESET 0x60U
#define B_SET 0x80U
#define B_BINARY 4U
#define B_24_HOURS 2U
#define C_PERIODIC 0x40U
#define C_UPDATED 0x10U
#define D_VALID 0x80U
#define PM 0x80U

#define SECOND 1000000000UL
#define UPDATE_TIME 2228000UL

static struct {
    struct nova_mutex lock;
    uint64_t (*wall)(void);
    int64_t offset; /* seconds that the guest is ahead of the host */
    uint64_t seen;  /* wall clock when C was last read */
    uint8_t index;
    uint8_t memory[BYTES];
} rtc;

static bool is_time(unsigned index)
{
    return index == SECONDS || index == MINUTES || (index >= HOURS && index != HOURS + 1 && index <= YEAR) ||
           index == CENTURY;
}

static bool runs(void)
{
    return !(rtc.memory[B] & B_SET) && (rtc.memory[A] & A_DIVIDER_RESET) != A_DIVIDER_RESET;
}

/* Seconds of the guest since 1970, never negative. */
static int64_t now(void)
{
    int64_t seconds = (int64_t)(rtc.wall() / SECOND) + rtc.offset;

    return seconds < 0 ? 0 : seconds;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar; months and days may be out of their range. Years begin in March. */
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
    year += (month - 3 + 1200) / 12 - 100;
    month = (month - 3 + 1200) % 12;
    return year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719468;
}

static void date_from_days(int64_t days, unsigned *year, unsigned *month, unsigned *day)
{
    int64_t y = (days + 719468) * 400 / 146097;

    while (days_from_date(y, 3, 1) > days)
        y--;
    while (days_from_date(y + 1, 3, 1) <= days)
        y++;
    days -= days_from_date(y, 3, 1);
    int64_t m = (days * 5 + 2) / 153;

    *day = (unsigned)(days - (m * 153 + 2) / 5 + 1);
    *month = (unsigned)(m < 10 ? m + 3 : m - 9);
    *year = (unsigned)(m < 10 ? y : y + 1);
}

static unsigned decode(uint8_t value)
{
    return rtc.memory[B] & B_BINARY ? value : (value >> 4) * 10U + (value & 15);
}

static uint8_t encode(unsigned value)
{
    return (uint8_t)(rtc.memory[B] & B_BINARY ? value : value / 10 % 10 << 4 | value % 10);
}

static unsigned decode_hours(uint8_t value)
{
    if (rtc.memory[B] & B_24_HOURS)
        return decode(value);
    return decode(value & 0x7f) % 12 + (value & PM ? 12 : 0);
}

static uint8_t encode_hours(unsigned hours)
{
    if (rtc.memory[B] & B_24_HOURS)
        return encode(hours);
    return (uint8_t)(encode(hours % 12 ? hours % 12 : 12) | (hours >= 12 ? PM : 0));
}

/* The time registers, from the clock. */
static void show(void)
{
    int64_t seconds = now(), days = seconds / 86400;
    unsigned rest = (unsigned)(seconds % 86400), year, month, day;

    date_from_days(days, &year, &month, &day);
    rtc.memory[SECONDS] = encode(rest % 60);
    rtc.memory[MINUTES] = encode(rest / 60 % 60);
    rtc.memory[HOURS] = encode_hours(rest / 3600);
    rtc.memory[WEEKDAY] = encode((unsigned)((days + 4) % 7) + 1);
    rtc.memory[DAY] = encode(day);
    rtc.memory[MONTH] = encode(month);
    rtc.memory[YEAR] = encode(year % 100);
    rtc.memory[CENTURY] = encode(year / 100 % 100);
}

/* The clock, from the time registers; not before 1970. */
static void set(void)
{
    int64_t year = decode(rtc.memory[CENTURY]) * 100 + decode(rtc.memory[YEAR]);
    int64_t seconds = days_from_date(year, decode(rtc.memory[MONTH]), decode(rtc.memory[DAY])) * 86400 +
                      decode_hours(rtc.memory[HOURS]) * 3600 + decode(rtc.memory[MINUTES]) * 60 +
                      decode(rtc.memory[SECONDS]);

    if (seconds < 0)
        seconds = 0;
    rtc.offset = seconds - (int64_t)(rtc.wall() / SECOND);
}

static uint8_t read_a(void)
{
    bool updates = runs() && rtc.wall() % SECOND >= SECOND - UPDATE_TIME;

    return (uint8_t)(rtc.memory[A] | (updates ? A_UPDATE : 0));
}

/* Ticks of the periodic signal; rates 1 and 2 are 256 Hz and 128 Hz, the others 32768 Hz >> (rate - 1). */
static uint64_t ticks(uint64_t time, unsigned rate)
{
    unsigned shift = 16 - (rate < 3 ? rate + 7 : rate);

    return rate ? (time / SECOND << shift) + (time % SECOND << shift) / SECOND : 0;
}

/* Flags since the last time. */
static uint8_t read_c(void)
{
    unsigned rate = rtc.memory[A] & 15, flags = 0;
    uint64_t time = rtc.wall();

    if (runs() && time / SECOND != rtc.seen / SECOND)
        flags |= C_UPDATED;
    if (ticks(time, rate) != ticks(rtc.seen, rate))
        flags |= C_PERIODIC;
    rtc.seen = time;
    return (uint8_t)(flags | (flags & rtc.memory[B] ? 0x80 : 0));
}

static uint8_t read_register(unsigned index)
{
    switch (index) {
    case A:
        return read_a();
    case C:
        return read_c();
    case D:
        return D_VALID;
    default:
        if (is_time(index) && runs())
            show();
        return rtc.memory[index];
    }
}

static void write_register(unsigned index, uint8_t value)
{
    bool ran = runs();

    if (index == C || index == D)
        return;
    if (ran)
        show();
    rtc.memory[index] = index == A ? value & (uint8_t)~A_UPDATE : value;
    /* With another format (B) the same time runs on, in other digits. */
    if (runs() && (!ran || is_time(index)))
        set();
}

static uint64_t rtc_read(void *device, uint64_t offset, unsigned size)
{
    uint64_t value;

    (void)device;
    (void)size;
    if (offset == 0) /* write-only */
        return 0xff;
    nova_mutex_lock(&rtc.lock);
    value = read_register(rtc.index);
    nova_mutex_unlock(&rtc.lock);
    return value;
}

static void rtc_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    (void)size;
    nova_mutex_lock(&rtc.lock);
    if (offset == 0)
        rtc.index = value & (BYTES - 1); /* bit 7 would mask NMIs */
    else
        write_register(rtc.index, (uint8_t)value);
    nova_mutex_unlock(&rtc.lock);
}

void rtc_reset(void)
{
    nova_mutex_lock(&rtc.lock);
    if (!runs()) {
        rtc.memory[B] &= (uint8_t)~B_SET;
        set();
    }
    rtc.index = 0;
    rtc.memory[A] = 0x26;
    rtc.memory[B] = B_24_HOURS;
    nova_mutex_unlock(&rtc.lock);
}

bool rtc_init(uint64_t (*wall)(void))
{
    static const struct bus_range range = {
        .start = RTC_PORT, .size = 2, .read = rtc_read, .write = rtc_write, .name = "rtc", .width = 1};

    rtc.wall = wall;
    rtc.memory[A] = 0x26;
    rtc.memory[B] = B_24_HOURS;
    rtc.seen = wall();
    return bus_add(BUS_PIO, &range);
}
