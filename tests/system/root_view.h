/*
 * Root's own checks of manifests and images.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef ROOT_VIEW_H
#define ROOT_VIEW_H

#include <stddef.h>
#include <stdint.h>

/* NULL if root accepts it, on a machine with so many CPUs and so much free memory. */
const char *root_manifest(const void *file, size_t size, unsigned cpus, uint64_t memory);

/* NULL if root accepts it. Sets the number of pages that it copies. */
const char *root_image(const void *file, size_t size, uint64_t *data_pages);

#endif
