/*
 * The fifteen hypercalls, one inline function each, with the register convention of specification
 * 8.8: RDI carries selector, flags and number; RSI, RDX, RAX and R8 the other parameters; the status
 * comes back in RDI[7:0]. RCX and R11 are overwritten, all other registers keep their values.
 *
 * Functions are named and ordered as in the specification; flags come last.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/abi/cap.h>
#include <nova/abi/hypercall.h>
#include <nova/abi/utcb.h>
#include <stdint.h>

/* All parameter registers, in and out: for tests that need the convention itself. */
struct hypercall_regs {
    uint64_t rdi, rsi, rdx, rax, r8;
};

static inline unsigned hypercall(struct hypercall_regs *r)
{
    register uint64_t r8 __asm__("r8") = r->r8;

    __asm__ volatile("syscall"
                     : "+D"(r->rdi), "+S"(r->rsi), "+d"(r->rdx), "+a"(r->rax), "+r"(r8)
                     :
                     : "rcx", "r11", "memory");
    r->r8 = r8;
    return (unsigned)(r->rdi & 0xff);
}

static inline unsigned hypercall_1(uint64_t rdi)
{
    __asm__ volatile("syscall" : "+D"(rdi) : : "rcx", "r11", "memory");
    return (unsigned)(rdi & 0xff);
}

static inline unsigned hypercall_2(uint64_t rdi, uint64_t rsi)
{
    __asm__ volatile("syscall" : "+D"(rdi) : "S"(rsi) : "rcx", "r11", "memory");
    return (unsigned)(rdi & 0xff);
}

static inline unsigned hypercall_3(uint64_t rdi, uint64_t rsi, uint64_t rdx)
{
    __asm__ volatile("syscall" : "+D"(rdi) : "S"(rsi), "d"(rdx) : "rcx", "r11", "memory");
    return (unsigned)(rdi & 0xff);
}

static inline unsigned hypercall_4(uint64_t rdi, uint64_t rsi, uint64_t rdx, uint64_t rax)
{
    __asm__ volatile("syscall" : "+D"(rdi) : "S"(rsi), "d"(rdx), "a"(rax) : "rcx", "r11", "memory");
    return (unsigned)(rdi & 0xff);
}

static inline unsigned hypercall_5(uint64_t rdi, uint64_t rsi, uint64_t rdx, uint64_t rax, uint64_t fifth)
{
    register uint64_t r8 __asm__("r8") = fifth;

    __asm__ volatile("syscall" : "+D"(rdi) : "S"(rsi), "d"(rdx), "a"(rax), "r"(r8) : "rcx", "r11", "memory");
    return (unsigned)(rdi & 0xff);
}

/* Flags: NOVA_CALL_TIMEOUT. mtd is replaced by the one of the reply. */
static inline unsigned ipc_call(uint64_t pt, uint32_t *mtd, unsigned flags)
{
    uint64_t rdi = NOVA_HYPERCALL(NOVA_IPC_CALL, (uint64_t)flags, pt);
    uint64_t rsi = *mtd;

    __asm__ volatile("syscall" : "+D"(rdi), "+S"(rsi) : : "rcx", "r11", "memory");
    *mtd = (uint32_t)rsi;
    return (unsigned)(rdi & 0xff);
}

/* Continues at the instruction pointer of the portal that is called next. */
static inline _Noreturn void ipc_reply(uint32_t mtd)
{
    __asm__ volatile("syscall" : : "D"(NOVA_IPC_REPLY), "S"((uint64_t)mtd) : "memory");
    __builtin_unreachable();
}

/* Flags: NOVA_PD_PD and the other operations. */
static inline unsigned create_pd(uint64_t sel, uint64_t pd, unsigned op)
{
    return hypercall_2(NOVA_HYPERCALL(NOVA_CREATE_PD, (uint64_t)op, sel), pd);
}

/* utcb is the address of the page, 4 KiB aligned. Flags: NOVA_EC_*. */
static inline unsigned create_ec(uint64_t sel, uint64_t pd, uint64_t utcb, unsigned cpu, uint64_t sp,
                                 uint64_t evt, unsigned flags)
{
    return hypercall_5(NOVA_HYPERCALL(NOVA_CREATE_EC, (uint64_t)flags, sel), pd, utcb | cpu, sp, evt);
}

static inline unsigned create_sc(uint64_t sel, uint64_t pd, uint64_t ec, uint64_t scd)
{
    return hypercall_4(NOVA_HYPERCALL(NOVA_CREATE_SC, 0UL, sel), pd, ec, scd);
}

static inline unsigned create_pt(uint64_t sel, uint64_t pd, uint64_t ec, uint64_t ip)
{
    return hypercall_4(NOVA_HYPERCALL(NOVA_CREATE_PT, 0UL, sel), pd, ec, ip);
}

static inline unsigned create_sm(uint64_t sel, uint64_t pd, uint64_t count)
{
    return hypercall_3(NOVA_HYPERCALL(NOVA_CREATE_SM, 0UL, sel), pd, count);
}

/* ssb and dsb are selectors (page numbers in host spaces). */
static inline unsigned ctrl_pd(uint64_t src, uint64_t dst, uint64_t ssb, uint64_t dsb, unsigned ord,
                               unsigned pmm, uint32_t mad)
{
    return hypercall_5(NOVA_HYPERCALL(NOVA_CTRL_PD, 0UL, src), dst, ssb << 12 | ord, dsb << 12 | pmm, mad);
}

/* Flags: NOVA_EC_STRONG. */
static inline unsigned ctrl_ec(uint64_t ec, unsigned flags)
{
    return hypercall_1(NOVA_HYPERCALL(NOVA_CTRL_EC, (uint64_t)flags, ec));
}

static inline unsigned ctrl_sc(uint64_t sc, uint64_t *time)
{
    uint64_t rdi = NOVA_HYPERCALL(NOVA_CTRL_SC, 0UL, sc);

    __asm__ volatile("syscall" : "+D"(rdi), "=S"(*time) : : "rcx", "r11", "memory");
    return (unsigned)(rdi & 0xff);
}

static inline unsigned ctrl_pt(uint64_t pt, uint64_t pid, uint32_t mtd)
{
    return hypercall_3(NOVA_HYPERCALL(NOVA_CTRL_PT, 0UL, pt), pid, mtd);
}

/* timeout is an absolute time stamp; 0 waits for ever. Flags: NOVA_SM_UP, NOVA_SM_DOWN, NOVA_SM_ZERO. */
static inline unsigned ctrl_sm(uint64_t sm, uint64_t timeout, unsigned flags)
{
    return hypercall_2(NOVA_HYPERCALL(NOVA_CTRL_SM, (uint64_t)flags, sm), timeout);
}

static inline unsigned ctrl_hw(uint64_t desc, unsigned op)
{
    return hypercall_1(NOVA_HYPERCALL(NOVA_CTRL_HW, (uint64_t)op, desc));
}

/* Flags: NOVA_INT_*. */
static inline unsigned assign_int(uint64_t sm, uint64_t cpu, uint64_t dev, unsigned flags, uint64_t *msi_addr,
                                  uint64_t *msi_data)
{
    uint64_t rdi = NOVA_HYPERCALL(NOVA_ASSIGN_INT, (uint64_t)flags, sm);

    __asm__ volatile("syscall" : "+D"(rdi), "+S"(cpu), "+d"(dev) : : "rcx", "r11", "memory");
    *msi_addr = cpu;
    *msi_data = dev;
    return (unsigned)(rdi & 0xff);
}

/* iommu is a page-aligned physical address. */
static inline unsigned assign_dev(uint64_t dma, uint64_t iommu, uint64_t dad)
{
    return hypercall_3(NOVA_HYPERCALL(NOVA_ASSIGN_DEV, 0UL, dma), iommu, dad);
}
