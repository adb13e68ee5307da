/*
 * Guest test, in a VM only: all CPUs do things at random that a guest kernel can do, and shall not be able to hurt anything but this
 * VM: ports, memory of devices, MSRs, control registers, queues of virtio devices with random contents, interrupts.
 *
 * The VMM may stop the VM, but then it has to say why. If it does not, all operations are done in the end, and said so. On the
 * command line: ops=NUMBER (of all CPUs together, 100,000), seed=NUMBER.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/guest.h"
#include "lib/virtio.h"

#define MIB 0x100000UL
#define QUEUES (16 * MIB) /* guest memory that is used as queues */
#define QUEUES_SIZE (4 * MIB)
#define IOAPIC 0xfec00000UL
#define ECAM_SIZE 0x100000UL
#define BARS_SIZE 0x100000UL

static uint64_t operations, seeds, done[MAX_CPUS], faults[MAX_CPUS];
static uint64_t ecam, bars;
static volatile unsigned finished;

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Values that are at some edge, half of the time. */
static uint64_t value(uint64_t *state)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     2,
                                     0x7f,
                                     0x80,
                                     0xff,
                                     0xfff,
                                     0x1000,
                                     0xffff,
                                     0x7fffffff,
                                     0x80000000,
                                     0xffffffff,
                                     0xfee00000,
                                     0xfec00000,
                                     0x100000000,
                                     0x7fffffffffffffff,
                                     0xffffffffffffffff};
    uint64_t random = next(state);

    if (random & 1)
        return edges[random / 2 % (sizeof edges / sizeof *edges)];
    if (random & 2)
        return QUEUES + next(state) % QUEUES_SIZE;
    return next(state) >> (random >> 2 & 63);
}

/* Ports, without those whose use ends the test: power, reset. The UART keeps its output register. */
static void do_port(uint64_t *state)
{
    uint64_t random = next(state);
    uint16_t port = (uint16_t)(random & 3 ? random >> 16 & 0x7ff : random >> 16);

    if ((port >= 0x5fd && port < 0x608) || (port >= 0x3f5 && port < 0x3fa) ||
        (port >= 0xcf9 - 3 && port <= 0xcf9))
        return;
    switch (random >> 8 & 7) {
    case 0:
        inb(port);
        break;
    case 1:
        inw(port);
        break;
    case 2:
        inl(port);
        break;
    case 3:
        outb(port, (uint8_t)value(state));
        break;
    case 4:
        outw(port, (uint16_t)value(state));
        break;
    case 5:
        outl(port, (uint32_t)value(state));
        break;
    case 6: {
        uint64_t rdi = QUEUES + next(state) % (QUEUES_SIZE / 2), rcx = next(state) % 100;

        TRY("rep insb", OUTPUT("+D"(rdi), "+c"(rcx)), "d"(port));
        break;
    }
    default: {
        uint64_t rsi = QUEUES + next(state) % (QUEUES_SIZE / 2), rcx = next(state) % 100;

        TRY("rep outsw", OUTPUT("+S"(rsi), "+c"(rcx)), "d"(port));
    }
    }
}

/* Memory of devices: APICs, configuration space, BARs, holes. Not the bits that would end this CPU: APIC's ICR has its own. */
static void do_memory(uint64_t *state)
{
    static const uint64_t base[] = {0xfec00000, 0xfee00000, 0xfed00000, 0xfff00000, 0xf0000000};
    uint64_t random = next(state), address;

    switch (random & 7) {
    case 0:
        address = ecam + (random >> 8 & (ECAM_SIZE - 1) & ~0xf00UL);
        break;
    case 1:
    case 2:
    case 3:
    case 4:
        address = bars + (random >> 8 & (BARS_SIZE - 1) & (random & 0x80 ? ~0xf00UL : ~0UL));
        break;
    default:
        address = base[random >> 8 & 3] + (random >> 16 & 0xfff);
        break;
    }
    if (address >= APIC_BASE && address < APIC_BASE + 0x1000 && (address & 0xfe0) >= 0x2e0 &&
        (address & 0xfe0) <= 0x300)
        return;
    switch (random >> 40 & 15) {
    case 0:
        TRY("movb (%[a]), %%al", , [a] "r"(address), "a"(0));
        break;
    case 1:
        TRY("movw (%[a]), %%ax", , [a] "r"(address), "a"(0));
        break;
    case 2:
        TRY("movl (%[a]), %%eax", , [a] "r"(address), "a"(0));
        break;
    case 3:
        TRY("movq (%[a]), %%rax", , [a] "r"(address), "a"(0));
        break;
    case 4:
        TRY("movb %%al, (%[a])", , [a] "r"(address), "a"(value(state)));
        break;
    case 5:
        TRY("movw %%ax, (%[a])", , [a] "r"(address), "a"(value(state)));
        break;
    case 6:
    case 7:
    case 8:
        TRY("movl %%eax, (%[a])", , [a] "r"(address), "a"(value(state)));
        break;
    case 9:
        TRY("movq %%rax, (%[a])", , [a] "r"(address), "a"(value(state)));
        break;
    case 10:
        TRY("orl %%eax, (%[a])", , [a] "r"(address), "a"(value(state)));
        break;
    case 11:
        TRY("lock; cmpxchg %%rcx, (%[a])", , [a] "r"(address), "a"(value(state)), "c"(0));
        break;
    case 12:
        TRY("movb $0x5a, (%[a])", , [a] "r"(address), "a"(0));
        break;
    case 13:
        TRY("lock; xadd %%eax, (%[a])", , [a] "r"(address), "a"(value(state)));
        break;
    case 14:
        TRY("testl %%eax, (%[a])", , [a] "r"(address), "a"(value(state)));
        break;
    default: {
        uint64_t rdi = address, rcx = next(state) % 20, rsi = QUEUES + next(state) % QUEUES_SIZE;

        TRY("rep movsl", OUTPUT("+D"(rdi), "+S"(rsi), "+c"(rcx)), "a"(0));
    }
    }
}

static void do_msr(uint64_t *state)
{
    static const uint32_t base[] = {0,          0x800,      0x4b564d00, 0xc0000080,
                                    0xc0000100, 0xc0010000, 0x40000000, 0x200};
    uint64_t random = next(state), read;
    uint32_t msr = base[random & 7] + (uint32_t)(random >> 8 & 0x7f);

    if (random >> 20 & 1) {
        try_rdmsr(msr, &read);
        return;
    }
    /* What this CPU runs on: EFER, GS base, APIC base and ICR, and what it can be watched with. */
    if (msr == 0xc0000080 || msr == 0xc0000101 || msr == 0x1b || msr == 0x830 || msr == 0x1d9 || msr == 0x80b)
        return;
    try_wrmsr(msr, value(state));
}

static void do_instruction(uint64_t *state)
{
    uint64_t random = next(state);
    uint32_t out[4];

    switch (random % 12) {
    case 0:
        cpuid((uint32_t)value(state), (uint32_t)next(state) & 0xff, out);
        break;
    case 1:
        TRY("xsetbv", , "a"(value(state)), "d"(0), "c"(random >> 8 & 1));
        break;
    case 2:
        TRY("vmmcall", , "a"(value(state)), "b"(value(state)), "c"(value(state)), "d"(value(state)));
        break;
    case 3:
        TRY("vmcall", , "a"(value(state)), "b"(value(state)), "c"(value(state)), "d"(value(state)));
        break;
    case 4:
        TRY("wbinvd", , "a"(0));
        break;
    case 5:
        TRY("invlpg (%[a])", , [a] "r"(value(state)));
        break;
    case 6:
        TRY("rdpmc", , "c"(value(state)), "a"(0), "d"(0));
        break;
    case 7:
        TRY("mov %[v], %%cr8", , [v] "r"(value(state)));
        break;
    case 8:
        TRY("monitor", , "a"(QUEUES), "c"(0), "d"(0));
        break;
    case 9:
        TRY("mov %[v], %%cr2; mov %%cr0, %%rax; mov %%rax, %%cr0", , [v] "r"(value(state)), "a"(0));
        break;
    case 10:
        TRY("vmrun", , "a"(value(state) & ~0xfffUL));
        break;
    default:
        __asm__ volatile("sti; nop; cli" : : : "memory");
        break;
    }
}

/* Interrupts to all, fixed and NMI; what would stop a CPU is left out. */
static void do_ipi(uint64_t *state)
{
    uint64_t random = next(state);
    uint32_t command = (uint32_t)(random & 0xcc0ff);

    if (random >> 32 & 1)
        command |= ICR_NMI;
    *(volatile uint32_t *)(APIC_BASE + APIC_ICR_HIGH) = (uint32_t)next(state);
    *(volatile uint32_t *)(APIC_BASE + APIC_ICR) = command;
}

/* Fills part of the queues with descriptors, and rings: the BARs' last part of each device is where that is. */
static void do_queue(uint64_t *state)
{
    volatile uint64_t *memory = (volatile uint64_t *)(QUEUES + (next(state) % QUEUES_SIZE & ~0xfffUL));

    for (unsigned i = 0; i < 64; i++)
        memory[next(state) & 511] = value(state);
    for (unsigned i = 0; i < 16; i++) {
        uint64_t address = bars + (next(state) & (BARS_SIZE - 1) & ~0xfUL);

        TRY("movw %%ax, (%[a])", , [a] "r"(address), "a"(next(state) & 3));
    }
}

/* Memory of a queue of 8 entries: mostly as it should be, so that the device reads it. */
static void fill_queue(uint64_t *state, uint64_t descriptors, uint64_t available)
{
    for (unsigned i = 0; i < 8; i++) {
        uint64_t random = next(state);
        volatile uint64_t *descriptor = (volatile uint64_t *)(descriptors + 16 * i);
        uint64_t length = random & 0x70 ? random >> 8 & 0x3f : value(state) & 0xffffffff;

        descriptor[0] = random & 0xf ? QUEUES + next(state) % (QUEUES_SIZE - 0x1000) : value(state);
        descriptor[1] = length | (random >> 20 & 7) << 32 | (random >> 24 & (random & 0x80 ? 7 : 0xf)) << 48;
        *(volatile uint16_t *)(available + 4 + 2 * i) =
            (uint16_t)(random >> 32 & (random & 0x100 ? 7 : 0xff));
    }
    *(volatile uint16_t *)(available + 2) = (uint16_t)(next(state) & 7);
}

/*
 * A driver's steps with a device that was found: reset, features, queues, bells; each mostly right, sometimes not.
 */
static void do_device(uint64_t *state)
{
    volatile uint8_t *config = (volatile uint8_t *)(ecam + ((next(state) & 7) << 15));
    uint64_t random = next(state), common, bell, features = 0;

    if (*(volatile uint16_t *)config != 0x1af4)
        return;
    TRY("movw %%ax, (%[a])", , [a] "r"(config + 4), "a"(6)); /* memory, bus master */
    common = virtio_structure(config, 1);
    bell = virtio_structure(config, 2);
    if (common < bars || common >= bars + BARS_SIZE || !bell)
        return;
#define COMMON(offset, instruction, data)                                                                    \
    TRY(instruction, , [a] "r"(common + (offset)), "a"((uint64_t)(data)))
#define LONG "movl %%eax, (%[a])"
#define WORD "movw %%ax, (%[a])"
#define BYTE "movb %%al, (%[a])"
    COMMON(0x14, BYTE, 0);
    COMMON(0x14, BYTE, 3);
    COMMON(0x00, LONG, 0);
    TRY("movl (%[a]), %%eax", OUTPUT("+a"(features)), [a] "r"(common + 4));
    COMMON(0x08, LONG, 0);
    COMMON(0x0c, LONG, random & 1 ? features : features & next(state));
    COMMON(0x08, LONG, 1);
    COMMON(0x0c, LONG, 1); /* VIRTIO_F_VERSION_1 */
    COMMON(0x14, BYTE, 0xb);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t memory = QUEUES + (next(state) % QUEUES_SIZE & ~0xfffUL), wrong = next(state) & 0x1f;

        fill_queue(state, memory, memory + 0x100);
        COMMON(0x16, WORD, i);
        COMMON(0x18, WORD, wrong == 1 ? value(state) : 8);
        COMMON(0x1a, WORD, next(state) & 3);
        COMMON(0x20, LONG, wrong == 2 ? value(state) : memory);
        COMMON(0x24, LONG, wrong == 3 ? value(state) : 0);
        COMMON(0x28, LONG, wrong == 4 ? value(state) : memory + 0x100);
        COMMON(0x2c, LONG, 0);
        COMMON(0x30, LONG, wrong == 5 ? value(state) : memory + 0x200);
        COMMON(0x34, LONG, 0);
        COMMON(0x1c, WORD, 1);
    }
    COMMON(0x14, BYTE, 0xf);
    for (unsigned i = 0; i < 8; i++)
        TRY(WORD, , [a] "r"(bell + (next(state) & 3) * 4), "a"(next(state) & 3));
}

/* Interrupts are ignored. A storm of them, of a timer or a level that stays, is ended from time to time. */
static void ignore(struct frame *frame)
{
    static unsigned count;

    if (frame->vector == VECTOR_NMI)
        return;
    if (__atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST) % 256 == 0) {
        *(volatile uint32_t *)(APIC_BASE + APIC_TIMER) = 0x10000;
        for (unsigned pin = 0; pin < 24; pin++) {
            *(volatile uint32_t *)IOAPIC = 0x10 + 2 * pin;
            *(volatile uint32_t *)(IOAPIC + 0x10) = 0x10000;
        }
    }
    *(volatile uint32_t *)(APIC_BASE + APIC_EOI) = 0;
}

static void fuzz(void)
{
    unsigned number = cpu_self()->number;
    uint64_t state = seeds * 0x9e3779b97f4a7c15 + number + 1, count = operations / cpu_count;

    for (uint64_t i = 0; i < count; i++) {
        switch (next(&state) & 15) {
        case 0:
        case 1:
        case 2:
            do_port(&state);
            break;
        case 3:
            do_msr(&state);
            break;
        case 4:
            do_msr(&state);
            break;
        case 5:
            do_instruction(&state);
            break;
        case 6:
            do_ipi(&state);
            break;
        case 7:
            do_queue(&state);
            break;
        case 8:
            do_device(&state);
            break;
        default:
            do_memory(&state);
            break;
        }
        done[number]++;
        faults[number] += cpu_self()->vector != NO_FAULT;
    }
    __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
}

void test(void)
{
    uint64_t total = 0, faulted = 0;

    if (!in_vm()) {
        tap_skip("not in a VM", "operations at random");
        return;
    }
    operations = option("ops", 100000);
    seeds = option("seed", 1);
    ecam = pci_ecam();
    bars = ecam + 0x1000000;
    /* Interrupts may have all vectors from 16 on; some have an error code as exceptions, but do not occur as such here. */
    for (unsigned vector = 16; vector < 256; vector++)
        handle((uint8_t)vector, ignore);
    idt[17] = idt[21] = idt[29] = idt[30] = idt[16];
    handle(VECTOR_NMI, ignore);
    smp_start(fuzz);
    tap_diag("seed %lu, %lu operations, %u CPUs", seeds, operations, cpu_count);
    fuzz();
    for (unsigned i = 0; i < 60 && __atomic_load_n(&finished, __ATOMIC_SEQ_CST) < cpu_count; i++)
        WAIT_FOR(__atomic_load_n(&finished, __ATOMIC_SEQ_CST) == cpu_count);
    serial_init();
    outb(0x3f8, '\n');
    for (unsigned i = 0; i < MAX_CPUS; i++) {
        total += done[i];
        faulted += faults[i];
    }
    tap_ok(total == operations / cpu_count * cpu_count, "%lu operations, %lu of them faulted", total,
           faulted);
}
