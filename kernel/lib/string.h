/*
 * Memory functions; the compiler may call them on its own.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stddef.h>

void *memcpy(void *restrict dst, const void *restrict src, size_t size);
void *memset(void *dst, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
