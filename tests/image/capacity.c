/*
 * Kernel memory that is left, as the number of ECs that can be created: an EC with its UTCB takes
 * more than a page each. Not for kernels that keep the memory of dropped objects.
 *
 * SPDX-License-Identifier: MIT
 */

#include "capacity.h"

#include "system.h"
#include "tap.h"

#define ORDER 14
#define LIMIT (1U << ORDER) /* selectors, and so ECs, at most */

static uint64_t selectors, window;

unsigned capacity(uint64_t pd, unsigned *status)
{
    unsigned n = 0, last = NOVA_SUCCESS;

    if (!selectors) {
        selectors = sel_alloc(LIMIT, LIMIT);
        window = va_alloc(LIMIT * PAGE_SIZE, LIMIT * PAGE_SIZE);
    }
    while (n < LIMIT && last == NOVA_SUCCESS) {
        last = create_ec(selectors + n, pd, window + n * PAGE_SIZE, sys.bsp, 0, sys.hip->sel_num - 0x80, 0);
        n += last == NOVA_SUCCESS;
    }
    must(ctrl_pd(sys.root.obj, sys.root.obj, selectors, selectors, ORDER, 0, 0), "dropping objects");
    if (status)
        *status = last;
    return n;
}

unsigned capacity_reaches(unsigned want, uint64_t ms)
{
    uint64_t end = tsc() + ticks(ms * 1000);
    unsigned best = 0;

    do {
        unsigned n = capacity(sys.root.pd, NULL);

        best = n > best ? n : best;
        sleep_us(20000);
    } while (best < want && tsc() < end);
    return best;
}
