/*
 * Host tests: the information page and the table of sessions are variables, and windows are where the sanitizer has no use for the
 * addresses.
 *
 * SPDX-License-Identifier: MIT
 */

#include_next <nova/start.h>

#pragma once

#undef NOVA_INFO_ADDR
#undef NOVA_WINDOW_ADDR
#undef NOVA_WINDOW_END
#define NOVA_INFO_ADDR (&fake_info)
#define NOVA_WINDOW_ADDR 0x600000000000UL
#define NOVA_WINDOW_END 0x604000000000UL
#undef NOVA_SERVER_TABLE
#define NOVA_SERVER_TABLE fake_server_table

extern struct nova_info fake_info;
extern struct nova_session_state fake_server_table[NOVA_SESSIONS_MAX];
