/*
 * Instructions that C has no words for.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "lib/util.h"

/* inb, outb and so on. */
#define PORT_ACCESS(suffix, type)                                                                            \
    static inline type in##suffix(uint16_t port)                                                             \
    {                                                                                                        \
        type v;                                                                                              \
        __asm__ volatile("in" #suffix " %1, %0" : "=a"(v) : "Nd"(port));                                     \
        return v;                                                                                            \
    }                                                                                                        \
    static inline void out##suffix(uint16_t port, type v)                                                    \
    {                                                                                                        \
        __asm__ volatile("out" #suffix " %0, %1" : : "a"(v), "Nd"(port));                                    \
    }

PORT_ACCESS(b, uint8_t)
PORT_ACCESS(w, uint16_t)
PORT_ACCESS(l, uint32_t)

/* For registers that have a number, and go through EDX:EAX. */
#define NUMBERED_REGISTER(read, write)                                                                       \
    static inline uint64_t read(uint32_t number)                                                             \
    {                                                                                                        \
        uint32_t lo, hi;                                                                                     \
        __asm__ volatile(#read : "=a"(lo), "=d"(hi) : "c"(number) : "memory");                               \
        return (uint64_t)hi << 32 | lo;                                                                      \
    }                                                                                                        \
    static inline void write(uint32_t number, uint64_t v)                                                    \
    {                                                                                                        \
        __asm__ volatile(#write : : "a"((uint32_t)v), "d"((uint32_t)(v >> 32)), "c"(number) : "memory");     \
    }

NUMBERED_REGISTER(rdmsr, wrmsr)
NUMBERED_REGISTER(xgetbv, xsetbv)

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

/* All zero above the highest leaf of the range: some CPUs answer those with another leaf's data. */
static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid r;
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf & 0x80000000), "c"(0));
    if (r.eax < leaf)
        return (struct cpuid){0};
    __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
    return r;
}

/* read_cr0, write_cr0 and so on, for control and debug registers. */
#define CONTROL_REGISTER(name)                                                                               \
    static inline uint64_t read_##name(void)                                                                 \
    {                                                                                                        \
        uint64_t v;                                                                                          \
        __asm__ volatile("mov %%" #name ", %0" : "=r"(v) : : "memory");                                      \
        return v;                                                                                            \
    }                                                                                                        \
    static inline void write_##name(uint64_t v)                                                              \
    {                                                                                                        \
        __asm__ volatile("mov %0, %%" #name : : "r"(v) : "memory");                                          \
    }

CONTROL_REGISTER(cr0)
CONTROL_REGISTER(cr2)
CONTROL_REGISTER(cr3)
CONTROL_REGISTER(cr4)
CONTROL_REGISTER(dr0)
CONTROL_REGISTER(dr1)
CONTROL_REGISTER(dr2)
CONTROL_REGISTER(dr3)
CONTROL_REGISTER(dr6)

static inline void invlpg(const volatile void *addr)
{
    __asm__ volatile("invlpg (%0)" : : "r"(addr) : "memory");
}

/* Null selectors in all data segments. */
static inline void clear_selectors(void)
{
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%fs; mov %0, %%gs" : : "r"(0));
}

static inline void cpu_relax(void)
{
    __builtin_ia32_pause();
}
