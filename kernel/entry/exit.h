/*
 * Ways back to user mode (entry/entry.S). The EC must be the current one.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef ENTRY_EXIT_H
#define ENTRY_EXIT_H

struct ec;

_Noreturn void exit_sysret(struct ec *ec);
_Noreturn void exit_iret(struct ec *ec);

#endif
