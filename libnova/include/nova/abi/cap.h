/**
 * @file
 * Capability permissions, selectors and the descriptors that go with them.
 *
 * NOVA Microhypervisor Interface Specification (July 27, 2024), sections 4.1, 4.2, 4.5, 6.1.3,
 * 6.2.3, 8.6 and 8.7. See also @ref nova_permissions, @ref nova_boot_state and @ref nova_events.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

/** All five permission bits: a mask that removes nothing. */
#define NOVA_PERM_ALL 0x1f

/** @name Permissions of space capabilities
 * GST and DMA have no TAKE; OBJ and HST have no ASSIGN.
 * @{ */
#define NOVA_SPC_GRANT 0x01  /**< Can be the destination of ctrl_pd. */
#define NOVA_SPC_TAKE 0x02   /**< Can be the source of ctrl_pd. */
#define NOVA_SPC_ASSIGN 0x04 /**< Can be assigned to a guest EC or to a device. */
/** @} */

/** @name Permissions of protection domain capabilities
 * @{ */
#define NOVA_PD_CREATE_PD 0x01 /**< The PD can pay for PDs and spaces. */
#define NOVA_PD_CREATE_EC 0x02 /**< The PD can pay for, and become the domain of, ECs. */
#define NOVA_PD_CREATE_SC 0x04 /**< The PD can pay for SCs. */
#define NOVA_PD_CREATE_PT 0x08 /**< The PD can pay for portals. */
#define NOVA_PD_CREATE_SM 0x10 /**< The PD can pay for semaphores. */
/** @} */

/** @name Permissions of execution context capabilities
 * @{ */
#define NOVA_EC_CTRL 0x01    /**< ctrl_ec. */
#define NOVA_EC_BIND_PT 0x04 /**< Portals can be bound to the EC. */
#define NOVA_EC_BIND_SC 0x08 /**< SCs can be bound to the EC. */
/** @} */

/** @name Permissions of scheduling context capabilities
 * @{ */
#define NOVA_SC_CTRL 0x01 /**< ctrl_sc. */
/** @} */

/** @name Permissions of portal capabilities
 * @{ */
#define NOVA_PT_CTRL 0x01  /**< ctrl_pt. */
#define NOVA_PT_CALL 0x02  /**< ipc_call. */
#define NOVA_PT_EVENT 0x04 /**< Events may be delivered through the portal. */
/** @} */

/** @name Permissions of semaphore capabilities
 * @{ */
#define NOVA_SM_CTRL_UP 0x01 /**< ctrl_sm, up. */
#define NOVA_SM_CTRL_DN 0x02 /**< ctrl_sm, down. */
#define NOVA_SM_ASSIGN 0x10  /**< assign_int; only interrupt semaphores have it. */
/** @} */

/** @name Permissions of memory capabilities
 * @{ */
#define NOVA_MEM_R 0x01  /**< Readable. */
#define NOVA_MEM_W 0x02  /**< Writable. */
#define NOVA_MEM_XU 0x04 /**< Executable in user mode. */
#define NOVA_MEM_XS 0x08 /**< Executable in supervisor mode (of a guest). */
/** @} */

/** @name Permissions of port I/O capabilities
 * @{ */
#define NOVA_PIO_A 0x01 /**< IN and OUT. */
/** @} */

/** @name Permissions of MSR capabilities
 * @{ */
#define NOVA_MSR_R 0x01 /**< RDMSR. */
#define NOVA_MSR_W 0x02 /**< WRMSR. */
/** @} */

/** @name Selectors in the root object space
 * Counted down from SEL_NUM (nova_hip::sel_num).
 * @{ */
#define NOVA_ROOT_SEL_NOVA_OBJ 1 /**< NOVA object space: TAKE. */
#define NOVA_ROOT_SEL_OBJ 2      /**< The root PD's object space. */
#define NOVA_ROOT_SEL_PD 3       /**< The root PD. */
#define NOVA_ROOT_SEL_EC 4       /**< The root EC. */
#define NOVA_ROOT_SEL_SC 5       /**< The root SC. */
/** @} */

/** @name Selectors in the NOVA object space
 * Counted down from SEL_NUM (nova_hip::sel_num), except for #NOVA_SEL_INT. The idle scheduling context of
 * CPU n is at selector n.
 * @{ */
#define NOVA_SEL_CONSOLE 1   /**< Semaphore of the memory-buffer console. */
#define NOVA_SEL_NOVA_OBJ 2  /**< NOVA object space: TAKE. */
#define NOVA_SEL_NOVA_HST 3  /**< NOVA host space, physical memory: TAKE. */
#define NOVA_SEL_NOVA_PIO 4  /**< NOVA port I/O space: TAKE. */
#define NOVA_SEL_NOVA_MSR 5  /**< NOVA MSR space: TAKE. */
#define NOVA_SEL_ROOT_OBJ 6  /**< The root PD's object space. */
#define NOVA_SEL_ROOT_HST 7  /**< The root PD's host space. */
#define NOVA_SEL_ROOT_PIO 8  /**< The root PD's port I/O space. */
#define NOVA_SEL_INT 0x10000 /**< Plus n: semaphore of interrupt n. */
/** @} */

/** @name Event selectors
 * Relative to the event base of the execution context.
 * @{ */
#define NOVA_EVT_HST_ARCH 32  /**< Number of exceptions of the host. */
#define NOVA_EVT_GST_ARCH 256 /**< Number of intercepts of guests. */
#define NOVA_EVT_STARTUP 0    /**< Plus one of the above: the first event of an EC. */
#define NOVA_EVT_RECALL 1     /**< Plus one of the above: after ctrl_ec. */
/** @} */

/**
 * @name Scheduling context descriptor
 * @code{.unparsed}
 *   63             39 38         23 22      16 15           0
 *   +----------------+-------------+----------+--------------+
 *   |       -        |     COS     | priority | budget in ms |
 *   +----------------+-------------+----------+--------------+
 * @endcode
 * Priorities are 1 to 127, a higher number preempts a lower one. The budget is 1 to 65535: after so many
 * milliseconds others of the same priority have their turn. The class of service (COS) must be 0.
 * @{
 */
#define NOVA_SCD(prio, budget) ((prio) << 16 | (budget)) /**< Descriptor with class of service 0. */
#define NOVA_PRIO_MAX 127                                /**< Highest priority. */
/** @} */

/**
 * @name Memory attribute descriptor
 * Cacheability in bits 2:0; key identifier in bits 17:3, which must be 0.
 * @{
 */
#define NOVA_MAD_WB 0x0 /**< Write back. */
#define NOVA_MAD_WT 0x1 /**< Write through. */
#define NOVA_MAD_WC 0x2 /**< Write combining. */
#define NOVA_MAD_UC 0x3 /**< Uncacheable. */
#define NOVA_MAD_WP 0x4 /**< Write protected. */
/** @} */
