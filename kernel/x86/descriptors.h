/*
 * Segments, task state segment and interrupt descriptors.
 *
 * Intel SDM volume 3, chapters 3.5, 6.14, 8.7.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "entry/frame.h"
#include "lib/util.h"

#define GDT_ENTRIES 7

struct tss {
    uint32_t reserved0;
    uint64_t rsp0, rsp1, rsp2;
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_bitmap;
} __attribute__((packed));

_Static_assert(offsetof(struct tss, rsp0) == TSS_RSP0 && sizeof(struct tss) == 104, "TSS layout");

struct cpu;

/* Fills the interrupt descriptor table; once. */
void descriptors_init(void);

/* Loads GDT, TSS and IDT on this CPU and sets the MSRs for SYSCALL. */
void descriptors_load(struct cpu *cpu);

/* The same for GDT and TSS, whose limits are not what they were, and for the MSRs. */
void descriptors_reload(struct cpu *cpu);

extern uint64_t idt[256][2];
