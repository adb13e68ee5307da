/*
 * A driver of the clock that runs on the battery: it has its ports, its interrupt, and the registers of the
 * HPET.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"

#define PORT 0x70
#define PERIODIC 0x40 /* register B */

static uint8_t clock_read(uint8_t reg)
{
    uint8_t value;

    __asm__ volatile("outb %1, %2\n\tinb %3, %0"
                     : "=a"(value)
                     : "a"(reg), "Nd"((uint16_t)PORT), "Nd"((uint16_t)(PORT + 1))
                     : "memory");
    return value;
}

static void clock_write(uint8_t reg, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(reg), "Nd"((uint16_t)PORT) : "memory");
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"((uint16_t)(PORT + 1)) : "memory");
}

int test_main(int argc, char **argv)
{
    const volatile uint64_t *hpet = (const volatile uint64_t *)own->device_start;
    unsigned status;

    (void)argc;
    (void)argv;
    ok(clock_read(0) < 0x60 && clock_read(2) < 0x60, "ports");
    ok(own->device_start && (*hpet & 0xffff0000) == 0x80860000, "device memory");
    ok(own->interrupts == 1, "one interrupt");
    clock_write(0xb, clock_read(0xb) | PERIODIC);
    status = sm_down_ms(NOVA_SEL_INTERRUPT, 2000);
    ok(status == NOVA_SUCCESS, "the interrupt comes (%u)", status);
    clock_read(0xc); /* acknowledges it */
    status = sm_down_ms(NOVA_SEL_INTERRUPT, 2000);
    ok(status == NOVA_SUCCESS, "and again (%u)", status);
    clock_write(0xb, clock_read(0xb) & (uint8_t)~PERIODIC);
    clock_read(0xc);
    ok(nova_hc_ctrl_sm(NOVA_SEL_INTERRUPT, 0, NOVA_SM_UP) == NOVA_BAD_CAP, "and only from the device");
    return done();
}
