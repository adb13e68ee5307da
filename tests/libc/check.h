/*
 * TAP for the conformance programs: each check is a line, and a program that fails one ends with status 1.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_failed;

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            check_failed = 1;                                                                                \
            printf("%s:%d: failed: %s (errno: %s)\n", __FILE__, __LINE__, #condition, strerror(errno));      \
        }                                                                                                    \
    } while (0)

#define CHECK_ERROR(call, number)                                                                            \
    do {                                                                                                     \
        errno = 0;                                                                                           \
        if ((call) != -1 || errno != (number)) {                                                             \
            check_failed = 1;                                                                                \
            printf("%s:%d: failed: %s does not say %s but %s\n", __FILE__, __LINE__, #call, #number,         \
                   strerror(errno));                                                                         \
        }                                                                                                    \
    } while (0)

static inline int check_end(void)
{
    return check_failed;
}
