/*
 * arguments: shows what the system file hands to a program, and hands a number back: the exit status of the
 * domain that `until' names is that of nova-run.
 *
 * SPDX-License-Identifier: MIT
 */

#include <stdio.h>
#include <stdlib.h>

extern char **environ;

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        printf("argv[%d] = \"%s\"\n", i, argv[i]);
    for (char **entry = environ; *entry; entry++)
        printf("environment: %s\n", *entry);
    printf("getenv: %s\n", getenv("MOTTO"));
    printf("HOME is %s\n", getenv("HOME") ? "set" : "not set: only what the system file says is there");
    return 7;
}
