/**
 * @file
 * Hypercall numbers, flags and status codes.
 *
 * NOVA Microhypervisor Interface Specification (July 27, 2024), sections 5.1 and 8.8. How to make a
 * hypercall: @ref nova_convention; what each one does: @ref nova_hypercalls.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

/**
 * @name Hypercall numbers
 * Bits 3:0 of the hypercall identifier in RDI:
 * @code{.unparsed}
 *   63                                      8 7      4 3      0
 *   +-----------------------------------------+--------+--------+
 *   |            selector or value            | flags  | number |
 *   +-----------------------------------------+--------+--------+
 * @endcode
 * @{
 */
#define NOVA_IPC_CALL 0x0   /**< See @ref nova_ipc_call. */
#define NOVA_IPC_REPLY 0x1  /**< See @ref nova_ipc_reply. */
#define NOVA_CREATE_PD 0x2  /**< See @ref nova_create_pd. */
#define NOVA_CREATE_EC 0x3  /**< See @ref nova_create_ec. */
#define NOVA_CREATE_SC 0x4  /**< See @ref nova_create_sc. */
#define NOVA_CREATE_PT 0x5  /**< See @ref nova_create_pt. */
#define NOVA_CREATE_SM 0x6  /**< See @ref nova_create_sm. */
#define NOVA_CTRL_PD 0x7    /**< See @ref nova_ctrl_pd. */
#define NOVA_CTRL_EC 0x8    /**< See @ref nova_ctrl_ec. */
#define NOVA_CTRL_SC 0x9    /**< See @ref nova_ctrl_sc. */
#define NOVA_CTRL_PT 0xa    /**< See @ref nova_ctrl_pt. */
#define NOVA_CTRL_SM 0xb    /**< See @ref nova_ctrl_sm. */
#define NOVA_CTRL_HW 0xc    /**< See @ref nova_ctrl_hw. */
#define NOVA_ASSIGN_INT 0xd /**< See @ref nova_assign_int. */
#define NOVA_ASSIGN_DEV 0xe /**< See @ref nova_assign_dev. */
/** @} */

/** Builds a hypercall identifier. `sel` must have 64 bits, or its upper part is lost. */
#define NOVA_HYPERCALL(number, flags, sel) ((sel) << 8 | (flags) << 4 | (number))

/** @name Flags of ipc_call
 * @{ */
#define NOVA_CALL_TIMEOUT 0x1 /**< T: return TIMEOUT instead of helping a busy callee. */
/** @} */

/** @name Operations of create_pd
 * @{ */
#define NOVA_PD_PD 0x0      /**< Protection domain. */
#define NOVA_PD_OBJ 0x1     /**< Object space. */
#define NOVA_PD_HST 0x2     /**< Host space. */
#define NOVA_PD_GST 0x3     /**< Guest space. */
#define NOVA_PD_DMA 0x4     /**< DMA space. */
#define NOVA_PD_PIO 0x5     /**< Port I/O space. */
#define NOVA_PD_MSR 0x6     /**< MSR space. */
#define NOVA_PD_LIMITED 0x8 /**< Extension: protection domain with a given limit on kernel memory. */
/** @} */

/** @name Flags of create_ec
 * @{ */
#define NOVA_EC_GUEST 0x1  /**< G: guest EC, a virtual CPU. */
#define NOVA_EC_GLOBAL 0x2 /**< T on a host EC: global thread. */
#define NOVA_EC_OFFSET 0x2 /**< T on a guest EC: time offsetting. */
#define NOVA_EC_FPU 0x4    /**< F: may use the FPU. */
/** @} */

/** @name Flags of ctrl_ec
 * @{ */
#define NOVA_EC_STRONG 0x1 /**< S: wait until the recall has been observed. */
/** @} */

/** @name Flags of ctrl_sm
 * @{ */
#define NOVA_SM_UP 0x0   /**< Neither flag: up. */
#define NOVA_SM_DOWN 0x1 /**< D: down. */
#define NOVA_SM_ZERO 0x2 /**< Z: down sets the counter to zero. */
/** @} */

/** @name Operations of ctrl_hw
 * @{ */
#define NOVA_HW_SLEEP 0x0 /**< Reset, sleep states, power-off. */
#define NOVA_HW_QOS 0x4   /**< Quality of service: configuration. */
#define NOVA_HW_L3 0x5    /**< Capacity bitmask of the L3 cache. */
#define NOVA_HW_L2 0x6    /**< Capacity bitmask of the L2 cache. */
#define NOVA_HW_MBA 0x7   /**< Memory bandwidth: delay. */
/** @} */

/** @name Flags of assign_int
 * @{ */
#define NOVA_INT_MASK 0x1  /**< M: masked. */
#define NOVA_INT_LEVEL 0x2 /**< T: level-triggered, else edge. */
#define NOVA_INT_LOW 0x4   /**< P: active low, else high. */
#define NOVA_INT_GUEST 0x8 /**< G: guest-owned. */
/** @} */

/**
 * @name Status codes
 * In RDI[7:0] after a hypercall; the rest of RDI is 0. The causes are listed with each hypercall.
 * @{
 */
#define NOVA_SUCCESS 0x0 /**< Done. */
#define NOVA_TIMEOUT 0x1 /**< Time is up, or the callee was busy and the caller did not want to help. */
#define NOVA_ABORTED 0x2 /**< Another object that is needed is dead, missing or in the way. */
#define NOVA_OVRFLOW 0x3 /**< The counter is at its end. */
#define NOVA_BAD_HYP 0x4 /**< No such hypercall, or not for this protection domain. */
#define NOVA_BAD_CAP 0x5 /**< Wrong capability: none, other type, no permission, or in the way. */
#define NOVA_BAD_PAR 0x6 /**< Wrong parameter. */
#define NOVA_BAD_FTR 0x7 /**< Not supported by the platform or by this microhypervisor. */
#define NOVA_BAD_CPU 0x8 /**< Wrong CPU. */
#define NOVA_BAD_DEV 0x9 /**< Wrong device. */
#define NOVA_MEM_OBJ 0xa /**< Not enough kernel memory for an object. */
#define NOVA_MEM_CAP 0xb /**< Not enough kernel memory for a capability. */
/** @} */
