/*
 * The checks of root, for the test that root accepts what nova-image makes. Apart, as both have names of
 * their own.
 *
 * SPDX-License-Identifier: MIT
 */

#include "root_view.h"

#include "../../root/manifest.h"

const char *root_manifest(const void *file, size_t size, unsigned cpus, uint64_t memory, const size_t *sizes,
                          unsigned modules)
{
    struct boot_module module[NOVA_MODULES_MAX];
    static const struct memory ram = {.range = {{0, 0x9f000}, {0x100000, 0x20000000}}, .ranges = 2};
    struct machine machine = {
        .cpus = cpus,
        .module = module,
        .modules = modules,
        .pins = 1024,
        .pages = memory / PAGE_SIZE,
        .kernel_pages = (24U << 20) / PAGE_SIZE,
        .physical_end = 1UL << 52,
        .ram = &ram,
    };
    struct manifest m;

    for (unsigned i = 0; i < modules; i++)
        module[i] = (struct boot_module){.start = 0x1000000, .end = 0x1000000 + sizes[i]};
    return manifest_check(file, size, &machine, &m);
}
