/*
 * Kernel objects and capabilities.
 *
 * Every object starts with a struct object. It lives as long as something refers to it: capabilities in
 * slots, and other objects. Looking a capability up takes no reference; what is found stays
 * valid until the CPU leaves the kernel, because a dead object is destroyed only after
 * a grace period (core/grace.c). Storing a reference is an attempt that fails on a dead object.
 *
 *   object   refers to                                     is destroyed
 *   PD       parent PD                                     anywhere
 *   space    PD (pays)                                     anywhere
 *   EC       PD (pays), OBJ, HST and PIO space             on its CPU
 *   SC       PD (pays), EC                                 on its CPU
 *   PT       PD (pays), EC                                 anywhere
 *   SM       PD (pays); a blocked EC refers to its SM      anywhere
 *
 * A capability is one 64-bit word, so that slots are read and written atomically:
 *
 *   63                       32 31                            0
 *   +--------------------------+-------------------------------+
 *   |  rights, one bit each    |  low half of object's address |
 *   +--------------------------+-------------------------------+
 *
 * A right is a permission *of a type*: having RIGHT_SM_UP means that the object is a semaphore
 * and may be upped, so one bit test checks the slot, the type and the permission. 0 is the null capability.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "lib/util.h"
#include "nova/abi/cap.h"
#include "nova/abi/hypercall.h"

enum object_type {
    OBJECT_PD,
    OBJECT_EC,
    OBJECT_SC,
    OBJECT_PT,
    OBJECT_SM,
    OBJECT_OBJ,
    OBJECT_HST,
    OBJECT_GST,
    OBJECT_DMA,
    OBJECT_PIO,
    OBJECT_MSR,
    OBJECT_TYPES
};

struct pd;

struct object {
    uint32_t refs; /* atomic; 0: dead */
    uint8_t type;
    struct object *next; /* on a list of dead objects */
    struct pd *pd;       /* pays for the object; null for a PD's own and for static objects */
};

/* Position of permission bit 0 of each type among the rights. Where a type leaves bits undefined, another
 * type's bits lie in the gap: OBJ within SM (bits 2 and 3), DMA between the bits of GST. */
enum right_shift {
    SHIFT_PD = 0,
    SHIFT_EC = 5,
    SHIFT_SC = 9,
    SHIFT_PT = 10,
    SHIFT_SM = 13,
    SHIFT_OBJ = 15,
    SHIFT_HST = 18,
    SHIFT_GST = 20,
    SHIFT_DMA = 21,
    SHIFT_PIO = 24,
    SHIFT_MSR = 27
};

extern const struct object_rights {
    uint8_t shift; /* enum right_shift */
    uint8_t perms; /* permission bits that the type defines */
} object_rights[OBJECT_TYPES];

#define RIGHT(type, perm) ((uint32_t)(perm) << SHIFT_##type)

typedef uint64_t cap;

static inline cap cap_make(const struct object *object, unsigned perms)
{
    struct object_rights type = object_rights[object->type];
    uint32_t rights = (perms & type.perms) << type.shift;

    return rights ? (uint64_t)rights << 32 | (uint32_t)(uintptr_t)object : 0;
}

static inline bool cap_has(cap c, uint32_t right)
{
    return (c >> 32 & right) != 0;
}

/* Kernel memory lies in the top 2 GiB, so sign extension restores the address. */
static inline void *cap_object(cap c)
{
    return (void *)(intptr_t)(int32_t)c;
}

static inline unsigned cap_perms(cap c)
{
    struct object_rights type = object_rights[((const struct object *)cap_object(c))->type];

    return (uint32_t)(c >> 32) >> type.shift & type.perms;
}

/* Sets up an object with one reference, owned by the caller. It refers to `pd`, which must be alive, or null. */
void object_init(struct object *object, enum object_type type, struct pd *pd);

/* Takes one more reference unless the object is dead. */
bool object_get(struct object *object);

/* Drops a reference; the last one retires the object. */
void object_put(struct object *object);

/* Destroys a retired object after its grace period (core/grace.c calls it). */
void object_destroy(struct object *object);
