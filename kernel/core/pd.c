/*
 * Protection domains. A PD dies when neither a capability nor an object that it pays for is left.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/pd.h"

#include "x86/clock.h"

struct pd *pd_root;

struct pd *pd_create(struct pd *parent, uint64_t limit)
{
    struct account *payer = parent ? &parent->account : 0;
    struct pd *pd = page_alloc(payer, 0);

    if (!pd)
        return 0;
    pd->created = clock_now();
    pd->account = (struct account){.parent = payer, .limit = limit};
    slab_init(&pd->small, &pd->account, PD_SMALL);
    slab_init(&pd->large, &pd->account, PD_LARGE);
    object_init(&pd->object, OBJECT_PD, parent);
    return pd;
}
