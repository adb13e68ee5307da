/*
 * Reference counts of kernel objects, and what to do when the last reference goes.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/object.h"

#include "core/ec.h"
#include "core/grace.h"
#include "core/sc.h"

const struct object_rights object_rights[OBJECT_TYPES] = {
    [OBJECT_PD] = {SHIFT_PD, NOVA_PERM_ALL},
    [OBJECT_EC] = {SHIFT_EC, NOVA_EC_CTRL | NOVA_EC_BIND_PT | NOVA_EC_BIND_SC},
    [OBJECT_SC] = {SHIFT_SC, NOVA_SC_CTRL},
    [OBJECT_PT] = {SHIFT_PT, NOVA_PT_CTRL | NOVA_PT_CALL | NOVA_PT_EVENT},
    [OBJECT_SM] = {SHIFT_SM, NOVA_SM_CTRL_UP | NOVA_SM_CTRL_DN | NOVA_SM_ASSIGN},
    [OBJECT_OBJ] = {SHIFT_OBJ, NOVA_SPC_GRANT | NOVA_SPC_TAKE},
    [OBJECT_HST] = {SHIFT_HST, NOVA_SPC_GRANT | NOVA_SPC_TAKE},
    [OBJECT_GST] = {SHIFT_GST, NOVA_SPC_GRANT | NOVA_SPC_ASSIGN},
    [OBJECT_DMA] = {SHIFT_DMA, NOVA_SPC_GRANT | NOVA_SPC_ASSIGN},
    [OBJECT_PIO] = {SHIFT_PIO, NOVA_SPC_GRANT | NOVA_SPC_TAKE | NOVA_SPC_ASSIGN},
    [OBJECT_MSR] = {SHIFT_MSR, NOVA_SPC_GRANT | NOVA_SPC_TAKE | NOVA_SPC_ASSIGN},
};

void object_init(struct object *object, enum object_type type, struct pd *pd)
{
    object->refs = 1;
    object->type = (uint8_t)type;
    object->pd = pd;
    if (pd)
        __atomic_fetch_add(&pd->object.refs, 1, __ATOMIC_RELAXED);
}

bool object_get(struct object *object)
{
    uint32_t refs = __atomic_load_n(&object->refs, __ATOMIC_RELAXED);
    do {
        if (refs == 0 || refs == UINT32_MAX)
            return false;
    } while (!__atomic_compare_exchange_n(&object->refs, &refs, refs + 1, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return true;
}

void object_put(struct object *object)
{
    if (__atomic_fetch_sub(&object->refs, 1, __ATOMIC_ACQ_REL) == 1) {
        if (object->type >= OBJECT_OBJ)
            space_unbind((struct space *)object);
        grace_retire(object);
    }
}

void object_destroy(struct object *object)
{
    struct pd *pd = object->pd;

    switch (object->type) {
    case OBJECT_PD:
        page_free(((struct pd *)object)->account.parent, object, 0);
        break;
    case OBJECT_EC:
        ec_destroy((struct ec *)object);
        break;
    case OBJECT_SC:
        sc_destroy((struct sc *)object);
        break;
    case OBJECT_PT:
        object_put(&((struct pt *)object)->ec->object);
        /* fall through */
    case OBJECT_SM:
        slab_free(object);
        break;
    default:
        space_destroy((struct space *)object);
    }
    if (pd)
        object_put(&pd->object);
}
