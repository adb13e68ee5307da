/*
 * A small program: it holds none of the parts of the POSIX layer that it does not ask for, and large thread-local
 * storage needs no heap.
 * SPDX-License-Identifier: MIT
 */
#include "check.h"

extern const char nova_link_files __attribute__((weak));
extern const char nova_link_input __attribute__((weak));
extern const char nova_link_memory __attribute__((weak));
extern const char nova_link_owned __attribute__((weak));
extern const char nova_link_random __attribute__((weak));
extern const char nova_link_signals __attribute__((weak));
extern const char nova_link_threads __attribute__((weak));
extern const char nova_link_time __attribute__((weak));

static _Thread_local char large[40000] __attribute__((aligned(256)));
static _Thread_local char behind = 'x';

int main(void)
{
    char sum = 0;

    CHECK(!&nova_link_files && !&nova_link_input && !&nova_link_memory && !&nova_link_owned);
    CHECK(!&nova_link_random && !&nova_link_signals && !&nova_link_threads && !&nova_link_time);
    CHECK((size_t)large % 256 == 0 && behind == 'x');
    for (size_t i = 0; i < sizeof(large); i++)
        sum |= large[i];
    CHECK(!sum);
    memset(large, 1, sizeof(large));
    CHECK(behind == 'x');
    return check_end();
}
