/*
 * The checks of root, for the test that root accepts what nova-image makes. Apart, as both have names of
 * their own.
 *
 * SPDX-License-Identifier: MIT
 */

#include "root_view.h"

#include <elf.h>
#include "../../root/elf.h"
#include "../../root/manifest.h"

const char *root_manifest(const void *file, size_t size, unsigned cpus, uint64_t memory)
{
    static const struct memory ram = {.range = {{0, 0x9f000}, {0x100000, 0x20000000}}, .ranges = 2};
    struct machine machine = {
        .cpus = cpus,
        .modules = NOVA_MODULES_MAX,
        .pins = 1024,
        .pages = memory / PAGE_SIZE,
        .kernel_pages = (24U << 20) / PAGE_SIZE,
        .physical_end = 1UL << 52,
        .ram = &ram,
    };
    struct manifest m;

    return manifest_check(file, size, &machine, &m);
}

const char *root_image(const void *file, size_t size, uint64_t *data_pages)
{
    struct image image;
    const char *error = image_check(file, size, &image);

    *data_pages = image.data_pages;
    return error;
}
