/**
 * @file
 * The fifteen hypercalls, one inline function each: the raw interface of the microhypervisor.
 *
 * Register convention of specification 8.8: RDI carries selector, flags and number; RSI, RDX, RAX and R8 the
 * other parameters; the status comes back in RDI[7:0]. RCX and R11 are overwritten, all other registers keep
 * their values. Parameters, permissions and status codes: @ref nova_hypercalls. All functions are
 * thread-safe.
 *
 * Functions are named and ordered as in the specification; flags come last.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef NOVA_HYPERCALL_H
#define NOVA_HYPERCALL_H

#include <nova/abi/cap.h>
#include <nova/abi/hypercall.h>
#include <nova/abi/utcb.h>
#include <stdint.h>

/**
 * @addtogroup libnova_hypercall
 * @{
 */

/** All parameter registers, in and out: for tests that need the convention itself. */
struct nova_hypercall_regs {
    uint64_t rdi; /**< Selector, flags, number; status. */
    uint64_t rsi; /**< Parameter, result. */
    uint64_t rdx; /**< Parameter, result. */
    uint64_t rax; /**< Parameter. */
    uint64_t r8;  /**< Parameter. */
};

/** Makes a hypercall. Returns the status; results are in the structure. */
static inline unsigned nova_hypercall(struct nova_hypercall_regs *r)
{
    register uint64_t r8 __asm__("r8") = r->r8;

    __asm__ volatile("syscall"
                     : "+D"(r->rdi), "+S"(r->rsi), "+d"(r->rdx), "+a"(r->rax), "+r"(r8)
                     :
                     : "rcx", "r11", "memory");
    r->r8 = r8;
    return (unsigned)(r->rdi & 0xff);
}

/** A hypercall with RDI alone. Returns the status, as the following ones do. */
static inline unsigned nova_hypercall_1(uint64_t rdi)
{
    __asm__ volatile("syscall" : "+D"(rdi) : : "rcx", "r11", "memory");
    return (unsigned)(rdi & 0xff);
}

/** With RDI and RSI. */
static inline unsigned nova_hypercall_2(uint64_t rdi, uint64_t rsi)
{
    __asm__ volatile("syscall" : "+D"(rdi) : "S"(rsi) : "rcx", "r11", "memory");
    return (unsigned)(rdi & 0xff);
}

/** With RDI, RSI and RDX. */
static inline unsigned nova_hypercall_3(uint64_t rdi, uint64_t rsi, uint64_t rdx)
{
    __asm__ volatile("syscall" : "+D"(rdi) : "S"(rsi), "d"(rdx) : "rcx", "r11", "memory");
    return (unsigned)(rdi & 0xff);
}

/** With RDI, RSI, RDX and RAX. */
static inline unsigned nova_hypercall_4(uint64_t rdi, uint64_t rsi, uint64_t rdx, uint64_t rax)
{
    __asm__ volatile("syscall" : "+D"(rdi) : "S"(rsi), "d"(rdx), "a"(rax) : "rcx", "r11", "memory");
    return (unsigned)(rdi & 0xff);
}

/** With all five. */
static inline unsigned nova_hypercall_5(uint64_t rdi, uint64_t rsi, uint64_t rdx, uint64_t rax,
                                        uint64_t fifth)
{
    register uint64_t r8 __asm__("r8") = fifth;

    __asm__ volatile("syscall" : "+D"(rdi) : "S"(rsi), "d"(rdx), "a"(rax), "r"(r8) : "rcx", "r11", "memory");
    return (unsigned)(rdi & 0xff);
}

/** @ref nova_ipc_call "ipc_call". Flags: NOVA_CALL_TIMEOUT. mtd is replaced by the one of the reply. */
static inline unsigned nova_hc_ipc_call(uint64_t pt, uint32_t *mtd, unsigned flags)
{
    uint64_t rdi = NOVA_HYPERCALL(NOVA_IPC_CALL, (uint64_t)flags, pt);
    uint64_t rsi = *mtd;

    __asm__ volatile("syscall" : "+D"(rdi), "+S"(rsi) : : "rcx", "r11", "memory");
    *mtd = (uint32_t)rsi;
    return (unsigned)(rdi & 0xff);
}

/**
 * @ref nova_ipc_reply "ipc_reply". Continues at the instruction pointer of the portal that is called next.
 */
static inline _Noreturn void nova_hc_ipc_reply(uint32_t mtd)
{
    __asm__ volatile("syscall" : : "D"(NOVA_IPC_REPLY), "S"((uint64_t)mtd) : "memory");
    __builtin_unreachable();
}

/** @ref nova_create_pd "create_pd". Flags: NOVA_PD_PD and the other operations. */
static inline unsigned nova_hc_create_pd(uint64_t sel, uint64_t pd, unsigned op)
{
    return nova_hypercall_2(NOVA_HYPERCALL(NOVA_CREATE_PD, (uint64_t)op, sel), pd);
}

/**
 * @ref nova_create_pd "create_pd". Extension: a protection domain that can use at most `pages` pages of
 * kernel memory.
 */
static inline unsigned nova_hc_create_pd_limited(uint64_t sel, uint64_t pd, uint64_t pages)
{
    return nova_hypercall_3(NOVA_HYPERCALL(NOVA_CREATE_PD, (uint64_t)NOVA_PD_LIMITED, sel), pd, pages);
}

/** @ref nova_create_ec "create_ec". utcb is the address of the page, 4 KiB aligned. Flags: NOVA_EC_*. */
static inline unsigned nova_hc_create_ec(uint64_t sel, uint64_t pd, uint64_t utcb, unsigned cpu, uint64_t sp,
                                         uint64_t evt, unsigned flags)
{
    return nova_hypercall_5(NOVA_HYPERCALL(NOVA_CREATE_EC, (uint64_t)flags, sel), pd, utcb | cpu, sp, evt);
}

/** @ref nova_create_sc "create_sc". */
static inline unsigned nova_hc_create_sc(uint64_t sel, uint64_t pd, uint64_t ec, uint64_t scd)
{
    return nova_hypercall_4(NOVA_HYPERCALL(NOVA_CREATE_SC, 0UL, sel), pd, ec, scd);
}

/** @ref nova_create_pt "create_pt". */
static inline unsigned nova_hc_create_pt(uint64_t sel, uint64_t pd, uint64_t ec, uint64_t ip)
{
    return nova_hypercall_4(NOVA_HYPERCALL(NOVA_CREATE_PT, 0UL, sel), pd, ec, ip);
}

/** @ref nova_create_sm "create_sm". */
static inline unsigned nova_hc_create_sm(uint64_t sel, uint64_t pd, uint64_t count)
{
    return nova_hypercall_3(NOVA_HYPERCALL(NOVA_CREATE_SM, 0UL, sel), pd, count);
}

/** @ref nova_ctrl_pd "ctrl_pd". ssb and dsb are selectors (page numbers in host spaces). */
static inline unsigned nova_hc_ctrl_pd(uint64_t src, uint64_t dst, uint64_t ssb, uint64_t dsb, unsigned ord,
                                       unsigned pmm, uint32_t mad)
{
    return nova_hypercall_5(NOVA_HYPERCALL(NOVA_CTRL_PD, 0UL, src), dst, ssb << 12 | ord, dsb << 12 | pmm,
                            mad);
}

/** @ref nova_ctrl_ec "ctrl_ec". Flags: NOVA_EC_STRONG. */
static inline unsigned nova_hc_ctrl_ec(uint64_t ec, unsigned flags)
{
    return nova_hypercall_1(NOVA_HYPERCALL(NOVA_CTRL_EC, (uint64_t)flags, ec));
}

/** @ref nova_ctrl_sc "ctrl_sc". */
static inline unsigned nova_hc_ctrl_sc(uint64_t sc, uint64_t *time)
{
    uint64_t rdi = NOVA_HYPERCALL(NOVA_CTRL_SC, 0UL, sc);

    __asm__ volatile("syscall" : "+D"(rdi), "=S"(*time) : : "rcx", "r11", "memory");
    return (unsigned)(rdi & 0xff);
}

/** @ref nova_ctrl_pt "ctrl_pt". */
static inline unsigned nova_hc_ctrl_pt(uint64_t pt, uint64_t pid, uint32_t mtd)
{
    return nova_hypercall_3(NOVA_HYPERCALL(NOVA_CTRL_PT, 0UL, pt), pid, mtd);
}

/**
 * @ref nova_ctrl_sm "ctrl_sm". timeout is an absolute time stamp; 0 waits for ever. Flags: NOVA_SM_UP,
 * NOVA_SM_DOWN, NOVA_SM_ZERO.
 */
static inline unsigned nova_hc_ctrl_sm(uint64_t sm, uint64_t timeout, unsigned flags)
{
    return nova_hypercall_2(NOVA_HYPERCALL(NOVA_CTRL_SM, (uint64_t)flags, sm), timeout);
}

/** @ref nova_ctrl_hw "ctrl_hw". */
static inline unsigned nova_hc_ctrl_hw(uint64_t desc, unsigned op)
{
    return nova_hypercall_1(NOVA_HYPERCALL(NOVA_CTRL_HW, (uint64_t)op, desc));
}

/** @ref nova_assign_int "assign_int". Flags: NOVA_INT_*. */
static inline unsigned nova_hc_assign_int(uint64_t sm, uint64_t cpu, uint64_t dev, unsigned flags,
                                          uint64_t *msi_addr, uint64_t *msi_data)
{
    uint64_t rdi = NOVA_HYPERCALL(NOVA_ASSIGN_INT, (uint64_t)flags, sm);

    __asm__ volatile("syscall" : "+D"(rdi), "+S"(cpu), "+d"(dev) : : "rcx", "r11", "memory");
    *msi_addr = cpu;
    *msi_data = dev;
    return (unsigned)(rdi & 0xff);
}

/** @ref nova_assign_dev "assign_dev". iommu is a page-aligned physical address. */
static inline unsigned nova_hc_assign_dev(uint64_t dma, uint64_t iommu, uint64_t dad)
{
    return nova_hypercall_3(NOVA_HYPERCALL(NOVA_ASSIGN_DEV, 0UL, dma), iommu, dad);
}

/** @} */

#endif
