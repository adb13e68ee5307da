/*
 * Local APIC against the rules of the manual, written down again in the simplest way: priorities (a model of 256 flags, random
 * steps), destinations and IPIs (a loop over all APICs and bits), registers of both modes bit by bit, transitions between the
 * modes, errors, messages.
 *
 * Sources: dev/irq.c dev/lapic.c dev/lapic_timer.c dev/machine.c ../libnova/src/format.c
 * Fakes: vmm/dev/fake.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "dev/fake.h"
#include "dev/irq.h"
#include "tap.h"

#include <string.h>

enum {
    ID = 2,
    TPR = 8,
    PPR = 10,
    EOI = 11,
    LDR = 13,
    DFR = 14,
    SVR = 15,
    ISR = 16,
    TMR = 24,
    IRR = 32,
    ESR = 40
};
enum { ICR = 0x30, ICR2 = 0x31, TIMER = 0x32, LINT0 = 0x35, ERROR = 0x37, INITIAL = 0x38, SELF = 0x3f };

#define BSP LAPIC_BASE_BSP
#define ENABLE LAPIC_BASE_ENABLE
#define X2 (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC)

static uint64_t random_state = 3;

static uint64_t next(void)
{
    return tap_random(&random_state);
}

/* The IOAPIC. */
static unsigned eois, eoi_vector;

void irq_eoi(uint8_t vector)
{
    eois++;
    eoi_vector = vector;
}

static uint64_t get(struct lapic *lapic, unsigned reg)
{
    uint64_t value;

    CHECK(lapic_read(lapic, reg, 0, &value));
    return value;
}

static void put(struct lapic *lapic, unsigned reg, uint64_t value)
{
    CHECK(lapic_write(lapic, reg, 0, value));
}

static void to_x2(struct lapic *lapic)
{
    CHECK(lapic_set_base(lapic, lapic->base | X2));
}

/* The model: one flag for each vector. */
static struct {
    bool irr[256], isr[256], tmr[256];
    unsigned tpr;
} model;

static int model_highest(const bool *flags)
{
    for (int i = 255; i >= 0; i--)
        if (flags[i])
            return i;
    return -1;
}

static unsigned model_ppr(void)
{
    int isrv = model_highest(model.isr);
    unsigned class = isrv < 0 ? 0 : (unsigned)isrv / 16;

    return model.tpr / 16 >= class ? model.tpr : class * 16;
}

static void compare(struct lapic *lapic)
{
    int vector = model_highest(model.irr);

    if (vector >= 0 && (unsigned)vector / 16 <= model_ppr() / 16)
        vector = -1;
    CHECK(lapic_pending(lapic) == vector);
    CHECK(get(lapic, PPR) == model_ppr() && get(lapic, TPR) == model.tpr &&
          lapic_cr8(lapic) == model.tpr / 16);
    for (unsigned i = 0; i < 8; i++) {
        uint32_t irr = 0, isr = 0, tmr = 0;

        for (unsigned bit = 0; bit < 32; bit++) {
            irr |= (uint32_t)model.irr[i * 32 + bit] << bit;
            isr |= (uint32_t)model.isr[i * 32 + bit] << bit;
            tmr |= (uint32_t)model.tmr[i * 32 + bit] << bit;
        }
        CHECK(get(lapic, IRR + i) == irr && get(lapic, ISR + i) == isr && get(lapic, TMR + i) == tmr);
    }
}

static void step(struct lapic *lapic)
{
    uint8_t vector = (uint8_t)next();
    bool level = next() % 3 == 0, keep = lapic->svr & 0x1000;
    int pending, top;

    switch (next() % 7) {
    case 0:
    case 1:
    case 2:
        CHECK(lapic_accept(lapic, vector, level) == (vector >= 16));
        if (vector >= 16) {
            model.irr[vector] = true;
            model.tmr[vector] = level;
        }
        break;
    case 3:
        pending = lapic_pending(lapic);
        if (pending >= 0) {
            lapic_take(lapic, (uint8_t)pending);
            model.irr[pending] = false;
            model.isr[pending] = true;
        }
        break;
    case 4:
    case 5:
        top = model_highest(model.isr);
        eois = 0;
        put(lapic, EOI, 0);
        CHECK(eois == (top >= 0 && model.tmr[top] && !keep));
        CHECK(!eois || eoi_vector == (unsigned)top);
        if (top >= 0) {
            CHECK(lapic_is_level(lapic, (uint8_t)top) == model.tmr[top]);
            model.isr[top] = false;
        }
        break;
    default:
        if (next() % 2) {
            model.tpr = vector;
            put(lapic, TPR, vector);
        } else {
            model.tpr = vector & 0xf0;
            lapic_set_cr8(lapic, vector >> 4);
        }
    }
}

static void test_priorities(void)
{
    for (unsigned round = 0; round < 4; round++) {
        fake_vcpus(1, true);
        memset(&model, 0, sizeof(model));
        if (round & 1)
            to_x2(vcpu_lapic(0));
        put(vcpu_lapic(0), SVR, round & 2 ? 0x11ff : 0x1ff);
        for (unsigned i = 0; i < 20000; i++) {
            step(vcpu_lapic(0));
            compare(vcpu_lapic(0));
        }
    }
    ok_checks("priorities, ISR, IRR, TMR and EOI follow the model through random steps");
}

/* 11.6.2, written as loops over bits. */
static bool names(const struct lapic *lapic, uint32_t destination, bool logical)
{
    uint64_t mode = lapic->base & X2;
    unsigned id = lapic->id;

    if (!(mode & ENABLE))
        return false;
    if (destination == 0xffffffff)
        return true;
    if (!logical)
        return destination == id;
    if (mode == X2)
        return destination / 0x10000 == id / 16 && (destination & 0xffff) >> id % 16 & 1;
    if (destination > 0xff)
        return false;
    for (unsigned bit = 0; bit < 8; bit++) {
        bool both = destination >> bit & 1 && lapic->ldr >> 24 >> bit & 1;

        if (both && lapic->dfr == 0xffffffff)
            return true;
        if (both && bit < 4 && lapic->dfr == 0x0fffffff && destination >> 4 == lapic->ldr >> 28)
            return true;
    }
    return false;
}

static void random_apics(unsigned count)
{
    static const uint32_t formats[] = {0xffffffff, 0x0fffffff, 0xffffffff, 0x0fffffff, 0x50000000};

    fake_vcpus(count, true);
    for (unsigned i = 0; i < count; i++) {
        struct lapic *lapic = vcpu_lapic(i);

        put(lapic, DFR, formats[next() % 5]);
        put(lapic, LDR, next() % 4 ? 1U << (24 + next() % 8) : next() & 0xffffffff);
        if (next() % 4 == 0) {
            to_x2(lapic);
            CHECK(get(lapic, LDR) == 1U << i);
        } else if (next() % 8 == 0) {
            CHECK(lapic_set_base(lapic, LAPIC_BASE));
        } else if (next() % 8 == 0) {
            put(lapic, SVR, 0xff);
        }
    }
}

static void test_destinations(void)
{
    static const uint32_t some[] = {0x100,   0x101,   0x1ff,      0xffff,     0x10000,
                                    0x10001, 0x1ffff, 0x80000000, 0xffff00ff, 0xfffffffe};
    unsigned hits = 0;

    for (unsigned round = 0; round < 200; round++) {
        random_apics(8);
        for (unsigned i = 0; i < 8; i++) {
            const struct lapic *lapic = vcpu_lapic(i);

            for (uint32_t d = 0; d <= 0x100; d++) {
                uint32_t destination = d == 0x100 ? UINT32_MAX : d;

                CHECK(lapic_is_destination(lapic, destination, false) == names(lapic, destination, false));
                CHECK(lapic_is_destination(lapic, destination, true) == names(lapic, destination, true));
                hits += names(lapic, destination, true);
            }
            for (unsigned k = 0; k < sizeof(some) / sizeof(*some); k++) {
                CHECK(lapic_is_destination(lapic, some[k], false) == names(lapic, some[k], false));
                CHECK(lapic_is_destination(lapic, some[k], true) == names(lapic, some[k], true));
            }
        }
    }
    CHECK(hits > 10000);
    ok_checks("destinations: physical, flat, cluster and x2APIC, all values");
}

static bool takes(unsigned number)
{
    return vcpu_lapic(number)->base & ENABLE && vcpu_lapic(number)->svr & 0x100;
}

/* What a message must have done, and takes it away again; whether somebody took it. `to`: bit map of the APICs that it names. */
static bool check_delivered(unsigned to, unsigned mode, uint8_t vector, bool level)
{
    unsigned takers = 0;

    for (unsigned i = 0; i < vcpu_count; i++) {
        unsigned asked = fake_asked(i), expected = 0;
        bool named = to >> i & 1, got = fake_requested((int)i, vector);

        CHECK(!got || lapic_is_level(vcpu_lapic(i), vector) == level);
        takers += got || asked;
        if (mode == LAPIC_NMI || mode == LAPIC_INIT || mode == LAPIC_STARTUP) {
            expected = mode == LAPIC_NMI ? VCPU_NMI : mode == LAPIC_INIT ? VCPU_INIT : VCPU_SIPI;
            CHECK(asked == (named ? expected : 0) && !got);
            CHECK(mode != LAPIC_STARTUP || !named || fake_sipi[i] == vector);
        } else if (mode == LAPIC_FIXED && vector >= 16) {
            CHECK(got == (named && takes(i)) && asked == (got ? VCPU_INTERRUPT : 0));
        } else if (mode == LAPIC_LOWEST && vector >= 16) {
            CHECK(!got || (named && takes(i)));
            CHECK(asked == (got ? VCPU_INTERRUPT : 0));
            to &= named && !takes(i) ? ~(1U << i) : UINT32_MAX;
        } else {
            CHECK(!got && !asked);
        }
    }
    CHECK(mode != LAPIC_LOWEST || vector < 16 || takers == (to != 0));
    CHECK(fake_quiet());
    return takers;
}

static unsigned named_by(uint32_t destination, bool logical)
{
    unsigned to = 0;

    for (unsigned i = 0; i < vcpu_count; i++)
        to |= (unsigned)names(vcpu_lapic(i), destination, logical) << i;
    return to;
}

static void random_ipi(void)
{
    unsigned self = (unsigned)(next() % vcpu_count), mode = next() % 8, shorthand = next() % 4;
    uint8_t vector = (uint8_t)next();
    struct lapic *lapic = vcpu_lapic(self);
    bool logical = next() & 1, x2 = (lapic->base & X2) == X2, deassert = next() % 8 == 0;
    uint32_t destination = next() % 4   ? 1U << next() % 8
                           : next() % 2 ? (uint32_t)next() % 16
                                        : (uint32_t)next();
    uint64_t low =
        vector | mode << 8 | (uint64_t)logical << 11 | (deassert ? 0x8000 : 0x4000) | shorthand << 18;
    unsigned all = (1U << vcpu_count) - 1, to;
    bool valid = mode != 3 && mode != 7 && mode != LAPIC_SMI;

    if (!(lapic->base & ENABLE))
        return;
    put(lapic, ESR, 0);
    put(lapic, ESR, 0);
    if (x2) {
        destination = next() % 16 ? destination : UINT32_MAX;
        put(lapic, ICR, (uint64_t)destination << 32 | low);
        CHECK(get(lapic, ICR) == ((uint64_t)destination << 32 | low));
    } else {
        destination = next() % 16 ? destination & 0xff : 0xff;
        put(lapic, ICR2, destination << 24);
        put(lapic, ICR, low);
        CHECK(get(lapic, ICR) == low && get(lapic, ICR2) == destination << 24);
        destination = destination == 0xff ? UINT32_MAX : destination;
    }
    to = shorthand == 0   ? named_by(destination, logical)
         : shorthand == 1 ? 1U << self
         : shorthand == 2 ? named_by(UINT32_MAX, false)
                          : named_by(UINT32_MAX, false) & ~(1U << self);
    valid &= (shorthand != 1 && shorthand != 2) || mode == LAPIC_FIXED;
    valid &= mode != LAPIC_INIT || !deassert;
    check_delivered(valid ? to & all : 0, valid ? mode : LAPIC_FIXED, vector, false);
    put(lapic, ESR, 0);
    CHECK((get(lapic, ESR) & 0x20) == (mode <= LAPIC_LOWEST && vector < 16 ? 0x20 : 0));
}

static void test_ipis(void)
{
    for (unsigned round = 0; round < 400; round++) {
        random_apics(1 + (unsigned)next() % 8);
        for (unsigned i = 0; i < 100; i++)
            random_ipi();
    }
    ok_checks("IPIs: all modes, shorthands and destinations reach whom they should, and nobody else");
}

static void test_self_ipi(void)
{
    fake_vcpus(2, true);
    to_x2(vcpu_lapic(1));
    for (unsigned vector = 0; vector < 256; vector++) {
        put(vcpu_lapic(1), SELF, vector);
        check_delivered(2, LAPIC_FIXED, (uint8_t)vector, false);
        put(vcpu_lapic(1), ESR, 0);
        CHECK(get(vcpu_lapic(1), ESR) == (vector < 16 ? 0x60 : 0));
    }
    ok_checks("self IPI: vectors 16 to 255, errors for the others");
}

/* Who wins is the one with the lowest priority; equals take turns by vector. */
static void test_arbitration(void)
{
    unsigned wins[4] = {0};

    fake_vcpus(4, true);
    for (unsigned i = 0; i < 4; i++)
        put(vcpu_lapic(i), LDR, 1U << (24 + i));
    for (unsigned i = 0; i < 4; i++)
        put(vcpu_lapic(i), TPR, i == 2 ? 0x20 : 0x30);
    CHECK(irq_deliver(0xf, true, LAPIC_LOWEST, 0x51, false) && fake_requested(2, 0x51) && fake_quiet());
    CHECK(irq_deliver(0xb, true, LAPIC_LOWEST, 0x51, false) && !fake_requested(2, 0x51) &&
          fake_requested(-1, 0x51));
    put(vcpu_lapic(2), SVR, 0xff);
    CHECK(irq_deliver(0xf, true, LAPIC_LOWEST, 0x51, false) && !fake_requested(2, 0x51) &&
          fake_requested(-1, 0x51));
    CHECK(!irq_deliver(0x4, true, LAPIC_LOWEST, 0x51, false) && fake_quiet());
    put(vcpu_lapic(2), SVR, 0x1ff);
    for (unsigned i = 0; i < 4; i++)
        put(vcpu_lapic(i), TPR, 0);
    for (unsigned vector = 16; vector < 256; vector++) {
        CHECK(irq_deliver(LAPIC_TO_ALL, false, LAPIC_LOWEST, (uint8_t)vector, false));
        for (unsigned i = 0; i < 4; i++)
            wins[i] += fake_requested((int)i, (uint8_t)vector);
    }
    CHECK(wins[0] == 60 && wins[1] == 60 && wins[2] == 60 && wins[3] == 60 && fake_quiet());
    ok_checks("lowest priority wins, equals share");
}

static void random_message(void)
{
    uint8_t dest = (uint8_t)(next() % 4 ? 1U << next() % 8 : next() % 2 ? next() % 16 : 0xff);
    unsigned mode = next() % 8, redirect = next() % 2, logical = next() % 2, level = next() % 2,
             assert = next() % 2;
    uint8_t vector = (uint8_t)next();
    uint64_t address = 0xfee00000 | (uint64_t)dest << 12 | redirect << 3 | logical << 2;
    uint32_t data = vector | mode << 8 | assert << 14 | level << 15 | ((uint32_t)next() & 0xffff3800);
    bool valid = mode != 3 && mode != LAPIC_STARTUP && mode != LAPIC_EXTINT && mode != LAPIC_SMI;

    if (next() % 16 == 0) {
        address ^= 1UL << (20 + next() % 44);
        valid = false;
    }
    irq_message(address, data);
    valid &= !level || assert;
    if (redirect && mode == LAPIC_FIXED)
        mode = LAPIC_LOWEST;
    check_delivered(valid ? named_by(irq_destination(dest), logical) : 0, valid ? mode : LAPIC_FIXED, vector,
                    level);
}

/* The same without the form of a message, and whether somebody took it. */
static void random_delivery(void)
{
    uint32_t dest = (uint32_t)(next() % 4 ? 1U << next() % 16 : next() % 2 ? next() % 16 : UINT32_MAX);
    unsigned mode = next() % 8;
    uint8_t vector = (uint8_t)next();
    bool logical = next() % 2, level = next() % 2,
         valid = mode != 3 && mode != LAPIC_EXTINT && mode != LAPIC_SMI, taken;

    taken = irq_deliver(dest, logical, mode, vector, level);
    CHECK(check_delivered(valid ? named_by(dest, logical) : 0, valid ? mode : LAPIC_FIXED, vector, level) ==
          taken);
}

static void test_messages(void)
{
    for (unsigned round = 0; round < 400; round++) {
        random_apics(1 + (unsigned)next() % 8);
        for (unsigned i = 0; i < 100; i++)
            random_message();
        random_delivery();
    }
    fake_vcpus(1, true);
    irq_message(0xfee00000, 0xc051);
    CHECK(lapic_is_level(vcpu_lapic(0), 0x51) && fake_requested(0, 0x51));
    irq_message(0xfee00000, 0x4051);
    CHECK(!lapic_is_level(vcpu_lapic(0), 0x51) && fake_requested(0, 0x51) && fake_errors() == 0);
    irq_message(0xfef00000, 0x4051);
    irq_message(0x1fee00000, 0x4051);
    irq_message(0xfee00000, 0x4351);
    CHECK(fake_quiet() && fake_errors() == 3);
    ok_checks("messages: all modes and destinations; what is none is counted");
}

/* Table 11-6: registers in x2APIC mode, and the bits that may be written. */
static const struct {
    unsigned reg, last;
    bool read, write;
    uint64_t bits;
} x2_registers[] = {
    {0x02, 0x03, true, false, 0},
    {0x08, 0x08, true, true, 0xff},
    {0x0a, 0x0a, true, false, 0},
    {0x0b, 0x0b, false, true, 0},
    {0x0d, 0x0d, true, false, 0},
    {0x0f, 0x0f, true, true, 0x13ff},
    {0x10, 0x27, true, false, 0},
    {0x28, 0x28, true, true, 0},
    {0x30, 0x30, true, true, 0xffffffff000cdfff},
    {0x32, 0x32, true, true, 0x750ff},
    {0x33, 0x34, true, true, 0x157ff},
    {0x35, 0x36, true, true, 0x1f7ff},
    {0x37, 0x37, true, true, 0x150ff},
    {0x38, 0x38, true, true, 0xffffffff},
    {0x39, 0x39, true, false, 0},
    {0x3e, 0x3e, true, true, 0xb},
    {0x3f, 0x3f, false, true, 0xff},
};

static void test_x2_registers(void)
{
    static const unsigned beyond[] = {0x40, 0x80, 0xff, 0x3ff, 0x80000000, UINT32_MAX};
    struct lapic *lapic;
    uint64_t value;

    for (unsigned reg = 0; reg < 0x40; reg++) {
        bool read = false, write = false;
        uint64_t bits = 0;

        for (unsigned i = 0; i < sizeof(x2_registers) / sizeof(*x2_registers); i++) {
            if (reg >= x2_registers[i].reg && reg <= x2_registers[i].last) {
                read = x2_registers[i].read;
                write = x2_registers[i].write;
                bits = x2_registers[i].bits;
            }
        }
        fake_vcpus(1, true);
        lapic = vcpu_lapic(0);
        to_x2(lapic);
        CHECK(lapic_read(lapic, reg, 0, &value) == read);
        CHECK(lapic_write(lapic, reg, 0, 0) == write);
        for (unsigned bit = 0; bit < 64; bit++) {
            /* The LVT's read-only bits are let pass, and stay 0. */
            bool good = write && bits >> bit & 1;

            CHECK(lapic_write(lapic, reg, 0, 1UL << bit) == good);
            CHECK(!good || !read || reg == SVR || (get(lapic, reg) & ~(1UL << bit)) == 0);
        }
    }
    for (unsigned i = 0; i < sizeof(beyond) / sizeof(*beyond); i++)
        CHECK(!lapic_read(lapic, beyond[i], 0, &value) && !lapic_write(lapic, beyond[i], 0, 0));
    CHECK(get(lapic, ESR) == 0 && lapic->esr_pending == 0x60);
    ok_checks("x2APIC: what can be read, written, and each reserved bit");
}

static bool in_xapic(unsigned reg)
{
    return reg == 2 || reg == 3 || (reg >= 8 && reg <= 0x28) || (reg >= 0x30 && reg <= 0x39) || reg == 0x3e;
}

static void test_xapic_registers(void)
{
    struct lapic *lapic;
    uint64_t value;

    fake_vcpus(3, true);
    lapic = vcpu_lapic(2);
    for (unsigned reg = 0; reg < 0x100; reg++) {
        CHECK(lapic_read(lapic, reg, 0, &value) == in_xapic(reg));
        put(lapic, ESR, 0);
        CHECK(get(lapic, ESR) == (in_xapic(reg) ? 0 : 0x80));
        if (reg != ICR)
            CHECK(lapic_write(lapic, reg, 0, UINT32_MAX) == in_xapic(reg));
        put(lapic, ESR, 0);
        CHECK((get(lapic, ESR) == 0x80) == !in_xapic(reg));
    }
    CHECK(get(lapic, ID) == 2U << 24 && get(lapic, 3) == 0x01050015);
    CHECK(get(lapic, TPR) == 0xff && get(lapic, SVR) == 0x13ff && get(lapic, LDR) == 0xff000000);
    CHECK(get(lapic, DFR) == UINT32_MAX && get(lapic, ICR2) == 0xff000000 && get(lapic, 0x3e) == 0xb);
    CHECK(get(lapic, TIMER) == 0x700ff && get(lapic, 0x33) == 0x107ff && get(lapic, 0x34) == 0x107ff);
    CHECK(get(lapic, 0x35) == 0x1a7ff && get(lapic, 0x36) == 0x1a7ff && get(lapic, ERROR) == 0x100ff);
    for (unsigned i = 0; i < 8; i++)
        CHECK(!get(lapic, ISR + i) && !get(lapic, TMR + i) && !get(lapic, IRR + i));
    put(lapic, DFR, 0);
    CHECK(get(lapic, DFR) == 0x0fffffff);
    ok_checks("xAPIC: registers, their writable bits, errors for the rest");
}

static void test_mmio(void)
{
    static const unsigned sizes[] = {1, 2, 4, 8};
    struct lapic *lapic;

    fake_vcpus(1, true);
    lapic = vcpu_lapic(0);
    put(lapic, DFR, 0);
    put(lapic, TPR, 0x5a);
    for (unsigned offset = 0; offset < 32; offset++) {
        for (unsigned s = 0; s < 4; s++) {
            unsigned size = sizes[s];
            uint64_t value = lapic_mmio_read(lapic, 0xe0 + offset, size, 0);
            uint64_t reg = offset < 16 ? 0x0fffffff : 0x1ff,
                     ones = size == 8 ? UINT64_MAX : (1UL << size * 8) - 1;

            CHECK(value == (offset % 16 + size <= 4 ? reg >> offset % 16 * 8 & ones : ones));
            lapic_mmio_write(lapic, 0x80 + offset % 16, size, 0, 0x77);
            CHECK(get(lapic, TPR) == (offset % 16 == 0 && size == 4 ? 0x77 : 0x5a));
            put(lapic, TPR, 0x5a);
        }
    }
    to_x2(lapic);
    lapic_mmio_write(lapic, 0x80, 4, 0, 0x33);
    CHECK(lapic_mmio_read(lapic, 0x80, 4, 0) == UINT32_MAX && get(lapic, TPR) == 0x5a);
    CHECK(lapic_set_base(lapic, LAPIC_BASE));
    CHECK(lapic_mmio_read(lapic, 0x80, 8, 0) == UINT64_MAX);
    ok_checks("the page: sizes, misaligned parts, and none in the other modes");
}

static void test_base(void)
{
    static const uint64_t modes[] = {0, ENABLE, X2, LAPIC_BASE_X2APIC};
    static const bool allowed[3][4] = {
        {true, true, false, false}, {true, true, true, false}, {true, false, true, false}};
    struct lapic *lapic;

    for (unsigned from = 0; from < 3; from++) {
        for (unsigned to = 0; to < 4; to++) {
            fake_vcpus(2, true);
            lapic = vcpu_lapic(1);
            CHECK(lapic->base == (LAPIC_BASE | ENABLE) && vcpu_lapic(0)->base == (LAPIC_BASE | ENABLE | BSP));
            put(lapic, TPR, 0x40);
            CHECK(from == 1 || lapic_set_base(lapic, LAPIC_BASE | modes[from]));
            CHECK(lapic_set_base(lapic, LAPIC_BASE | modes[to]) == allowed[from][to]);
            CHECK(lapic->base == (LAPIC_BASE | modes[allowed[from][to] ? to : from]));
            /* Registers survive but for disabling. */
            CHECK(lapic->tpr == (from == 0 || (to == 0 && allowed[from][to]) ? 0 : 0x40));
            CHECK((lapic->base & X2) != X2 || lapic->ldr == 2);
        }
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        bool good = bit == 8 || bit == 10;

        fake_vcpus(1, true);
        CHECK(lapic_set_base(vcpu_lapic(0), (LAPIC_BASE | ENABLE) ^ 1UL << bit) == (good || bit == 11));
    }
    fake_vcpus(1, true);
    lapic = vcpu_lapic(0);
    CHECK(lapic_accept(lapic, 0x80, false) && lapic_pending(lapic) == 0x80);
    CHECK(lapic_set_base(lapic, LAPIC_BASE) && lapic_pending(lapic) == -1 &&
          !lapic_accept(lapic, 0x80, false));
    CHECK(lapic_set_base(lapic, LAPIC_BASE | ENABLE) && lapic_pending(lapic) == -1);
    ok_checks("base: all transitions between the modes, reserved bits, what is lost");
}

static void test_disabled(void)
{
    struct lapic *lapic;

    fake_vcpus(1, false);
    lapic = vcpu_lapic(0);
    CHECK(get(lapic, SVR) == 0xff && !lapic_accept(lapic, 0x80, false) && lapic_pending(lapic) == -1);
    for (unsigned i = 0; i < 6; i++) {
        CHECK(get(lapic, TIMER + i) == 0x10000);
        put(lapic, TIMER + i, 0x30);
        CHECK(get(lapic, TIMER + i) == 0x10030);
    }
    put(lapic, SVR, 0x1ff);
    for (unsigned i = 0; i < 6; i++) {
        put(lapic, TIMER + i, 0x30 + i);
        CHECK(get(lapic, TIMER + i) == 0x30 + i);
    }
    /* What has been accepted is kept. */
    CHECK(lapic_accept(lapic, 0x80, false) && lapic_accept(lapic, 0x90, true));
    lapic_take(lapic, 0x90);
    put(lapic, SVR, 0xff);
    CHECK(lapic_pending(lapic) == -1 && lapic->isr[4] == 1U << 16);
    put(lapic, EOI, 0);
    CHECK(lapic_pending(lapic) == 0x80);
    for (unsigned i = 0; i < 6; i++)
        CHECK(get(lapic, TIMER + i) == (0x10030 | i));
    ok_checks("software-disabled: LVT masked, nothing accepted, what was pending is kept");
}

static void test_errors(void)
{
    struct lapic *lapic;

    fake_vcpus(1, true);
    lapic = vcpu_lapic(0);
    put(lapic, ERROR, 0xee);
    CHECK(lapic_accept(lapic, 5, false) && fake_requested(0, 0xee));
    CHECK(get(lapic, ESR) == 0);
    /* Once, until ESR is written. */
    CHECK(!lapic_accept(lapic, 6, false) && !lapic_write(lapic, 0x2f, 0, 0) && !fake_requested(0, 0xee));
    put(lapic, ESR, 0x123);
    CHECK(get(lapic, ESR) == 0xc0);
    CHECK(lapic_accept(lapic, 6, false) && fake_requested(0, 0xee));
    put(lapic, ESR, 0);
    CHECK(get(lapic, ESR) == 0x40);
    put(lapic, ESR, 0);
    CHECK(get(lapic, ESR) == 0);
    /* Masked, and with an illegal vector of its own. */
    put(lapic, ERROR, 0x100ee);
    CHECK(!lapic_accept(lapic, 6, false) && fake_quiet());
    put(lapic, ESR, 0);
    put(lapic, ERROR, 0xe);
    put(lapic, ICR, 0x4000 | 7 | 1 << 18);
    put(lapic, ESR, 0);
    CHECK(get(lapic, ESR) == 0x60 && fake_quiet());
    ok_checks("errors: ESR, its interrupt once for each write of ESR");
}

static void test_init(void)
{
    for (unsigned x2 = 0; x2 < 2; x2++) {
        struct lapic *lapic, fresh;

        fake_vcpus(6, true);
        lapic = vcpu_lapic(5);
        lapic_reset(lapic, 5, false);
        fresh = *lapic;
        put(lapic, SVR, 0x1ff);
        put(lapic, LINT0, 0x87ff);
        put(lapic, TPR, 0x33);
        put(lapic, LDR, 0x20000000);
        put(lapic, DFR, 0);
        put(lapic, INITIAL, 1000);
        put(lapic, ICR2, 0x07000000);
        put(lapic, 0x3e, 3);
        CHECK(lapic_accept(lapic, 0x80, true) && lapic_accept(lapic, 0x90, true));
        lapic_take(lapic, 0x90);
        CHECK(!lapic_accept(lapic, 1, false) && lapic->esr_pending);
        if (x2) {
            to_x2(lapic);
            fresh.base |= X2;
            fresh.ldr = 0x20;
        }
        lapic_reset(lapic, 0, true);
        CHECK(!memcmp(lapic, &fresh, sizeof(fresh)) && lapic->id == 5);
    }
    ok_checks("INIT: as after power-on, but for id and mode");
}

int main(void)
{
    test_priorities();
    test_destinations();
    test_ipis();
    test_self_ipi();
    test_arbitration();
    test_messages();
    test_x2_registers();
    test_xapic_registers();
    test_mmio();
    test_base();
    test_disabled();
    test_errors();
    test_init();
    return tap_done();
}
