/**
 * @file
 * The program itself: how it begins and ends, what it knows about its domain, and how it asks root.
 *
 * A program without libc defines nova_main() and links with crt0.o, libnova.a and libnova-string.a. A program
 * with libc defines main() as usual and can still use all of libnova.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/parent.h>

/**
 * @addtogroup libnova_program
 * @{
 */

#define NOVA_PARENT_WORDS 72U /**< Words of the longest request: SERVE, LOG. */

/**
 * Main function of a program without libc, called in the first thread. Returns the exit status of the domain,
 * 0 to 255.
 *
 * Example: @code
 *   int nova_main(int argc, char **argv)
 *   {
 *       nova_print("hello from %s\n", argv[0]);
 *       return 0;
 *   }
 * @endcode
 */
int nova_main(int argc, char **argv);

/** What root says about this domain. Constant. Thread-safe. Example: `nova_info()->cpus`. */
static inline const struct nova_info *nova_info(void)
{
    return (const struct nova_info *)NOVA_INFO_ADDR;
}

/**
 * Writes out the log and ends the domain, all threads included. Thread-safe.
 *
 * Example: `nova_exit(1);`
 */
_Noreturn void nova_exit(int status);

/**
 * Prepares libnova. crt0.o does it; other start-up code calls it in the first thread, before anything else of
 * libnova. `stack` is the first stack pointer, where argc is (nova/start.h). It does not touch the FS base.
 */
void nova_program_init(const uint64_t *stack);

/**
 * Entry of the auxiliary vector, or 0. Thread-safe. Example: `nova_program_aux(AT_RANDOM)`.
 */
uint64_t nova_program_aux(uint64_t type);

/**
 * Hook for start-up code: called by nova_exit() before the domain ends; flushes the log if it has been used.
 */
extern void (*nova_program_at_exit)(void);

/**
 * Request to root on the caller's CPU (nova/parent.h): `count` words, which the first `reply` words of the
 * reply replace.
 *
 * Returns word 0 of the reply: 0 or an `enum nova_error`; #NOVA_ERR_PEER if root could not be called. The
 * UTCB is as before. Thread-safe. Both numbers are 1 to #NOVA_PARENT_WORDS.
 *
 * Example: @code
 *   uint64_t word[5] = {NOVA_PARENT_STATE};
 *   int error = nova_parent_call(word, 1, 5);
 * @endcode
 */
int nova_parent_call(uint64_t *word, unsigned count, unsigned reply);

/** The same without results: the operation and its arguments. Example: `nova_parent(NOVA_PARENT_CLOSE, number)`. */
#define nova_parent(...)                                                                                     \
    nova_parent_call((uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), 1)

/** @} */
