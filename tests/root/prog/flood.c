/*
 * Floods root with requests; with an argument it spins instead.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"

int test_main(int argc, char **argv)
{
    uint64_t sel;

    (void)argv;
    sleep_ms(20);
    for (uint64_t n = 0;; n++) {
        if (argc > 1)
            continue;
        parent_call(1, (uint64_t)NOVA_PARENT_STATE);
        if (handler_new(1, own->cpu, &sel) == 0)
            parent_call(2, (uint64_t)NOVA_PARENT_THREAD_ENDED, sel);
    }
}
