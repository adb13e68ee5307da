/*
 * Look-up of users and groups without a name service: the C library then reads /etc/passwd and /etc/group,
 * if there are such files. This answers as musl's own does on a system without local sockets: an empty
 * stream, and nothing found.
 *
 * SPDX-License-Identifier: MIT
 */

#include <stdint.h>
#include <stdio.h>
#include <string.h>

FILE *__nscd_query(int32_t request, const char *key, int32_t *answer, size_t size, int *swap);

FILE *__nscd_query(int32_t request, const char *key, int32_t *answer, size_t size, int *swap)
{
    (void)request;
    (void)key;
    *swap = 0;
    memset(answer, 0, size);
    return fopen("/dev/null", "re");
}
