/*
 * Host tests: the hypercalls that the tested code makes are functions of the test.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/error.h>
#include <nova/abi/cap.h>
#include <nova/abi/hypercall.h>
#include <nova/abi/utcb.h>
#include <stdint.h>

unsigned nova_hc_ipc_call(uint64_t pt, uint32_t *mtd, unsigned flags);
