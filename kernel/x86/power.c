/*
 * Reset and power-off. ACPI Specification 6.5, 4.8.3.2, 4.8.3.6, 4.8.3.7, 16.1.
 *
 * SPDX-License-Identifier: MIT
 */

#include "x86/acpi.h"

#include "nova/abi/hypercall.h"
#include "x86/asm.h"

#define SLP_TYP_SHIFT 10
#define SLP_EN BIT(13)
#define SLP_MASK 0x3c00U
#define SLEEP_CONTROL_EN BIT(5)

/* The port that asks the chipset for a reset, on every PC. */
#define RESET_PORT 0xcf9
#define RESET_HARD 0x06
#define KEYBOARD_PORT 0x64
#define KEYBOARD_RESET 0xfe

static bool is_port(const struct acpi_register *r)
{
    return r->width && r->space == 1 && r->addr && r->addr <= UINT16_MAX;
}

static void pause_loop(void)
{
    for (unsigned i = 0; i < 1000000; i++)
        cpu_relax();
}

static _Noreturn void reset(void)
{
    static const uint8_t no_idt[10]; /* limit and base */

    if (is_port(&acpi.reset)) {
        outb((uint16_t)acpi.reset.addr, acpi.reset_value);
        pause_loop();
    }
    outb(RESET_PORT, RESET_HARD & ~4);
    outb(RESET_PORT, RESET_HARD);
    pause_loop();
    outb(KEYBOARD_PORT, KEYBOARD_RESET);
    pause_loop();
    for (;;) /* triple fault */
        __asm__ volatile("lidt %0; ud2" : : "m"(no_idt));
}

static void enter_sleep(const struct acpi_register *r, unsigned type)
{
    if (is_port(r)) {
        uint16_t port = (uint16_t)r->addr;
        outw(port, (uint16_t)((inw(port) & ~SLP_MASK) | type << SLP_TYP_SHIFT | SLP_EN));
    }
}

unsigned power_transition(unsigned state, unsigned type_a, unsigned type_b)
{
    static bool busy;
    bool reduced = is_port(&acpi.sleep) && !is_port(&acpi.pm1a_cnt);

    if (state > 5)
        return NOVA_BAD_PAR;
    if (state != 0 && (state != 5 || !(is_port(&acpi.pm1a_cnt) || reduced)))
        return NOVA_BAD_FTR;
    if (__atomic_test_and_set(&busy, __ATOMIC_ACQUIRE))
        return NOVA_ABORTED;
    if (state == 0)
        reset();
    if (reduced) {
        outb((uint16_t)acpi.sleep.addr, (uint8_t)(type_a << 2 | SLEEP_CONTROL_EN));
    } else {
        enter_sleep(&acpi.pm1a_cnt, type_a);
        enter_sleep(&acpi.pm1b_cnt, type_b);
    }
    pause_loop();
    __atomic_clear(&busy, __ATOMIC_RELEASE);
    return NOVA_BAD_FTR; /* the platform did not react */
}
