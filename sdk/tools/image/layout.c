/*
 * The address space of a domain (nova/start.h): what is where, for root, which maps it, and for the domain itself.
 *
 * SPDX-License-Identifier: MIT
 */

#include "image.h"

#include <string.h>

#include <nova/abi/cap.h>

#define LARGE_PAGE 0x200000U
#define HUGE_PAGE 0x40000000U

/* Memory of root's is aligned to 2 MiB, or 1 GiB, if there is so much of it: so is where it appears. */
static uint64_t align(uint64_t at, uint64_t bytes)
{
    uint64_t unit = bytes < LARGE_PAGE ? PAGE : bytes < HUGE_PAGE ? LARGE_PAGE : HUGE_PAGE;

    return (at + unit - 1) / unit * unit;
}

/* Pages of a kind of memory, of which there may be none. */
static struct nova_manifest_resource *add(struct domain *d, uint16_t kind, uint64_t first, uint64_t address,
                                          uint64_t pages, unsigned flags)
{
    d->mapping[d->mappings] = (struct nova_manifest_resource){
        .address = address, .first = first, .count = pages, .kind = kind, .flags = (uint16_t)flags};
    return pages ? &d->mapping[d->mappings++] : &d->mapping[d->mappings];
}

/* A file as a whole, read-only. The end of it, and an unmapped page. */
static uint64_t add_file(struct domain *d, const struct file *file, uint64_t at, uint64_t *start,
                         uint64_t *size)
{
    if (!file || !file->size)
        return at;
    *start = at;
    *size = file->size;
    add(d, NOVA_RESOURCE_MODULE, 0, at, pages_of(file->size), NOVA_MEM_R)->module = (uint16_t)file->module;
    return at + (pages_of(file->size) + 1) * PAGE;
}

static void add_image(struct domain *d)
{
    const struct file *file = d->image_file;
    uint64_t pool = 0; /* page of it */

    for (unsigned i = 0; i < file->segments; i++) {
        const struct nova_manifest_resource *s = &file->segment[i];
        struct nova_manifest_resource *r;

        if (s->flags & NOVA_MEM_W) {
            r = add(d, NOVA_RESOURCE_POOL, pool, s->address, s->count, s->flags);
            r->contents = s->contents;
            r->size = s->size;
            pool += s->count;
        } else {
            r = add(d, NOVA_RESOURCE_MODULE, s->first, s->address, s->count, s->flags);
            r->module = (uint16_t)file->module;
        }
    }
}

uint64_t make_layout(struct domain *d, bool console)
{
    const unsigned rw = NOVA_MEM_R | NOVA_MEM_W;
    const struct file *file = d->image_file;
    uint64_t data = file->written_pages * PAGE, devices = 0, at = file->high + PAGE;
    struct nova_info *i = &d->info;

    *i = (struct nova_info){
        .magic = NOVA_INFO_MAGIC,
        .version = NOVA_INFO_VERSION,
        .image_start = file->low,
        .image_end = file->high,
        .stack_start = at,
        .stack_end = at + d->stack,
        .pool_start = align(at + d->stack + PAGE, d->memory),
        .pool_size = d->memory,
        .pool_used = data + d->stack,
        .cpus = d->cpus,
        .cpu = (uint32_t)__builtin_ctzll(d->cpus),
        .threads = d->threads,
        .priority = d->priority,
        .flags = (d->fpu ? NOVA_DOMAIN_FPU : 0U) | (d->keyboard ? NOVA_DOMAIN_CONSOLE : 0U),
        .build_id = "-",
        .console = console,
        .vcpus = d->kind == KIND_VM ? d->vm.vcpus : 0,
    };
    memcpy(i->name, d->name, strlen(d->name));
    for (size_t n = 0; n < file->build_id_size; n++)
        snprintf(i->build_id + 2 * n, 3, "%02x", file->build_id[n]);
    d->mappings = 0;
    add_image(d);
    add(d, NOVA_RESOURCE_POOL, file->written_pages, i->stack_start, d->stack / PAGE, rw);
    add(d, NOVA_RESOURCE_POOL, 0, i->pool_start, d->memory / PAGE, rw);
    at = i->pool_start + i->pool_size + PAGE;
    at = add_file(d, d->archive_file, at, &i->archive_start, &i->archive_size);
    at = add_file(d, d->vm.kernel_file, at, &i->kernel_start, &i->kernel_size);
    at = add_file(d, d->vm.initrd_file, at, &i->initrd_start, &i->initrd_size);
    if (d->vm.memory) {
        i->guest_start = align(at, d->vm.memory);
        i->guest_size = d->vm.memory;
        add(d, NOVA_RESOURCE_GUEST, 0, i->guest_start, i->guest_size / PAGE, rw);
        at = i->guest_start + i->guest_size + PAGE;
    }
    for (size_t n = 0; n < d->resource_count; n++) {
        i->interrupts += d->resources[n].kind == NOVA_RESOURCE_INTERRUPT;
        devices += d->resources[n].kind == NOVA_RESOURCE_DEVICE ? d->resources[n].count * PAGE : 0;
    }
    i->device_start = devices ? at : 0;
    return at + devices;
}
