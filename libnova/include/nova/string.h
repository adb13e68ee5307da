/**
 * @file
 * Functions of the standard C library that compilers expect, and a few more.
 *
 * They are in an archive of their own, libnova-string.a, for programs without libc; with libc, its functions
 * are used. They do what ISO C (`strnlen`: POSIX) says. Thread-safe as far as their arguments are.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stddef.h>

/**
 * @addtogroup libnova_string
 * @{
 */

void *memcpy(void *restrict to, const void *restrict from, size_t n); /**< Copies separate areas. */
void *memmove(void *to, const void *from, size_t n);                  /**< Copies any areas. */
void *memset(void *to, int byte, size_t n);                           /**< Fills. */
int memcmp(const void *a, const void *b, size_t n);                   /**< Compares bytes. */
size_t strlen(const char *s);                                         /**< Length. */
size_t strnlen(const char *s, size_t max);                            /**< Length, at most `max`. */
int strcmp(const char *a, const char *b);                             /**< Compares strings. */
int strncmp(const char *a, const char *b, size_t n);                  /**< Compares at most `n` characters. */

/** @} */
