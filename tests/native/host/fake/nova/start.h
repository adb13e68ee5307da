/*
 * Host tests: the information page is a variable, and windows are where the sanitizer has no use for the
 * addresses.
 *
 * SPDX-License-Identifier: MIT
 */

#include_next <nova/start.h>

#ifndef FAKE_START_H
#define FAKE_START_H

#undef NOVA_INFO_ADDR
#undef NOVA_WINDOW_ADDR
#undef NOVA_WINDOW_END
#define NOVA_INFO_ADDR (&fake_info)
#define NOVA_WINDOW_ADDR 0x600000000000UL
#define NOVA_WINDOW_END 0x604000000000UL

extern struct nova_info fake_info;

#endif
