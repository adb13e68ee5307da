/*
 * Random numbers of the tests of the emulator. Their seed is an argument of the program, or anything; it is printed.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "tap.h"

#include <stdlib.h>
#include <sys/random.h>

static uint64_t state_of_random;

static inline uint64_t any(void)
{
    return tap_random(&state_of_random);
}

static inline bool chance(unsigned one_in)
{
    return any() % one_in == 0;
}

/* The state must not be 0. */
static inline uint64_t random_start(const char *argument)
{
    uint64_t seed = 0;

    if (argument)
        seed = strtoull(argument, NULL, 0);
    else if (getrandom(&seed, 4, 0) != 4)
        exit(2);
    printf("# seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    state_of_random = seed * 2654435761U + 1;
    return seed;
}
