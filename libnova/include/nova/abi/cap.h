/*
 * Capability permissions, selectors and the descriptors that go with them.
 *
 * NOVA Microhypervisor Interface Specification (July 27, 2024), sections 4.1, 4.2, 4.5, 6.1.3,
 * 6.2.3, 8.6 and 8.7.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef NOVA_ABI_CAP_H
#define NOVA_ABI_CAP_H

/* All five permission bits: a mask that removes nothing. */
#define NOVA_PERM_ALL 0x1f

/* Spaces. GST and DMA have no TAKE; OBJ and HST have no ASSIGN. */
#define NOVA_SPC_GRANT 0x01
#define NOVA_SPC_TAKE 0x02
#define NOVA_SPC_ASSIGN 0x04

/* Protection domain. */
#define NOVA_PD_CREATE_PD 0x01
#define NOVA_PD_CREATE_EC 0x02
#define NOVA_PD_CREATE_SC 0x04
#define NOVA_PD_CREATE_PT 0x08
#define NOVA_PD_CREATE_SM 0x10

/* Execution context. */
#define NOVA_EC_CTRL 0x01
#define NOVA_EC_BIND_PT 0x04
#define NOVA_EC_BIND_SC 0x08

/* Scheduling context. */
#define NOVA_SC_CTRL 0x01

/* Portal. */
#define NOVA_PT_CTRL 0x01
#define NOVA_PT_CALL 0x02
#define NOVA_PT_EVENT 0x04

/* Semaphore; ASSIGN only on interrupt semaphores. */
#define NOVA_SM_CTRL_UP 0x01
#define NOVA_SM_CTRL_DN 0x02
#define NOVA_SM_ASSIGN 0x10

/* Memory. */
#define NOVA_MEM_R 0x01
#define NOVA_MEM_W 0x02
#define NOVA_MEM_XU 0x04
#define NOVA_MEM_XS 0x08

/* Port I/O. */
#define NOVA_PIO_A 0x01

/* Model-specific register. */
#define NOVA_MSR_R 0x01
#define NOVA_MSR_W 0x02

/*
 * Selectors in the root object space, counted down from SEL_NUM (HIP).
 */
#define NOVA_ROOT_SEL_NOVA_OBJ 1
#define NOVA_ROOT_SEL_OBJ 2
#define NOVA_ROOT_SEL_PD 3
#define NOVA_ROOT_SEL_EC 4
#define NOVA_ROOT_SEL_SC 5

/*
 * Selectors in the NOVA object space, counted down from SEL_NUM (HIP). CPU n's idle scheduling
 * context is at selector n, interrupt semaphore n at NOVA_SEL_INT + n.
 */
#define NOVA_SEL_CONSOLE 1
#define NOVA_SEL_NOVA_OBJ 2
#define NOVA_SEL_NOVA_HST 3
#define NOVA_SEL_NOVA_PIO 4
#define NOVA_SEL_NOVA_MSR 5
#define NOVA_SEL_ROOT_OBJ 6
#define NOVA_SEL_ROOT_HST 7
#define NOVA_SEL_ROOT_PIO 8
#define NOVA_SEL_INT 0x10000

/* Event selectors, relative to the event base of the execution context. */
#define NOVA_EVT_HST_ARCH 32
#define NOVA_EVT_GST_ARCH 256
#define NOVA_EVT_STARTUP 0
#define NOVA_EVT_RECALL 1

/*
 * Scheduling context descriptor:
 *
 *   63             39 38         23 22      16 15           0
 *   +----------------+-------------+----------+--------------+
 *   |       -        |     COS     | priority | budget in ms |
 *   +----------------+-------------+----------+--------------+
 */
#define NOVA_SCD(prio, budget) ((prio) << 16 | (budget))
#define NOVA_PRIO_MAX 127

/*
 * Memory attribute descriptor: key identifier [17:3], cacheability [2:0].
 */
#define NOVA_MAD_WB 0x0
#define NOVA_MAD_WT 0x1
#define NOVA_MAD_WC 0x2
#define NOVA_MAD_UC 0x3
#define NOVA_MAD_WP 0x4

#endif
