/*
 * Small helpers that every file may use. No state, no dependencies.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BITS 12
#define PAGE_SIZE 4096UL

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (1ULL << (n))
#define CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* For fast paths. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* One access, neither torn nor repeated by the compiler. */
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Index of the lowest and of the highest bit set; undefined for 0. */
static inline unsigned bit_lowest(uint64_t v)
{
    return (unsigned)__builtin_ctzll(v);
}

static inline unsigned bit_highest(uint64_t v)
{
    return 63U - (unsigned)__builtin_clzll(v);
}
