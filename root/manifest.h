/*
 * The manifest: validated as a whole before anything of it is used.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "boot.h"

#include <nova/manifest.h>
#include <stddef.h>

#define RESOURCES_MAX 3072U
#define CONNECTS_MAX 4096U
#define PRIORITY_MAX 100U /* of domains; root is above */

/* What the machine has. */
struct machine {
    unsigned cpus;
    const struct boot_module *module; /* behind the manifest */
    unsigned modules;
    unsigned pins;            /* interrupts with pins */
    uint64_t pages;           /* free memory */
    uint64_t kernel_pages;    /* kernel memory that domains can have */
    uint64_t physical_end;    /* end of physical addresses */
    const struct memory *ram; /* all memory, free or not: no device memory */
};

/* Tables of a valid manifest. */
struct manifest {
    const struct nova_manifest *head;
    const struct nova_manifest_domain *domain;
    const struct nova_manifest_service *service;
    const struct nova_manifest_connect *connect;
    const struct nova_manifest_resource *resource;
    const char *stacks;
};

/*
 * Null if the manifest is valid for this machine, and m is filled in; else what is wrong. `file` is aligned
 * to 8 bytes.
 */
const char *manifest_check(const void *file, size_t size, const struct machine *machine, struct manifest *m);
