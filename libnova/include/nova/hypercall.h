/**
 * @file
 * The fifteen hypercalls, one inline function each: the raw interface of the microhypervisor.
 *
 * Register convention of specification 8.8: RDI carries selector, flags and number; RSI, RDX, RAX and R8 the
 * other parameters; the status comes back in RDI[7:0]. RCX and R11 are overwritten, all other registers keep
 * their values. Parameters, permissions and status codes: @ref nova_hypercalls. All functions are
 * thread-safe.
 *
 * RAX is 0 where it is no parameter: to programs that run as processes of Linux it is the number of a system
 * call, and there are numbers that Linux does not let nova-host catch (335, 336).
 *
 * Functions are named and ordered as in the specification; flags come last.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/abi/cap.h>
#include <nova/abi/hypercall.h>
#include <nova/abi/utcb.h>
#include <nova/error.h>
#include <stdint.h>

/**
 * @addtogroup libnova_hypercall
 * @{
 */

/** A hypercall with all registers; RSI and RDX are in and out. Returns the status, as all functions do. */
static inline unsigned nova_hypercall(uint64_t rdi, uint64_t *rsi, uint64_t *rdx, uint64_t rax, uint64_t r8)
{
    register uint64_t fifth __asm__("r8") = r8;

    __asm__ volatile("syscall"
                     : "+D"(rdi), "+S"(*rsi), "+d"(*rdx)
                     : "a"(rax), "r"(fifth)
                     : "rcx", "r11", "memory");
    return (unsigned)(rdi & 0xff);
}

/**
 * Defines nova_hc_NAME(): its parameters in parentheses, and what goes into the registers: flags and selector
 * of RDI, RSI, RDX, RAX, R8.
 */
#define NOVA_HC(name, number, parameters, flags, sel, second, third, fourth, fifth)                          \
    static inline unsigned nova_hc_##name parameters                                                         \
    {                                                                                                        \
        uint64_t rdi = NOVA_HYPERCALL(number, (uint64_t)(flags), (sel)), rsi = (second), rdx = (third);      \
        return nova_hypercall(rdi, &rsi, &rdx, (fourth), (fifth));                                           \
    }

/** @ref nova_ipc_call "ipc_call". Flags: NOVA_CALL_TIMEOUT. mtd is replaced by the one of the reply. */
static inline unsigned nova_hc_ipc_call(uint64_t pt, uint32_t *mtd, unsigned flags)
{
    uint64_t rdi = NOVA_HYPERCALL(NOVA_IPC_CALL, (uint64_t)flags, pt);
    uint64_t rsi = *mtd;

    __asm__ volatile("syscall" : "+D"(rdi), "+S"(rsi) : "a"(0UL) : "rcx", "r11", "memory");
    *mtd = (uint32_t)rsi;
    return (unsigned)(rdi & 0xff);
}

/**
 * @ref nova_ipc_reply "ipc_reply". Continues at the instruction pointer of the portal that is called next.
 */
static inline _Noreturn void nova_hc_ipc_reply(uint32_t mtd)
{
    __asm__ volatile("syscall" : : "D"(NOVA_IPC_REPLY), "S"((uint64_t)mtd), "a"(0UL) : "memory");
    __builtin_unreachable();
}

/** @ref nova_create_pd "create_pd". Flags: NOVA_PD_PD and the other operations. */
NOVA_HC(create_pd, NOVA_CREATE_PD, (uint64_t sel, uint64_t pd, unsigned op), op, sel, pd, 0, 0, 0)

/**
 * @ref nova_create_pd "create_pd". Extension: a protection domain that can use at most `pages` pages of
 * kernel memory.
 */
NOVA_HC(create_pd_limited, NOVA_CREATE_PD, (uint64_t sel, uint64_t pd, uint64_t pages), NOVA_PD_LIMITED, sel,
        pd, pages, 0, 0)

/** @ref nova_create_ec "create_ec". utcb is the address of the page, 4 KiB aligned. Flags: NOVA_EC_*. */
NOVA_HC(create_ec, NOVA_CREATE_EC,
        (uint64_t sel, uint64_t pd, uint64_t utcb, unsigned cpu, uint64_t sp, uint64_t evt, unsigned flags),
        flags, sel, pd, utcb | cpu, sp, evt)

/** @ref nova_create_sc "create_sc". */
NOVA_HC(create_sc, NOVA_CREATE_SC, (uint64_t sel, uint64_t pd, uint64_t ec, uint64_t scd), 0, sel, pd, ec,
        scd, 0)

/** @ref nova_create_pt "create_pt". */
NOVA_HC(create_pt, NOVA_CREATE_PT, (uint64_t sel, uint64_t pd, uint64_t ec, uint64_t ip), 0, sel, pd, ec, ip,
        0)

/** @ref nova_create_sm "create_sm". */
NOVA_HC(create_sm, NOVA_CREATE_SM, (uint64_t sel, uint64_t pd, uint64_t count), 0, sel, pd, count, 0, 0)

/** @ref nova_ctrl_pd "ctrl_pd". ssb and dsb are selectors (page numbers in host spaces). */
NOVA_HC(ctrl_pd, NOVA_CTRL_PD,
        (uint64_t src, uint64_t dst, uint64_t ssb, uint64_t dsb, unsigned ord, unsigned pmm, uint32_t mad), 0,
        src, dst, ssb << 12 | ord, dsb << 12 | pmm, mad)

/** @ref nova_ctrl_ec "ctrl_ec". Flags: NOVA_EC_STRONG. */
NOVA_HC(ctrl_ec, NOVA_CTRL_EC, (uint64_t ec, unsigned flags), flags, ec, 0, 0, 0, 0)

/** @ref nova_ctrl_sc "ctrl_sc". */
static inline unsigned nova_hc_ctrl_sc(uint64_t sc, uint64_t *time)
{
    uint64_t rdx = 0;

    *time = 0;
    return nova_hypercall(NOVA_HYPERCALL(NOVA_CTRL_SC, 0UL, sc), time, &rdx, 0, 0);
}

/** @ref nova_ctrl_pt "ctrl_pt". */
NOVA_HC(ctrl_pt, NOVA_CTRL_PT, (uint64_t pt, uint64_t pid, uint32_t mtd), 0, pt, pid, mtd, 0, 0)

/**
 * @ref nova_ctrl_sm "ctrl_sm". timeout is an absolute time stamp; 0 waits for ever. Flags: NOVA_SM_UP,
 * NOVA_SM_DOWN, NOVA_SM_ZERO.
 */
NOVA_HC(ctrl_sm, NOVA_CTRL_SM, (uint64_t sm, uint64_t timeout, unsigned flags), flags, sm, timeout, 0, 0, 0)

/** @ref nova_ctrl_hw "ctrl_hw". */
NOVA_HC(ctrl_hw, NOVA_CTRL_HW, (uint64_t desc, unsigned op), op, desc, 0, 0, 0, 0)

/** @ref nova_assign_int "assign_int". Flags: NOVA_INT_*. */
static inline unsigned nova_hc_assign_int(uint64_t sm, uint64_t cpu, uint64_t dev, unsigned flags,
                                          uint64_t *msi_addr, uint64_t *msi_data)
{
    *msi_addr = cpu;
    *msi_data = dev;
    return nova_hypercall(NOVA_HYPERCALL(NOVA_ASSIGN_INT, (uint64_t)flags, sm), msi_addr, msi_data, 0, 0);
}

/** @ref nova_assign_dev "assign_dev". iommu is a page-aligned physical address. */
NOVA_HC(assign_dev, NOVA_ASSIGN_DEV, (uint64_t dma, uint64_t iommu, uint64_t dad), 0, dma, iommu, dad, 0, 0)

/** Error for the status of a hypercall on objects of the own domain. */
static inline int nova_hc_error(unsigned status)
{
    return status == NOVA_SUCCESS                             ? NOVA_OK
           : status == NOVA_TIMEOUT                           ? NOVA_ERR_TIMEOUT
           : status == NOVA_OVRFLOW                           ? NOVA_ERR_LIMIT
           : status == NOVA_MEM_OBJ || status == NOVA_MEM_CAP ? NOVA_ERR_MEMORY
                                                              : NOVA_ERR_INVAL;
}

/** @} */
