/*
 * The hypervisor information page.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef BOOT_HIP_H
#define BOOT_HIP_H

#include "nova/abi/hip.h"

/* One page, mapped read-only for the root PD. */
extern struct nova_hip *const hip;

/* Fills it in, when everything else is known. */
void hip_init(void);

#endif
