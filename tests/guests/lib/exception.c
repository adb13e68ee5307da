/*
 * Exceptions and interrupts of guest images.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"

static handler_t *handlers[256];

void handle(uint8_t vector, handler_t *handler)
{
    handlers[vector] = handler;
}

void interrupt(struct frame *frame);
uint64_t user_enter(const void *code, uint64_t selector, uint64_t rflags, uint64_t rsp);
void user_leave(void);

static void record(struct cpu *cpu, const struct frame *frame)
{
    cpu->vector = frame->vector;
    cpu->error = frame->error;
    cpu->rip = frame->rip;
    cpu->cr2 = READ_CR(2);
    __asm__ volatile("mov %%dr6, %0" : "=r"(cpu->dr6));
    cpu->frame = *frame;
}

void interrupt(struct frame *frame)
{
    struct cpu *cpu = cpu_self();

    if (frame->cs & 3) {
        record(cpu, frame);
        frame->rip = (uint64_t)user_leave;
        frame->cs = SEL_CODE64;
        frame->ss = SEL_DATA;
        frame->rflags = 2;
        frame->rsp = cpu->user_rsp;
    } else if (handlers[frame->vector]) {
        handlers[frame->vector](frame);
    } else if (cpu->resume) {
        record(cpu, frame);
        frame->rip = cpu->resume;
        frame->rflags &= ~(uint64_t)RFLAGS_TF;
        cpu->resume = 0;
    } else {
        tap_bail("exception 0x%lx on CPU %u at 0x%lx, error 0x%lx, CR2 0x%lx", frame->vector, cpu->number,
                 frame->rip, frame->error, READ_CR(2));
    }
}

uint64_t user_run(const void *code, uint64_t selector, uint64_t rflags)
{
    struct cpu *cpu = cpu_self();

    cpu->vector = NO_FAULT;
    user_enter(code, selector, rflags | 2, (uint64_t)user_page(3) + 4096);
    return cpu->vector;
}
