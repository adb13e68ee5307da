/*
 * Injection: what comes first, what waits for a window, and the paravirtual EOI.
 *
 * Sources: cpu/inject.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "memory.h"
#include "cpu/stubs.h"
#include "tap.h"

#define IF 0x202UL
#define VALID 0x80000000U
#define WINDOW 0x1000U
#define NMI_WINDOW 0x2000U
#define NMI (VALID | 0x202U)
#define STI 1U

static struct vcpu v;
static struct nova_arch_state s;

static void fresh(uint64_t rflags, uint32_t shadow)
{
    memset(&v, 0, sizeof(v));
    memset(&s, 0, sizeof(s));
    s.rflags = rflags;
    s.intr_state = shadow;
    vendor.svm = true;
}

static void want(uint8_t vector)
{
    v.lapic.irr[vector / 32] |= 1U << vector % 32;
}

static uint32_t inject(void)
{
    CHECK(vcpu_inject(&v, &s) == NOVA_MTD_INJ);
    return s.inj_info;
}

static void test_interrupts(void)
{
    fresh(IF, 0);
    CHECK(inject() == 0);
    want(0x31);
    CHECK(inject() == (VALID | 0x31));
    CHECK(v.lapic.isr[1] == 1U << 17 && !v.lapic.irr[1]);
    fresh(0, 0);
    want(0x31);
    CHECK(inject() == WINDOW && v.lapic.irr[1]);
    fresh(IF, STI);
    want(0x31);
    CHECK(inject() == WINDOW);
    fresh(IF, 2);
    want(0x31);
    CHECK(inject() == WINDOW);
    fresh(IF, 0);
    want(0x31);
    want(0x52);
    CHECK(inject() == (VALID | 0x52));
    CHECK(inject() == (VALID | 0x52)); /* as long as it has not been delivered */
    s.inj_info = 0;
    CHECK(inject() == 0); /* the other one has a lower priority */
    lapic_eoi(&v.lapic);
    CHECK(inject() == (VALID | 0x31));
    ok_checks("interrupts wait for IF, shadows and priorities");
}

static void test_nmis(void)
{
    fresh(0, 0);
    v.nmi = true;
    CHECK(inject() == NMI && !v.nmi);
    fresh(IF, STI);
    v.nmi = true;
    CHECK(inject() == NMI_WINDOW && v.nmi);
    fresh(IF, STA_NMI);
    v.nmi = true;
    want(0x31);
    CHECK(inject() == (VALID | 0x31 | NMI_WINDOW));
    fresh(IF, 0);
    v.nmi = true;
    want(0x31);
    CHECK(inject() == (NMI | WINDOW));
    ok_checks("NMIs come first and have a window of their own");
}

static void test_interrupted(void)
{
    fresh(IF, 0);
    s.vect_info = VALID | 0xb0e; /* a page fault with an error code */
    s.vect_error = 7;
    want(0x31);
    CHECK(inject() == (VALID | 0xb0e | WINDOW) && s.inj_error == 7);
    fresh(0, 0);
    s.vect_info = VALID | 0x480; /* INT 0x80: SVM carries it out once more */
    CHECK(inject() == 0);
    vendor.svm = false;
    CHECK(inject() == (VALID | 0x480));
    fresh(0, 0);
    CHECK(vcpu_exception(&s, VECTOR_GP, true, 0x18) == NOVA_MTD_INJ);
    CHECK(inject() == (VALID | 0xb0d) && s.inj_error == 0x18);
    ok_checks("an interrupted delivery, and an exception, come before everything else");
}

static void test_halt(void)
{
    fresh(IF, 0);
    CHECK(!vcpu_awake(&v, &s));
    want(0x31);
    CHECK(vcpu_awake(&v, &s));
    s.rflags = 0;
    CHECK(!vcpu_awake(&v, &s));
    v.nmi = true;
    CHECK(vcpu_awake(&v, &s));
    ok_checks("HLT ends with an NMI, or an interrupt if IF is set");
}

/* The guest gets one interrupt with the offer; then it takes the offer or not. */
static void test_eoi(void)
{
    uint32_t *word;

    memory_make(0x200000);
    word = ram_at(0x1000, 4);
    fresh(IF, 0);
    stub_eois = 0;
    v.eoi_word = 0x1001;
    want(0x31);
    CHECK(inject() == (VALID | 0x31) && *word == 1 && v.eoi_armed);
    s.inj_info = 0;
    *word = 0; /* the guest's EOI */
    want(0x22);
    CHECK(inject() == (VALID | 0x22) && stub_eois == 1);
    s.inj_info = 0;
    want(0x21);
    CHECK(inject() == 0 && stub_eois == 1 && *word == 0 && !v.eoi_armed); /* withdrawn: it has to write EOI */

    fresh(IF, 0);
    v.eoi_word = 0x1001;
    want(0x31);
    v.lapic.tmr[1] = 1U << 17;
    CHECK(inject() == (VALID | 0x31) && !*word && !v.eoi_armed); /* level-triggered */
    fresh(IF, 0);
    v.eoi_word = 0x1001;
    want(0x31);
    want(0x30);
    CHECK(inject() == (VALID | 0x31) && !*word && !v.eoi_armed); /* another one waits */
    fresh(IF, 0);
    v.eoi_word = 0xfffffffffff1;
    want(0x31);
    CHECK(inject() == (VALID | 0x31) && !v.eoi_armed); /* no memory there */
    ok_checks("EOI in memory: offered for edges if nothing waits, taken or withdrawn");
}

int main(void)
{
    test_interrupts();
    test_nmis();
    test_interrupted();
    test_halt();
    test_eoi();
    return tap_done();
}
