/*
 * End of the system. Main thread only.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef ROOT_END_H
#define ROOT_END_H

#include <stdbool.h>
#include <stdint.h>

/* Ends the system if the domain that it depends on has ended for good, or all that are no servers. */
void end_check(void);

/* Ends it with this status, as the system file says: power-off, reset, or nothing but a line in the log. */
void end_system(unsigned status);

/* Whether nothing is to be started any more. */
bool end_begun(void);

/* Switches the machine off once the log is out. The time to be called again, or 0. */
uint64_t end_poll(void);

#endif
