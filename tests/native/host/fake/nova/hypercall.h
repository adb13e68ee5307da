/*
 * Host tests: the hypercalls that the tested code makes are functions of the test.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef FAKE_HYPERCALL_H
#define FAKE_HYPERCALL_H

#include <nova/error.h>
#include <nova/abi/cap.h>
#include <nova/abi/hypercall.h>
#include <nova/abi/utcb.h>
#include <stdint.h>

unsigned nova_hc_ipc_call(uint64_t pt, uint32_t *mtd, unsigned flags);

#endif
