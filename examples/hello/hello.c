/*
 * hello: the smallest application. It runs in a protection domain of its own and can do nothing but what
 * hello.nova grants: compute, and write to the log.
 *
 * SPDX-License-Identifier: MIT
 */

#include <stdio.h>

int main(void)
{
    puts("hello, world");
    return 0;
}
