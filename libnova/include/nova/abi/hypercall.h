/*
 * Hypercall numbers, flags and status codes.
 *
 * NOVA Microhypervisor Interface Specification (July 27, 2024), sections 5.1 and 8.8.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef NOVA_ABI_HYPERCALL_H
#define NOVA_ABI_HYPERCALL_H

/*
 * Hypercall identifier in RDI:
 *
 *   63                                      8 7      4 3      0
 *   +-----------------------------------------+--------+--------+
 *   |            selector or value            | flags  | number |
 *   +-----------------------------------------+--------+--------+
 */
#define NOVA_IPC_CALL 0x0
#define NOVA_IPC_REPLY 0x1
#define NOVA_CREATE_PD 0x2
#define NOVA_CREATE_EC 0x3
#define NOVA_CREATE_SC 0x4
#define NOVA_CREATE_PT 0x5
#define NOVA_CREATE_SM 0x6
#define NOVA_CTRL_PD 0x7
#define NOVA_CTRL_EC 0x8
#define NOVA_CTRL_SC 0x9
#define NOVA_CTRL_PT 0xa
#define NOVA_CTRL_SM 0xb
#define NOVA_CTRL_HW 0xc
#define NOVA_ASSIGN_INT 0xd
#define NOVA_ASSIGN_DEV 0xe

/* Builds a hypercall identifier. */
#define NOVA_HYPERCALL(number, flags, sel) ((sel) << 8 | (flags) << 4 | (number))

/* Flags of ipc_call. */
#define NOVA_CALL_TIMEOUT 0x1 /* T: return TIMEOUT instead of helping a busy callee */

/* Operations of create_pd. */
#define NOVA_PD_PD 0x0
#define NOVA_PD_OBJ 0x1
#define NOVA_PD_HST 0x2
#define NOVA_PD_GST 0x3
#define NOVA_PD_DMA 0x4
#define NOVA_PD_PIO 0x5
#define NOVA_PD_MSR 0x6
#define NOVA_PD_LIMITED 0x8 /* extension: protection domain with a limit on kernel memory */

/* Flags of create_ec. */
#define NOVA_EC_GUEST 0x1
#define NOVA_EC_GLOBAL 0x2 /* T on a host EC: global thread */
#define NOVA_EC_OFFSET 0x2 /* T on a guest EC: time offsetting */
#define NOVA_EC_FPU 0x4

/* Flags of ctrl_ec. */
#define NOVA_EC_STRONG 0x1 /* S: wait until the recall has been observed */

/* Flags of ctrl_sm. */
#define NOVA_SM_UP 0x0
#define NOVA_SM_DOWN 0x1 /* D */
#define NOVA_SM_ZERO 0x2 /* Z: down sets the counter to zero */

/* Operations of ctrl_hw. */
#define NOVA_HW_SLEEP 0x0
#define NOVA_HW_QOS 0x4
#define NOVA_HW_L3 0x5
#define NOVA_HW_L2 0x6
#define NOVA_HW_MBA 0x7

/* Flags of assign_int. */
#define NOVA_INT_MASK 0x1  /* M */
#define NOVA_INT_LEVEL 0x2 /* T: level-triggered */
#define NOVA_INT_LOW 0x4   /* P: active low */
#define NOVA_INT_GUEST 0x8 /* G: guest-owned */

/* Status codes in RDI[7:0]. */
#define NOVA_SUCCESS 0x0
#define NOVA_TIMEOUT 0x1
#define NOVA_ABORTED 0x2
#define NOVA_OVRFLOW 0x3
#define NOVA_BAD_HYP 0x4
#define NOVA_BAD_CAP 0x5
#define NOVA_BAD_PAR 0x6
#define NOVA_BAD_FTR 0x7
#define NOVA_BAD_CPU 0x8
#define NOVA_BAD_DEV 0x9
#define NOVA_MEM_OBJ 0xa
#define NOVA_MEM_CAP 0xb

#endif
