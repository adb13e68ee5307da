/*
 * Creation and destruction of spaces, and the NOVA spaces: all that the kernel gives away.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/space.h"

#include "nova/abi/hypercall.h"

struct space_obj nova_obj;
struct space_hst nova_hst;
struct space_bitmap nova_pio, nova_msr;

static unsigned create_table(struct space *space)
{
    switch (space->object.type) {
    case OBJECT_OBJ:
        return obj_create((struct space_obj *)space);
    case OBJECT_HST:
        return hst_create((struct space_hst *)space);
    case OBJECT_GST:
        return gst_create((struct space_gst *)space);
    default:
        return bitmap_create((struct space_bitmap *)space);
    }
}

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
    status = create_table(space);
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
    switch (space->object.type) {
    case OBJECT_OBJ:
        obj_destroy((struct space_obj *)space);
        break;
    case OBJECT_HST:
    case OBJECT_GST:
        mem_destroy((struct space_mem *)space);
        break;
    default:
        bitmap_destroy((struct space_bitmap *)space);
    }
    release(space, space->object.pd);
}
