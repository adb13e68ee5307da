/*
 * Operands in memory, and instruction fetch: segmentation (Intel SDM volume 3, chapter 5), alignment,
 * translation; then access to RAM, or to a device, in pieces that are naturally aligned.
 *
 * An operand may begin in RAM and end in a device. All checks come before the first access.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#define AR_CODE (1U << 3)
#define AR_EXPAND_DOWN (1U << 2) /* of data */
#define AR_WRITABLE (1U << 1)    /* of code: readable */
#define AR_DB (1U << 10)
#define AR_UNUSABLE (1U << 12)

enum emu_result emu_raise(struct emu *emu, enum vector vector)
{
    emu->fault = (struct emu_fault){(uint8_t)vector, emu->state->cr0 & CR0_PE && vector != VECTOR_UD, 0, 0};
    return EMU_FAULT;
}

unsigned emu_mode(const struct nova_arch_state *state)
{
    return is_long(state) ? 8 : state->cs.ar & AR_DB ? 4 : 2;
}

const struct nova_segment *emu_segment(const struct nova_arch_state *state, unsigned segment)
{
    static const uint16_t offsets[6] = {
        offsetof(struct nova_arch_state, es), offsetof(struct nova_arch_state, cs),
        offsetof(struct nova_arch_state, ss), offsetof(struct nova_arch_state, ds),
        offsetof(struct nova_arch_state, fs), offsetof(struct nova_arch_state, gs)};

    return (const struct nova_segment *)(const void *)((const char *)state + offsets[segment]);
}

/* Bits from 47, or 56, up are all the same. */
static bool is_canonical(const struct nova_arch_state *state, uint64_t linear)
{
    return (uint64_t)((int64_t)linear >> (state->cr4 & CR4_LA57 ? 56 : 47)) + 1 <= 1;
}

/* Type and limit (5.3, 5.5). Of CS, when code is fetched, only the limit: its type was checked when it was
 * loaded. */
static bool is_inside(const struct nova_arch_state *state, const struct nova_segment *segment,
                      uint64_t offset, unsigned bytes, unsigned access)
{
    uint64_t last = offset + bytes - 1;

    if (is_protected(state) && access != EMU_EXECUTE) {
        if (segment->ar & AR_UNUSABLE)
            return false;
        if (access & EMU_WRITE && (segment->ar & AR_CODE || !(segment->ar & AR_WRITABLE)))
            return false;
        if (access == EMU_READ && segment->ar & AR_CODE && !(segment->ar & AR_WRITABLE))
            return false;
        if ((segment->ar & (AR_CODE | AR_EXPAND_DOWN)) == AR_EXPAND_DOWN)
            return offset > segment->limit && last <= (segment->ar & AR_DB ? UINT32_MAX : UINT16_MAX);
    }
    return last <= segment->limit;
}

/* Linear address of [offset, offset + bytes) in a segment. */
static enum emu_result to_linear(struct emu *emu, unsigned number, uint64_t offset, unsigned bytes,
                                 unsigned access, uint64_t *linear)
{
    const struct nova_segment *segment = emu_segment(emu->state, number);
    bool good;

    if (is_long(emu->state)) {
        *linear = offset + (number >= SEGMENT_FS ? segment->base : 0);
        good = is_canonical(emu->state, *linear) && is_canonical(emu->state, *linear + bytes - 1);
    } else {
        *linear = (segment->base + offset) & UINT32_MAX;
        good = is_inside(emu->state, segment, offset, bytes, access);
    }
    return good ? EMU_DONE : emu_raise(emu, number == SEGMENT_SS ? VECTOR_SS : VECTOR_GP);
}

/* Whether the operand, all in one page, is what exited: then the CPU has checked everything. */
static bool is_known(const struct emu *emu, unsigned segment, uint64_t offset, unsigned bytes,
                     unsigned access)
{
    uint64_t base = is_long(emu->state) && segment < SEGMENT_FS ? 0 : emu_segment(emu->state, segment)->base;
    uint64_t at = (base + offset) % EMU_PAGE;

    return emu->hint == (access == EMU_WRITE ? EMU_HINT_WRITE : EMU_HINT_READ) &&
           at == emu->hint_gpa % EMU_PAGE && at + bytes <= EMU_PAGE;
}

enum emu_result emu_locate(struct emu *emu, unsigned segment, uint64_t offset, unsigned bytes,
                           unsigned access, struct place *place)
{
    const struct nova_arch_state *state = emu->state;
    enum emu_result result;
    uint64_t linear;
    unsigned room;

    if (emu->hint != EMU_HINT_NONE && is_known(emu, segment, offset, bytes, access)) {
        *place = (struct place){.gpa = {emu->hint_gpa}, .bytes = {(uint8_t)bytes}};
        return EMU_DONE;
    }
    result = to_linear(emu, segment, offset, bytes, access, &linear);
    if (result != EMU_DONE)
        return result;
    if (linear & (bytes - 1) && current_privilege(state) == 3 && state->cr0 & CR0_AM &&
        state->rflags & FLAG_AC)
        return emu_raise(emu, VECTOR_AC);
    room = EMU_PAGE - (unsigned)(linear % EMU_PAGE);
    if (place->bytes[0] && !((place->linear ^ linear) / EMU_PAGE) && room >= bytes)
        place->gpa[0] = (place->gpa[0] & ~(uint64_t)(EMU_PAGE - 1)) | linear % EMU_PAGE;
    else
        result = emu_translate(emu, linear, access, &place->gpa[0]);
    if (result == EMU_DONE && room < bytes) {
        uint64_t next = linear + room;

        result = emu_translate(emu, is_long(state) ? next : next & UINT32_MAX, access, &place->gpa[1]);
    }
    place->linear = linear;
    place->bytes[0] = (uint8_t)(room < bytes ? room : bytes);
    place->bytes[1] = (uint8_t)(bytes - place->bytes[0]);
    return result;
}

/* Largest naturally aligned access at gpa. */
static unsigned piece(uint64_t gpa, unsigned bytes)
{
    unsigned size = bytes > 4 ? 8 : 4;

    while (size > bytes || gpa % size)
        size /= 2;
    return size;
}

/* Part of RAM, whole if it is aligned. */
static uint64_t load_ram(const void *from, unsigned bytes)
{
    switch (piece((uintptr_t)from, bytes) == bytes ? bytes : 0) {
    case 2:
        return __atomic_load_n((const uint16_t *)from, __ATOMIC_RELAXED);
    case 4:
        return __atomic_load_n((const uint32_t *)from, __ATOMIC_RELAXED);
    case 8:
        return __atomic_load_n((const uint64_t *)from, __ATOMIC_RELAXED);
    default: {
        uint64_t value = 0;

        for (unsigned i = 0; i < bytes; i++)
            value |= (uint64_t)((const volatile uint8_t *)from)[i] << 8 * i;
        return value;
    }
    }
}

static void store_ram(void *to, unsigned bytes, uint64_t value)
{
    switch (piece((uintptr_t)to, bytes) == bytes ? bytes : 0) {
    case 2:
        __atomic_store_n((uint16_t *)to, (uint16_t)value, __ATOMIC_RELAXED);
        break;
    case 4:
        __atomic_store_n((uint32_t *)to, (uint32_t)value, __ATOMIC_RELAXED);
        break;
    case 8:
        __atomic_store_n((uint64_t *)to, value, __ATOMIC_RELAXED);
        break;
    default:
        for (unsigned i = 0; i < bytes; i++)
            ((volatile uint8_t *)to)[i] = (uint8_t)(value >> 8 * i);
    }
}

static uint64_t load_part(const struct emu *emu, uint64_t gpa, unsigned bytes)
{
    const void *ram = emu->ops->ram(emu->context, gpa, bytes);
    uint64_t value = 0;

    if (ram)
        return load_ram(ram, bytes);
    if (piece(gpa, bytes) == bytes) {
        emu->ops->mmio_read(emu->context, gpa, bytes, &value);
        return value & size_mask(bytes);
    }
    for (unsigned at = 0, size; at < bytes; at += size) {
        uint64_t part = 0;

        size = piece(gpa + at, bytes - at);
        emu->ops->mmio_read(emu->context, gpa + at, size, &part);
        value |= (part & size_mask(size)) << 8 * at;
    }
    return value;
}

static void store_part(const struct emu *emu, uint64_t gpa, unsigned bytes, uint64_t value)
{
    void *ram = emu->ops->ram(emu->context, gpa, bytes);

    if (ram) {
        store_ram(ram, bytes, value);
        return;
    }
    for (unsigned at = 0, size; at < bytes; at += size) {
        size = piece(gpa + at, bytes - at);
        emu->ops->mmio_write(emu->context, gpa + at, size, value >> 8 * at & size_mask(size));
    }
}

uint64_t emu_load(const struct emu *emu, const struct place *place)
{
    uint64_t value = load_part(emu, place->gpa[0], place->bytes[0]);

    if (place->bytes[1])
        value |= load_part(emu, place->gpa[1], place->bytes[1]) << 8 * place->bytes[0];
    return value;
}

void emu_store(const struct emu *emu, const struct place *place, uint64_t value)
{
    store_part(emu, place->gpa[0], place->bytes[0], value);
    if (place->bytes[1])
        store_part(emu, place->gpa[1], place->bytes[1], value >> 8 * place->bytes[0]);
}

bool emu_replace(const struct emu *emu, const struct place *place, uint64_t old, uint64_t value)
{
    unsigned bytes = place->bytes[0];
    void *ram = emu->ops->ram(emu->context, place->gpa[0], bytes);
    uint8_t old1 = (uint8_t)old;
    uint16_t old2 = (uint16_t)old;
    uint32_t old4 = (uint32_t)old;

    if (ram && !place->bytes[1] && piece((uintptr_t)ram, bytes) == bytes) {
        switch (bytes) {
        case 1:
            return __atomic_compare_exchange_n((uint8_t *)ram, &old1, (uint8_t)value, false, __ATOMIC_SEQ_CST,
                                               __ATOMIC_RELAXED);
        case 2:
            return __atomic_compare_exchange_n((uint16_t *)ram, &old2, (uint16_t)value, false,
                                               __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
        case 4:
            return __atomic_compare_exchange_n((uint32_t *)ram, &old4, (uint32_t)value, false,
                                               __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
        case 8:
            return __atomic_compare_exchange_n((uint64_t *)ram, &old, value, false, __ATOMIC_SEQ_CST,
                                               __ATOMIC_RELAXED);
        }
    }
    emu_store(emu, place, value);
    return true;
}

enum emu_result emu_fetch(struct emu *emu)
{
    const struct nova_arch_state *state = emu->state;
    uint64_t offset = state->rip + emu->available, linear, gpa;
    unsigned count = EMU_INSN_MAX - emu->available;
    bool wide = is_long(state);
    const void *code;
    enum emu_result result;

    offset = wide ? offset : offset & UINT32_MAX;
    if (!count)
        return emu_raise(emu, VECTOR_GP);
    result = to_linear(emu, SEGMENT_CS, offset, 1, EMU_EXECUTE, &linear);
    if (result == EMU_DONE)
        result = emu_translate(emu, linear, EMU_EXECUTE, &gpa);
    if (result != EMU_DONE)
        return result;
    if (count > EMU_PAGE - linear % EMU_PAGE)
        count = (unsigned)(EMU_PAGE - linear % EMU_PAGE);
    if (!wide && count > state->cs.limit - offset + 1)
        count = (unsigned)(state->cs.limit - offset + 1);
    code = emu->ops->ram(emu->context, gpa, count);
    if (!code)
        return EMU_UNSUPPORTED;
    if (emu->path)
        emu->path->code = code;
    if (count == EMU_INSN_MAX)
        __builtin_memcpy(emu->bytes, code, EMU_INSN_MAX);
    else
        __builtin_memcpy(emu->bytes + emu->available, code, count);
    __asm__ volatile("" : : : "memory"); /* the guest's bytes are not looked at again */
    emu->available = (uint8_t)(emu->available + count);
    return EMU_DONE;
}
