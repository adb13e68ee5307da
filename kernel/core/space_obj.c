/*
 * Object spaces. Slots are read and exchanged atomically; the lock only serialises the allocation of tables.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/space.h"

const cap obj_null[OBJ_SLOTS];

/* The slot of a selector in range; null if there is no memory for its table. */
static cap *slot_of(struct space_obj *obj, uint64_t sel)
{
    cap **table = &obj->tables[sel >> 9];

    if (__atomic_load_n(table, __ATOMIC_ACQUIRE) == OBJ_NO_TABLE) {
        lock(&obj->space.lock);
        if (*table == OBJ_NO_TABLE) {
            struct pd *pd = obj->space.object.pd;
            cap *fresh = page_alloc(pd ? &pd->account : 0, 0);
            if (fresh)
                __atomic_store_n(table, fresh, __ATOMIC_RELEASE);
        }
        unlock(&obj->space.lock);
    }
    return *table == OBJ_NO_TABLE ? 0 : &(*table)[sel % OBJ_SLOTS];
}

unsigned obj_reserve(struct space_obj *obj, uint64_t sel)
{
    if (sel >= OBJ_SELECTORS || obj_lookup(obj->tables, sel))
        return NOVA_BAD_CAP;
    return slot_of(obj, sel) ? NOVA_SUCCESS : NOVA_MEM_CAP;
}

unsigned obj_insert(struct space_obj *obj, uint64_t sel, cap c)
{
    cap *slot = slot_of(obj, sel);
    cap expected = 0;

    if (!slot)
        return NOVA_MEM_CAP;
    return __atomic_compare_exchange_n(slot, &expected, c, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)
               ? NOVA_SUCCESS
               : NOVA_BAD_CAP;
}

unsigned obj_delegate(struct space_obj *src, struct space_obj *dst, uint64_t ssb, uint64_t dsb, unsigned ord,
                      unsigned pmm)
{
    for (uint64_t i = 0; i < 1UL << ord; i++) {
        cap c = pmm ? READ_ONCE(src->tables[(ssb + i) >> 9][(ssb + i) % OBJ_SLOTS]) : 0, *slot;
        if (c) {
            c = cap_make(cap_object(c), cap_perms(c) & pmm);
            if (c && !object_get(cap_object(c)))
                c = 0;
        }
        if (!c && dst->tables[(dsb + i) >> 9] == OBJ_NO_TABLE)
            continue;
        slot = slot_of(dst, dsb + i);
        if (!slot) {
            object_put(cap_object(c));
            return NOVA_MEM_CAP;
        }
        /* The reference of what was there goes with it. */
        c = __atomic_exchange_n(slot, c, __ATOMIC_ACQ_REL);
        if (c)
            object_put(cap_object(c));
    }
    return NOVA_SUCCESS;
}

unsigned obj_create(struct space *space)
{
    struct space_obj *obj = (struct space_obj *)space;

    space->selectors = OBJ_SELECTORS;
    obj->tables = page_alloc(&space->object.pd->account, 0);
    if (!obj->tables)
        return NOVA_MEM_OBJ;
    for (unsigned i = 0; i < OBJ_SLOTS; i++)
        obj->tables[i] = OBJ_NO_TABLE;
    return NOVA_SUCCESS;
}

void obj_destroy(struct space *space)
{
    struct space_obj *obj = (struct space_obj *)space;
    struct account *account = &space->object.pd->account;

    for (unsigned i = 0; i < OBJ_SLOTS; i++) {
        cap *table = obj->tables[i];
        if (table == OBJ_NO_TABLE)
            continue;
        for (unsigned j = 0; j < OBJ_SLOTS; j++)
            if (table[j])
                object_put(cap_object(table[j]));
        page_free(account, table, 0);
    }
    page_free(account, obj->tables, 0);
}
