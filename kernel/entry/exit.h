/*
 * Ways back to user mode (entry/entry.S). The EC must be the current one.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef ENTRY_EXIT_H
#define ENTRY_EXIT_H

#include <stdint.h>

struct ec;

_Noreturn void exit_sysret(struct ec *ec);
_Noreturn void exit_with(struct ec *ec, uint64_t rsi, uint64_t rdi, uint64_t rip);
_Noreturn void exit_iret(struct ec *ec);

#endif
