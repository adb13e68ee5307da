/**
 * @file
 * CPUID: what the guest's CPUs are. Host values through an allow-list, plus what the VMM emulates.
 *
 * Built once; then constant. Any thread.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stdint.h>

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

/** What the answers depend on besides the host's CPU. */
struct cpuid_machine {
    unsigned vcpus;
    uint64_t xcr0;     /**< components that the kernel switches: all that the guest may enable */
    uint32_t tsc_khz;  /**< of the guest's TSC */
    uint32_t apic_khz; /**< of the LAPIC's timer, undivided */
    void (*host)(uint32_t leaf, uint32_t subleaf, struct cpuid *out); /**< the CPU's own instruction */
};

/** What they depend on besides that: the vCPU that asks. */
struct cpuid_vcpu {
    uint32_t number;
    uint64_t xcr0;
    bool osxsave; /**< CR4.OSXSAVE, for leaf 1 */
};

#define CPUID_SIGNATURE 0x40000000U

void cpuid_init(const struct cpuid_machine *machine);

/** Answers one question. */
void cpuid_answer(uint32_t leaf, uint32_t subleaf, const struct cpuid_vcpu *vcpu, struct cpuid *out);

/** Whether a feature is announced: register 0 to 3 is EAX to EDX. */
bool cpuid_has(uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit);

/** The guest's CPU follows AMD's manuals, not Intel's. */
bool cpuid_is_amd(void);

/** MAXPHYADDR. */
unsigned cpuid_physical_bits(void);

/** Allowed bits, for the unit test: the reason is never empty. */
struct cpuid_rule {
    uint32_t leaf;
    uint8_t subleaf, reg;
    uint32_t host, always; /**< bits taken from the host; bits that are always set */
    const char *reason;
};

extern const struct cpuid_rule cpuid_rules[];
extern const unsigned cpuid_rule_count;
