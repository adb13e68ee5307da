/*
 * Interrupt semaphores: pins, edge- and level-triggered, and messages; routing and masking
 * (specification 5.4.5, 5.5.2). On the BSP and on the last CPU.
 *
 * Sources: the PIT for edges, the first UART's transmitter for a level that stays until it is
 * acknowledged, and the "edu" device of QEMU for messages, where there is one.
 *
 * SPDX-License-Identifier: MIT
 */

#include "acpi.h"
#include "serial.h"
#include "system.h"
#include "tap.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static uint64_t take_interrupt(unsigned number)
{
    uint64_t sel = SEL();

    must(ctrl_pd(sys.nova_obj, sys.root.obj, NOVA_SEL_INT + number, sel, 0, NOVA_PERM_ALL, 0),
         "taking an interrupt semaphore");
    return sel;
}

static void take_ports(uint64_t first, unsigned order)
{
    must(ctrl_pd(sys.nova_pio, sys.root.pio, first, first, order, NOVA_PIO_A, 0), "taking ports");
}

/* Pin of an ISA interrupt, by the overrides in the MADT. */
static unsigned isa_pin(unsigned irq)
{
    const struct acpi_table *madt = acpi_find("APIC");

    for (unsigned at = 44; madt && at + 2 <= madt->length; at += (unsigned)acpi_field(madt, at + 1, 1))
        if (acpi_field(madt, at, 1) == 2 && acpi_field(madt, at + 3, 1) == irq)
            return (unsigned)acpi_field(madt, at + 4, 4);
    return irq;
}

/* -- Runs a function in a thread on some CPU, because a semaphore is waited for where it is routed -- */

static uint64_t finished;

struct job {
    void (*run)(unsigned cpu);
    unsigned cpu;
};

static void worker(void *arg)
{
    const struct job *job = arg;

    job->run(job->cpu);
    sm_up(finished);
}

static void on_cpu(unsigned cpu, void (*run)(unsigned cpu))
{
    struct job job = {run, cpu};

    finished = sm_create(0);
    global_start(cpu, 100, worker, &job);
    must(sm_down_ms(finished, 30000), "waiting for a thread");
}

static unsigned configure(uint64_t sm, unsigned cpu, unsigned flags)
{
    uint64_t addr, data;

    return assign_int(sm, cpu, 0, flags, &addr, &data);
}

/* Takes all that is pending. */
static void drain(uint64_t sm)
{
    while (sm_down_ms(sm, 3) == NOVA_SUCCESS)
        continue;
}

/* -- Edges: the PIT, a thousand times a second or silent -- */

#define PIT_DATA 0x40
#define PIT_COMMAND 0x43

static uint64_t pit;

static void pit_start(void)
{
    outb(PIT_COMMAND, 0x34); /* channel 0, both bytes, rate generator */
    outb(PIT_DATA, 1193 & 0xff);
    outb(PIT_DATA, 1193 >> 8);
}

static void pit_stop(void)
{
    outb(PIT_COMMAND, 0x30); /* one shot without a count: at most one more */
    sleep_us(3000);
}

static unsigned interrupts(uint64_t sm, unsigned limit)
{
    unsigned n = 0;

    while (n < limit && sm_down_ms(sm, 500) == NOVA_SUCCESS)
        n++;
    return n;
}

static void edges(unsigned cpu)
{
    uint64_t addr = 1, data = 1;

    tap_is(assign_int(pit, cpu, 0xffff, 0, &addr, &data), NOVA_SUCCESS, "CPU %u: assign_int of a pin", cpu);
    tap_is(addr | data, 0, "CPU %u: returns no message", cpu);
    pit_start();
    tap_is(interrupts(pit, 50), 50, "CPU %u: fifty edges", cpu);
    pit_stop();
    drain(pit);
    pit_start();
    sleep_us(20000);
    pit_stop();
    tap_ok(interrupts(pit, 5) == 5, "CPU %u: edges are counted while nobody waits", cpu);
    pit_start();
    sleep_us(20000);
    pit_stop();
    tap_is(ctrl_sm(pit, 0, NOVA_SM_DOWN | NOVA_SM_ZERO), NOVA_SUCCESS, "CPU %u: down with Z", cpu);
    tap_is(sm_down_ms(pit, 20), NOVA_TIMEOUT, "CPU %u: takes them all", cpu);

    tap_is(configure(pit, cpu, NOVA_INT_MASK), NOVA_SUCCESS, "CPU %u: masking", cpu);
    pit_start();
    tap_is(sm_down_ms(pit, 30), NOVA_TIMEOUT, "CPU %u: a masked interrupt does not arrive", cpu);
    tap_is(configure(pit, cpu, 0), NOVA_SUCCESS, "CPU %u: unmasking", cpu);
    tap_is(interrupts(pit, 10), 10, "CPU %u: it arrives again", cpu);
    pit_stop();
    tap_is(configure(pit, cpu, NOVA_INT_MASK), NOVA_SUCCESS, "CPU %u: masking", cpu);
}

/* Interrupts that wake a thread while another one keeps the CPU busy. */
static volatile bool stop;

static void busy(void *arg)
{
    (void)arg;
    while (!stop)
        continue;
}

static void preempting(unsigned cpu)
{
    stop = false;
    global_start(cpu, 10, busy, NULL);
    configure(pit, cpu, 0);
    pit_start();
    tap_is(interrupts(pit, 20), 20, "CPU %u: interrupts preempt a thread of lower priority", cpu);
    pit_stop();
    configure(pit, cpu, NOVA_INT_MASK);
    stop = true;
}

/* -- Levels: the transmitter of the UART -- */

static uint64_t uart;

static void uart_assert(void)
{
    outb(SERIAL_PORT + 1, 0x02);
}

/* With no other source enabled, reading IIR takes the request away. */
static void uart_deassert(void)
{
    inb(SERIAL_PORT + 2);
    outb(SERIAL_PORT + 1, 0x00);
}

/* Asserts the level while its CPU waits for it. */
static void assert_later(void *arg)
{
    (void)arg;
    sleep_us(2000);
    uart_assert();
}

static unsigned wait_for_level(unsigned cpu)
{
    global_start(cpu, 10, assert_later, NULL);
    return sm_down_ms(uart, 500);
}

/* Output in between would disturb it: results first, reports later. */
static void levels(unsigned cpu)
{
    unsigned result[6];

    for (unsigned i = 0; i < 100000 && !(inb(SERIAL_PORT + 5) & 0x40); i++)
        continue;
    outb(SERIAL_PORT + 4, 0x0b); /* OUT2: interrupt line on */
    uart_deassert();
    result[0] = configure(uart, cpu, NOVA_INT_LEVEL);
    drain(uart);

    result[1] = wait_for_level(cpu);
    sleep_us(5000);
    uart_deassert();
    result[2] = sm_down_ms(uart, 20);

    result[3] = wait_for_level(cpu);
    result[4] = sm_down_ms(uart, 500);
    uart_deassert();
    result[5] = sm_down_ms(uart, 20);
    configure(uart, cpu, NOVA_INT_MASK);
    outb(SERIAL_PORT + 4, 0x03);

    tap_is(result[0], NOVA_SUCCESS, "CPU %u: assign_int of a level-triggered pin", cpu);
    tap_is(result[1], NOVA_SUCCESS, "CPU %u: a level arrives", cpu);
    tap_is(result[2], NOVA_TIMEOUT, "CPU %u: once: it stays masked until the next down, then it is gone",
           cpu);
    tap_is(result[3], NOVA_SUCCESS, "CPU %u: a second one arrives", cpu);
    tap_is(result[4], NOVA_SUCCESS, "CPU %u: and again with the next down, for it is still there", cpu);
    tap_is(result[5], NOVA_TIMEOUT, "CPU %u: until it is acknowledged", cpu);
}

/* -- Messages: the "edu" device -- */

static struct {
    bool present;
    uint16_t bdf;
    unsigned msi; /* offset of the capability in configuration space */
    volatile uint32_t *registers;
    uint64_t sm;
} edu;

static void outl(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static uint32_t inl(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static uint32_t config_read(uint16_t bdf, unsigned offset)
{
    outl(0xcf8, 0x80000000U | (uint32_t)bdf << 8 | (offset & 0xfcU));
    return inl(0xcfc);
}

static void config_write(uint16_t bdf, unsigned offset, uint32_t value)
{
    outl(0xcf8, 0x80000000U | (uint32_t)bdf << 8 | (offset & 0xfcU));
    outl(0xcfc, value);
}

static void edu_find(void)
{
    for (uint16_t bdf = 0; bdf < 0x100 && !edu.present; bdf++)
        if (config_read(bdf, 0) == 0x11e81234) {
            edu.present = true;
            edu.bdf = bdf;
        }
    if (!edu.present)
        return;

    unsigned at = config_read(edu.bdf, 0x34) & 0xfc;

    while (at && (config_read(edu.bdf, at) & 0xff) != 0x05)
        at = config_read(edu.bdf, at) >> 8 & 0xfc;
    edu.msi = at;
    config_write(edu.bdf, 4, config_read(edu.bdf, 4) | 6); /* memory, bus master */
    edu.registers =
        map_phys(config_read(edu.bdf, 0x10) & ~0xfU, PAGE_SIZE, NOVA_MEM_R | NOVA_MEM_W, NOVA_MAD_UC);
    edu.sm = take_interrupt(sys.hip->int_pin);
}

static void edu_message(uint64_t addr, uint64_t data)
{
    bool wide = config_read(edu.bdf, edu.msi) & 1U << 23;

    config_write(edu.bdf, edu.msi + 4, (uint32_t)addr);
    if (wide)
        config_write(edu.bdf, edu.msi + 8, (uint32_t)(addr >> 32));
    config_write(edu.bdf, edu.msi + (wide ? 12 : 8), (uint32_t)data);
    config_write(edu.bdf, edu.msi, config_read(edu.bdf, edu.msi) | 1U << 16);
}

static void edu_raise(void)
{
    edu.registers[0x64 / 4] = 1;
    edu.registers[0x60 / 4] = 1;
}

static void messages(unsigned cpu)
{
    uint64_t addr = 0, data = 0;
    unsigned wrong = 0;

    tap_is(assign_int(edu.sm, cpu, edu.bdf, 0, &addr, &data), NOVA_SUCCESS, "CPU %u: assign_int of a message",
           cpu);
    tap_is(addr & ~0xfffffUL, 0xfee00000, "CPU %u: message address", cpu);
    edu_message(addr, data);
    for (unsigned i = 0; i < 50; i++) {
        edu_raise();
        wrong += sm_down_ms(edu.sm, 500) != NOVA_SUCCESS;
    }
    tap_is(wrong, 0, "CPU %u: fifty messages", cpu);
    tap_is(sm_down_ms(edu.sm, 20), NOVA_TIMEOUT, "CPU %u: and no more", cpu);
    for (unsigned i = 0; i < 3; i++) {
        edu_raise();
        sleep_us(2000);
    }
    for (unsigned i = 0; i < 3; i++)
        wrong += sm_down_ms(edu.sm, 500) != NOVA_SUCCESS;
    wrong += sm_down_ms(edu.sm, 20) != NOVA_TIMEOUT;
    tap_is(wrong, 0, "CPU %u: three are counted while nobody waits", cpu);
    assign_int(edu.sm, cpu, edu.bdf, NOVA_INT_MASK, &addr, &data);
    edu_raise();
    tap_is(sm_down_ms(edu.sm, 20), NOVA_TIMEOUT, "CPU %u: a masked message does not arrive", cpu);
    edu.registers[0x64 / 4] = 1;
}

/* -- Routing -- */

static void routing(void)
{
    unsigned other = (sys.bsp + 1) % sys.cpus;
    uint64_t sm = take_interrupt(sys.hip->int_pin + 1U);

    if (sys.cpus == 1) {
        tap_skip("one CPU", "waiting on another CPU");
        return;
    }
    must(configure(sm, other, NOVA_INT_MASK), "assign_int");
    tap_is(ctrl_sm(sm, 1, NOVA_SM_DOWN), NOVA_BAD_CPU, "a message is waited for where it is routed");
    must(configure(sm, sys.bsp, NOVA_INT_MASK), "assign_int");
    tap_is(ctrl_sm(sm, 1, NOVA_SM_DOWN), NOVA_TIMEOUT, "and it can be routed anew");
    must(configure(pit, other, NOVA_INT_MASK), "assign_int");
    tap_is(ctrl_sm(pit, 1, NOVA_SM_DOWN), NOVA_BAD_CPU, "the same for a pin");
    must(configure(pit, sys.bsp, NOVA_INT_MASK), "assign_int");
    tap_ok(ctrl_sm(pit, 1, NOVA_SM_DOWN) != NOVA_BAD_CPU, "which can be routed anew too");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    const unsigned cpus[] = {sys.bsp, sys.cpus - 1};

    (void)hip;
    (void)magic;
    (void)mbi;
    take_ports(0x40, 2);
    take_ports(0xcf8, 3);
    pit_stop();
    pit = take_interrupt(isa_pin(0));
    uart = take_interrupt(isa_pin(4));
    edu_find();
    tap_diag("PIT at pin %u, UART at pin %u", isa_pin(0), isa_pin(4));

    for (unsigned i = 0; i < (sys.cpus > 1 ? COUNT(cpus) : 1); i++) {
        on_cpu(cpus[i], edges);
        on_cpu(cpus[i], preempting);
        on_cpu(cpus[i], levels);
        if (edu.present)
            on_cpu(cpus[i], messages);
        else
            tap_skip("no edu device", "CPU %u: messages", cpus[i]);
    }
    routing();
}
