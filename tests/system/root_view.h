/*
 * Root's own checks of manifests and images.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stddef.h>
#include <stdint.h>

/* NULL if root accepts it, on a machine with so many CPUs and so much free memory, and modules of these sizes. */
const char *root_manifest(const void *file, size_t size, unsigned cpus, uint64_t memory, const size_t *sizes,
                          unsigned modules);
