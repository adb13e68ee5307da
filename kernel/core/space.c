/*
 * Creation and destruction of spaces, and the NOVA spaces: all that the kernel gives away.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/space.h"

struct space_obj nova_obj;
struct space_hst nova_hst;
struct space_bitmap nova_pio, nova_msr;

/* What differs: the tables of a new space, and their end. */
static const struct {
    unsigned (*create)(struct space *space);
    void (*destroy)(struct space *space);
} tables[OBJECT_TYPES] = {
    [OBJECT_OBJ] = {obj_create, obj_destroy},       [OBJECT_HST] = {hst_create, mem_destroy},
    [OBJECT_GST] = {gst_create, mem_destroy},       [OBJECT_PIO] = {bitmap_create, bitmap_destroy},
    [OBJECT_MSR] = {bitmap_create, bitmap_destroy},
};

static void release(struct space *space, struct pd *pd)
{
    if (space->object.type == OBJECT_HST)
        page_free(&pd->account, space, 0);
    else
        slab_free(space);
}

unsigned space_create(enum object_type type, struct pd *pd, struct object **object)
{
    bool unique = type == OBJECT_OBJ || type == OBJECT_HST;
    struct space **first = &pd->spaces[type], *none = 0, *space;
    unsigned status;

    if (unique && READ_ONCE(*first))
        return NOVA_ABORTED;
    space = type == OBJECT_HST ? page_alloc(&pd->account, 0) : slab_alloc(&pd->small);
    if (!space)
        return NOVA_MEM_OBJ;
    space->object.type = (uint8_t)type;
    space->object.pd = pd;
    status = tables[type].create(space);
    if (status != NOVA_SUCCESS) {
        release(space, pd);
        return status;
    }
    object_init(&space->object, type, pd);
    if (!__atomic_compare_exchange_n(first, &none, space, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED) &&
        unique) {
        object_put(&space->object);
        return NOVA_ABORTED;
    }
    *object = &space->object;
    return NOVA_SUCCESS;
}

void space_unbind(struct space *space)
{
    struct space *self = space;

    __atomic_compare_exchange_n(&space->object.pd->spaces[space->object.type], &self, 0, false,
                                __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void space_destroy(struct space *space)
{
    tables[space->object.type].destroy(space);
    release(space, space->object.pd);
}
