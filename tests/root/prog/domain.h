/*
 * What test domains share: they talk to root by nova/parent.h directly, so that root is tested without
 * libnova.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/error.h>
#include <nova/format.h>
#include <nova/hypercall.h>
#include <nova/parent.h>
#include <nova/start.h>
#include <nova/string.h>
#include <stdbool.h>
#include <stddef.h>

#define PAGE_SIZE 4096UL

#define own ((const struct nova_info *)NOVA_INFO_ADDR)
#define client_table ((volatile const struct nova_session_state *)NOVA_CLIENT_TABLE)
#define server_table ((volatile const struct nova_session_state *)NOVA_SERVER_TABLE)

/* The UTCB of a thread slot. */
static inline union nova_utcb *utcb_of(unsigned slot)
{
    return (union nova_utcb *)(NOVA_UTCB_ADDR + slot * PAGE_SIZE);
}

/* Defined by the test. Its result is the exit status. */
int test_main(int argc, char **argv);

/* Handler of portals, of threads made by handler_create(). Returns the MTD of the reply. */
uint32_t serve(uint64_t pid, uint32_t mtd);

/* Sends words that are in the UTCB of the first thread to root; the error of the reply, or -100 - status. */
long parent_send(unsigned words);

/* The same with these words. Results are in utcb_of(0)->word. */
long parent_call(unsigned words, ...);

/* A line of the log. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A TAP result. */
bool ok(bool condition, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The TAP plan; the exit status. */
int done(void);

/* Pages of the pool, never given back; and selectors. */
void *pages(unsigned count);
uint64_t selectors(unsigned count);

uint64_t sm_new(uint64_t count);
unsigned sm_up(uint64_t sm);
unsigned sm_down_ms(uint64_t sm, uint64_t ms);
uint64_t time_stamp(void);
void sleep_ms(uint64_t ms);

/* A thread in slot `slot`, on the CPU; its selector in *sel. The result of the request. */
long thread_new(unsigned slot, unsigned cpu, void (*function)(void *), void *arg, uint64_t *sel);

/* A handler of portals in slot `slot`. */
long handler_new(unsigned slot, unsigned cpu, uint64_t *sel);

/* Offers service 0 on the first CPU with one handler in slot 1; buffers of up to `size` pages. */
long offer(unsigned size, uint64_t *bell);

/* Where offer() lets the buffers appear. */
#define OFFER_WINDOW (NOVA_WINDOW_ADDR + 0x10000000UL)

struct session {
    uint64_t number, bell;
    void *buffer;
    unsigned size;
};

/* Selectors of a session that has been opened: portal of the first CPU, doorbell of the server. */
#define PORTAL(s) (own->sel_session + (s)->number * own->portals + own->cpu)
#define SERVER_BELL(s) (NOVA_SEL_BELL + (s)->number)

/*
 * Opens a session with the selectors and buffer that are in *s; tries for two seconds while the server is
 * absent.
 */
long session_open(struct session *s, const char *name);

/* The same with new selectors and a new buffer; tries for two seconds while the server is absent. */
long session_new(struct session *s, const char *name, unsigned size);

/* Calls the server on this CPU with one word; the result is in *word. Status of the hypercall. */
unsigned session_call(const struct session *s, uint64_t *word);
