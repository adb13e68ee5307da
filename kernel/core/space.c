/*
 * Creation and destruction of spaces, and the NOVA spaces: all that the kernel gives away.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/space.h"

#include "lib/string.h"
#include "nova/abi/cap.h"
#include "nova/abi/hypercall.h"

struct space_obj nova_obj;
struct space_hst nova_hst;
struct space_pio nova_pio;
struct space_msr nova_msr;

/* Where a PD keeps its first space of a type, if its ECs need one. */
static struct space **place_of(struct pd *pd, enum object_type type)
{
    switch (type) {
    case OBJECT_OBJ:
        return &pd->obj;
    case OBJECT_HST:
        return &pd->hst;
    case OBJECT_PIO:
        return &pd->pio;
    default:
        return 0;
    }
}

static uint64_t selectors_of(enum object_type type)
{
    switch (type) {
    case OBJECT_OBJ:
        return OBJ_SELECTORS;
    case OBJECT_HST:
        return HST_SELECTORS;
    case OBJECT_PIO:
        return PIO_SELECTORS;
    default:
        return MSR_SELECTORS;
    }
}

static struct space *allocate(enum object_type type, struct pd *pd)
{
    return type == OBJECT_HST ? pd_page_alloc(pd, 0) : slab_alloc(&pd->small);
}

static void release(struct space *space, struct pd *pd)
{
    if (space->object.type == OBJECT_HST)
        pd_page_free(pd, space, 0);
    else
        slab_free(space);
}

static unsigned create_table(struct space *space)
{
    switch (space->object.type) {
    case OBJECT_OBJ:
        return obj_create((struct space_obj *)space);
    case OBJECT_HST:
        return hst_create((struct space_hst *)space);
    case OBJECT_PIO:
        return pio_create((struct space_pio *)space);
    default:
        return msr_create((struct space_msr *)space);
    }
}

unsigned space_create(enum object_type type, struct pd *pd, struct object **object)
{
    struct space **place = place_of(pd, type), *none = 0;
    struct space *space;
    unsigned status;

    if (place && type != OBJECT_PIO && READ_ONCE(*place))
        return NOVA_ABORTED;
    space = allocate(type, pd);
    if (!space)
        return NOVA_MEM_OBJ;
    space->object.type = (uint8_t)type;
    space->object.pd = pd;
    space->selectors = selectors_of(type);
    status = create_table(space);
    if (status != NOVA_SUCCESS) {
        release(space, pd);
        return status;
    }
    object_init(&space->object, type, pd);
    if (place &&
        !__atomic_compare_exchange_n(place, &none, space, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED) &&
        type != OBJECT_PIO) {
        object_put(&space->object);
        return NOVA_ABORTED;
    }
    *object = &space->object;
    return NOVA_SUCCESS;
}

void space_unbind(struct space *space)
{
    struct space **place = place_of(space->object.pd, space->object.type), *self = space;

    if (place)
        __atomic_compare_exchange_n(place, &self, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void space_destroy(struct space *space)
{
    struct pd *pd = space->object.pd;

    switch (space->object.type) {
    case OBJECT_OBJ:
        obj_destroy((struct space_obj *)space);
        break;
    case OBJECT_HST:
        hst_destroy((struct space_hst *)space);
        break;
    case OBJECT_PIO:
        pio_destroy((struct space_pio *)space);
        break;
    default:
        msr_destroy((struct space_msr *)space);
    }
    release(space, pd);
}
