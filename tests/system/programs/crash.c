/*
 * For the tests of nova-run: writes to where nothing is.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/program.h>

static int *volatile nowhere;

static __attribute__((noinline)) int store(int value)
{
    *nowhere = value;
    return value;
}

int nova_main(int argc, char **argv)
{
    (void)argv;
    return store(argc) + 1;
}
