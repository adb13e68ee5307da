/*
 * Local APIC: registers, priorities, IPIs. The timer is in lapic_timer.c.
 *
 *   messages --> IRR --(class above PPR)--> taken --> ISR --(EOI)--> done, and to the IOAPIC if TMR says level
 *
 * State: struct lapic, which belongs to the handler thread of its vCPU. Others set bits of IRR, TMR and of the pending
 * errors, and read what decides about destinations (base, SVR, LDR, DFR, TPR, LVT error): all of these are accessed
 * atomically.
 * Guest input checked: any register number, value and size; reserved bits, which fault in x2APIC mode and are ignored in
 * xAPIC mode; illegal vectors (ESR).
 * Locking: none.
 * Specification: Intel SDM volume 3, chapter 11. Model-specific choices: the xAPIC's id is read-only (11.4.6), PPR[3:0] is
 * TPR[3:0] if the classes are equal (11.8.3.1), lowest-priority IPIs can be sent, there is no CMCI and no focus processor.
 * The registers cannot be moved from LAPIC_BASE. LINT0 and LINT1 are not connected.
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/lapic.h"

#include "dev/irq.h"
#include "dev/lapic_timer.h"
#include "dev/machine.h"

#include <stddef.h>

enum {
    ID = 0x02,
    VERSION = 0x03,
    TPR = 0x08,
    APR = 0x09,
    PPR = 0x0a,
    EOI = 0x0b,
    RRD = 0x0c,
    LDR = 0x0d,
    DFR = 0x0e,
    SVR = 0x0f,
    ISR = 0x10,
    TMR = 0x18,
    IRR = 0x20,
    ESR = 0x28,
    ICR_LOW = 0x30,
    ICR_HIGH = 0x31,
    LVT = 0x32,
    INITIAL_COUNT = 0x38,
    CURRENT_COUNT = 0x39,
    DIVIDE = 0x3e,
    SELF_IPI = 0x3f,
    REGISTERS = 0x40
};

/* Six LVT entries; the broadcast of EOIs can be suppressed. */
#define VERSION_VALUE (0x15U | 5U << 16 | 1U << 24)

/* Bit maps of registers by number. */
#define BIT(reg) (1UL << (reg))
#define VECTOR_MAPS 0x000000ffffff0000UL /* ISR, TMR, IRR */
#define COMMON                                                                                               \
    (BIT(TPR) | BIT(SVR) | BIT(ESR) | BIT(ICR_LOW) | 0x3fUL << LVT | BIT(INITIAL_COUNT) | BIT(DIVIDE))
#define X2_READ (COMMON | BIT(ID) | BIT(VERSION) | BIT(PPR) | BIT(LDR) | VECTOR_MAPS | BIT(CURRENT_COUNT))
#define X2_WRITE (COMMON | BIT(EOI) | BIT(SELF_IPI))
#define XAPIC (X2_READ | BIT(APR) | BIT(EOI) | BIT(RRD) | BIT(DFR) | BIT(ICR_HIGH))

#define SVR_ENABLE 0x100U
#define SVR_KEEP_EOI 0x1000U
#define SVR_WRITABLE 0x13ffU
#define ESR_SEND_VECTOR 0x20U
#define ESR_RECEIVE_VECTOR 0x40U
#define ESR_REGISTER 0x80U
#define DFR_ONES 0x0fffffffU
#define DFR_FLAT 0xfU
#define ICR_WRITABLE 0xccfffU
#define ICR_BUSY 0x1000U /* reads as 0: there is nothing that could wait */
#define ICR_LOGICAL 0x800U
#define ICR_ASSERT 0x4000U
#define ICR_LEVEL 0x8000U
#define LVT_ERROR 5
#define FIRST_VECTOR 16

/* Writable and read-only bits of the LVT. */
static const uint32_t lvt_writable[6] = {0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff};
#define LVT_READ_ONLY 0x5000U

static uint32_t load(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* Of words that other threads read. */
static void store(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static uint64_t base(const struct lapic *lapic)
{
    return __atomic_load_n(&lapic->base, __ATOMIC_RELAXED);
}

static bool is_x2(const struct lapic *lapic)
{
    return base(lapic) & LAPIC_BASE_X2APIC;
}

/* Two words of a map at once: this is looked at before each entry to the guest. */
typedef uint64_t __attribute__((may_alias)) pair;
_Static_assert(offsetof(struct lapic, irr) % 8 == 0 && offsetof(struct lapic, isr) % 8 == 0, "");

/* Highest bit of a map of 256, or -1. */
static int highest(const uint32_t *map)
{
    const pair *words = (const pair *)map;

    for (int i = 3; i >= 0; i--) {
        uint64_t word = __atomic_load_n(&words[i], __ATOMIC_RELAXED);

        if (word)
            return i * 64 + 63 - __builtin_clzl(word);
    }
    return -1;
}

/* Processor priority (11.8.3.1). */
static uint32_t ppr(const struct lapic *lapic)
{
    int serviced = highest(lapic->isr);
    uint32_t class = serviced < 0 ? 0 : (uint32_t)serviced & 0xf0;

    return lapic->tpr >= class ? lapic->tpr : class;
}

/* An error is noted; the first one since ESR was written interrupts (11.5.3). Any thread. True if it does. */
static bool error(struct lapic *lapic, uint32_t bit)
{
    uint32_t lvt = load(&lapic->lvt[LVT_ERROR]);

    if (__atomic_fetch_or(&lapic->esr_pending, bit, __ATOMIC_RELAXED) || lvt & LVT_MASKED)
        return false;
    if ((uint8_t)lvt < FIRST_VECTOR) {
        __atomic_fetch_or(&lapic->esr_pending, ESR_RECEIVE_VECTOR, __ATOMIC_RELAXED);
        return false;
    }
    return lapic_accept(lapic, (uint8_t)lvt, false);
}

bool lapic_is_enabled(const struct lapic *lapic)
{
    return base(lapic) & LAPIC_BASE_ENABLE && load(&lapic->svr) & SVR_ENABLE;
}

bool lapic_accept(struct lapic *lapic, uint8_t vector, bool level)
{
    uint32_t bit = 1U << vector % 32, *tmr = &lapic->tmr[vector / 32];

    if (!lapic_is_enabled(lapic))
        return false;
    if (vector < FIRST_VECTOR)
        return error(lapic, ESR_RECEIVE_VECTOR);
    if (level)
        __atomic_fetch_or(tmr, bit, __ATOMIC_RELAXED);
    else if (load(tmr) & bit)
        __atomic_fetch_and(tmr, ~bit, __ATOMIC_RELAXED);
    __atomic_fetch_or(&lapic->irr[vector / 32], bit, __ATOMIC_RELEASE);
    return true;
}

bool lapic_is_destination(const struct lapic *lapic, uint32_t destination, bool logical)
{
    uint32_t ldr = load(&lapic->ldr);

    if (!(base(lapic) & LAPIC_BASE_ENABLE))
        return false;
    if (destination == LAPIC_TO_ALL)
        return true;
    if (!logical)
        return destination == lapic->id;
    if (is_x2(lapic))
        return destination >> 16 == ldr >> 16 && destination & ldr & 0xffff;
    ldr >>= 24;
    switch (load(&lapic->dfr) >> 28) {
    case DFR_FLAT:
        return destination <= 0xff && destination & ldr;
    case 0: /* cluster */
        return destination >> 4 == ldr >> 4 && destination & ldr & 0xf;
    default:
        return false;
    }
}

int lapic_pending(const struct lapic *lapic)
{
    int vector = highest(lapic->irr);

    return vector >= 0 && (uint32_t)vector >> 4 > ppr(lapic) >> 4 && base(lapic) & LAPIC_BASE_ENABLE ? vector
                                                                                                     : -1;
}

void lapic_take(struct lapic *lapic, uint8_t vector)
{
    uint32_t bit = 1U << vector % 32;

    __atomic_fetch_and(&lapic->irr[vector / 32], ~bit, __ATOMIC_ACQUIRE);
    lapic->isr[vector / 32] |= bit;
}

bool lapic_is_level(const struct lapic *lapic, uint8_t vector)
{
    return load(&lapic->tmr[vector / 32]) >> vector % 32 & 1;
}

void lapic_eoi(struct lapic *lapic)
{
    int vector = highest(lapic->isr);

    if (vector < 0)
        return;
    lapic->isr[vector / 32] &= ~(1U << vector % 32);
    if (lapic_is_level(lapic, (uint8_t)vector) && !(lapic->svr & SVR_KEEP_EOI))
        irq_eoi((uint8_t)vector);
}

/* Interrupt command (11.6.1, table 11-3, 11.12.9). `destination` is as wide as the mode has it. */
static void send_ipi(struct lapic *lapic, uint32_t command, uint32_t destination)
{
    unsigned mode = command >> 8 & 7, shorthand = command >> 18 & 3;
    uint8_t vector = (uint8_t)command;

    /* The end of INIT is for the APICs of the eighties; other levels and triggers mean nothing. */
    if (mode == LAPIC_INIT && (command & (ICR_LEVEL | ICR_ASSERT)) == ICR_LEVEL)
        return;
    if (mode <= LAPIC_LOWEST && vector < FIRST_VECTOR)
        error(lapic, ESR_SEND_VECTOR);
    if (mode == 3 || mode == LAPIC_EXTINT || (shorthand != 0 && shorthand != 3 && mode != LAPIC_FIXED)) {
        machine_guest_error("LAPIC: interrupt command %#x", command);
        return;
    }
    switch (shorthand) {
    case 0:
        destination = is_x2(lapic) ? destination : irq_destination(destination >> 24);
        irq_deliver(destination, command & ICR_LOGICAL, mode, vector, false);
        break;
    case 1:
        irq_deliver(lapic->id, false, mode, vector, false);
        break;
    case 2:
        irq_deliver(LAPIC_TO_ALL, false, mode, vector, false);
        break;
    default:
        irq_deliver_others(lapic->id, mode, vector);
    }
}

bool lapic_read(struct lapic *lapic, unsigned reg, uint64_t now, uint64_t *value)
{
    bool x2 = is_x2(lapic);

    *value = 0;
    if (reg >= REGISTERS || !((x2 ? X2_READ : XAPIC) & BIT(reg))) {
        if (!x2)
            error(lapic, ESR_REGISTER);
        return false;
    }
    if (VECTOR_MAPS & BIT(reg)) {
        *value = load(&(reg < TMR ? lapic->isr : reg < IRR ? lapic->tmr : lapic->irr)[reg % 8]);
        return true;
    }
    switch (reg) {
    case ID:
        *value = x2 ? lapic->id : lapic->id << 24;
        break;
    case VERSION:
        *value = VERSION_VALUE;
        break;
    case TPR:
        *value = lapic->tpr;
        break;
    case PPR:
        *value = ppr(lapic);
        break;
    case LDR:
        *value = lapic->ldr;
        break;
    case DFR:
        *value = lapic->dfr;
        break;
    case SVR:
        *value = lapic->svr;
        break;
    case ESR:
        *value = lapic->esr;
        break;
    case ICR_LOW:
        *value = x2 ? lapic->icr_low | (uint64_t)lapic->icr_high << 32 : lapic->icr_low;
        break;
    case ICR_HIGH:
        *value = lapic->icr_high;
        break;
    case INITIAL_COUNT:
        *value = lapic->initial_count;
        break;
    case CURRENT_COUNT:
        *value = lapic_timer_count(lapic, now);
        break;
    case DIVIDE:
        *value = lapic->divide;
        break;
    case APR:
    case EOI:
    case RRD: /* have no value */
        break;
    default:
        *value = lapic->lvt[reg - LVT];
    }
    return true;
}

/* Bits that a register has in x2APIC mode: the others fault (11.12.1.3). */
static uint64_t x2_bits(unsigned reg)
{
    switch (reg) {
    case TPR:
    case SELF_IPI:
        return 0xff;
    case EOI:
    case ESR:
        return 0;
    case SVR:
        return SVR_WRITABLE;
    case ICR_LOW:
        return ICR_WRITABLE | ICR_BUSY | 0xffffffff00000000;
    case INITIAL_COUNT:
        return UINT32_MAX;
    case DIVIDE:
        return 0xb;
    default:
        return lvt_writable[reg - LVT] | LVT_READ_ONLY;
    }
}

static void write_svr(struct lapic *lapic, uint32_t value)
{
    store(&lapic->svr, value & SVR_WRITABLE);
    /* Software-disabled: all of the LVT is masked (11.4.7.2). */
    for (unsigned i = 0; i < 6 && !(value & SVR_ENABLE); i++)
        store(&lapic->lvt[i], lapic->lvt[i] | LVT_MASKED);
}

static void write_lvt(struct lapic *lapic, unsigned index, uint32_t value)
{
    value &= lvt_writable[index];
    if (!(lapic->svr & SVR_ENABLE))
        value |= LVT_MASKED;
    if (index == LVT_TIMER)
        lapic_timer_mode(lapic, value);
    store(&lapic->lvt[index], value);
}

bool lapic_write(struct lapic *lapic, unsigned reg, uint64_t now, uint64_t value)
{
    bool x2 = is_x2(lapic);
    uint32_t low = (uint32_t)value;

    if (reg >= REGISTERS || !((x2 ? X2_WRITE : XAPIC) & BIT(reg))) {
        if (!x2)
            error(lapic, ESR_REGISTER);
        return false;
    }
    if (x2 && value & ~x2_bits(reg))
        return false;
    switch (reg) {
    case TPR:
        store(&lapic->tpr, low & 0xff);
        break;
    case EOI:
        lapic_eoi(lapic);
        break;
    case LDR:
        store(&lapic->ldr, low & 0xff000000);
        break;
    case DFR:
        store(&lapic->dfr, low | DFR_ONES);
        break;
    case SVR:
        write_svr(lapic, low);
        break;
    case ESR: /* what has happened so far becomes readable (11.5.3) */
        lapic->esr = __atomic_exchange_n(&lapic->esr_pending, 0, __ATOMIC_RELAXED);
        break;
    case ICR_LOW:
        lapic->icr_low = low & ICR_WRITABLE;
        if (x2)
            lapic->icr_high = (uint32_t)(value >> 32);
        send_ipi(lapic, lapic->icr_low, lapic->icr_high);
        break;
    case ICR_HIGH:
        lapic->icr_high = low & 0xff000000;
        break;
    case INITIAL_COUNT:
        lapic_timer_start(lapic, low, now);
        break;
    case DIVIDE:
        lapic_timer_divide(lapic, low & 0xb);
        break;
    case SELF_IPI:
        send_ipi(lapic, (low & 0xff) | 1U << 18, 0);
        break;
    default:
        if (reg >= LVT && reg < INITIAL_COUNT)
            write_lvt(lapic, reg - LVT, low);
    }
    return true;
}

static bool has_page(const struct lapic *lapic)
{
    return (base(lapic) & (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC)) == LAPIC_BASE_ENABLE;
}

uint64_t lapic_mmio_read(struct lapic *lapic, uint64_t offset, unsigned size, uint64_t now)
{
    uint64_t value;

    if (!has_page(lapic) || offset % 16 + size > 4) {
        machine_guest_error("LAPIC: read of %u bytes at %#lx", size, (unsigned long)offset);
        return size < 8 ? (1UL << size * 8) - 1 : UINT64_MAX;
    }
    lapic_read(lapic, (unsigned)(offset / 16), now, &value);
    return value >> offset % 16 * 8 & ((1UL << size * 8) - 1);
}

void lapic_mmio_write(struct lapic *lapic, uint64_t offset, unsigned size, uint64_t now, uint64_t value)
{
    if (!has_page(lapic) || offset % 16 || size != 4) {
        machine_guest_error("LAPIC: write of %u bytes at %#lx", size, (unsigned long)offset);
        return;
    }
    lapic_write(lapic, (unsigned)(offset / 16), now, (uint32_t)value);
}

/* Everything but the id and the mode. */
static void clear(struct lapic *lapic)
{
    bool x2 = is_x2(lapic);

    write_svr(lapic, 0xff);
    for (unsigned i = 0; i < 8; i++) {
        store(&lapic->irr[i], 0);
        store(&lapic->tmr[i], 0);
        lapic->isr[i] = 0;
    }
    for (unsigned i = 0; i < 6; i++)
        store(&lapic->lvt[i], LVT_MASKED);
    store(&lapic->tpr, 0);
    store(&lapic->ldr, x2 ? lapic->id >> 4 << 16 | 1U << lapic->id % 16 : 0);
    store(&lapic->dfr, UINT32_MAX);
    store(&lapic->esr_pending, 0);
    lapic->esr = lapic->icr_low = lapic->icr_high = 0;
    lapic->divide = lapic->initial_count = 0;
    lapic->timer_start = 0;
    lapic->deadline = LAPIC_NEVER;
}

static void set_base(struct lapic *lapic, uint64_t value)
{
    __atomic_store_n(&lapic->base, value, __ATOMIC_RELAXED);
}

void lapic_reset(struct lapic *lapic, unsigned id, bool keep_id)
{
    if (!keep_id) {
        lapic->id = id;
        set_base(lapic, LAPIC_BASE | LAPIC_BASE_ENABLE | (id == 0 ? LAPIC_BASE_BSP : 0));
    }
    clear(lapic);
}

/* Modes and the ways between them (11.12.5, figure 11-27). */
bool lapic_set_base(struct lapic *lapic, uint64_t value)
{
    uint64_t mode = value & (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC);
    uint64_t old = base(lapic) & (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC);

    if ((value & ~(LAPIC_BASE_BSP | LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC)) != LAPIC_BASE ||
        mode == LAPIC_BASE_X2APIC)
        return false;
    if (mode != old && old && mode && old != LAPIC_BASE_ENABLE) /* x2APIC to xAPIC */
        return false;
    if (!old && mode & LAPIC_BASE_X2APIC)
        return false;
    set_base(lapic, value);
    if (!mode)
        clear(lapic);
    else if (mode != old && is_x2(lapic))
        store(&lapic->ldr, lapic->id >> 4 << 16 | 1U << lapic->id % 16);
    return true;
}

uint64_t lapic_cr8(const struct lapic *lapic)
{
    return lapic->tpr >> 4;
}

void lapic_set_cr8(struct lapic *lapic, uint64_t value)
{
    store(&lapic->tpr, (uint32_t)value << 4 & 0xf0);
}
