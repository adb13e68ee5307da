/*
 * Validation of the manifest. After it, all counts and indices are in range, all names and strings are ended,
 * and what the domains get exists and suffices: the rest of root need not check again.
 *
 * SPDX-License-Identifier: MIT
 */

#include "manifest.h"

#include <nova/abi/cap.h>
#include <nova/abi/hypercall.h>
#include <nova/start.h>

static const char foreign[] = "an entry belongs to no domain, or is in the wrong place";
static const char nameless[] = "a service or connection has no name";

/* CRC-32 (IEEE 802.3) of the file, its checksum taken as 0. */
static uint32_t checksum(const uint8_t *file, size_t size)
{
    const size_t at = offsetof(struct nova_manifest, checksum);
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < size; i++) {
        crc ^= i - at < 4 ? 0U : file[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0);
    }
    return ~crc;
}

/* Finds the tables; their sizes must add up to the size of the manifest. */
static const char *find_tables(const void *file, size_t size, struct manifest *m)
{
    const struct nova_manifest *h = file;
    uint64_t end;

    if (size < sizeof(*h) || h->magic != NOVA_MANIFEST_MAGIC)
        return "it is not a manifest";
    if (h->version != NOVA_MANIFEST_VERSION)
        return "it is of another version";
    if (h->size < sizeof(*h) || h->size > size)
        return "it is cut off";
    if (h->checksum != checksum(file, h->size))
        return "its checksum is wrong";
    if (!h->domains || h->domains > NOVA_DOMAINS_MAX || h->services > NOVA_SERVICES_MAX ||
        h->connects > CONNECTS_MAX || h->resources > RESOURCES_MAX || h->modules > NOVA_MODULES_MAX)
        return "it has too many entries, or no domain";

    m->head = h;
    m->domain = (const void *)(h + 1);
    m->service = (const void *)(m->domain + h->domains);
    m->connect = (const void *)(m->service + h->services);
    m->resource = (const void *)(m->connect + h->connects);
    m->stacks = (const char *)(m->resource + h->resources);
    end = (uint64_t)(m->stacks - (const char *)h) + h->stacks;
    return end == h->size ? NULL : "its tables do not fit its size";
}

static bool is_name(const char *name)
{
    return *name && !name[NOVA_NAME_MAX - 1];
}

static const char *check_domain(const struct manifest *m, const struct machine *machine,
                                const struct nova_manifest_domain *d)
{
    const struct nova_manifest *h = m->head;
    const struct nova_info *i = &d->info;
    uint64_t stack = i->stack_end - i->stack_start;

    if (i->magic != NOVA_INFO_MAGIC || i->version != NOVA_INFO_VERSION || !is_name(i->name))
        return "a domain is of another version, or has no name";
    if (d->policy > NOVA_POLICY_HALT || i->flags & ~(uint32_t)(NOVA_DOMAIN_FPU | NOVA_DOMAIN_CONSOLE) ||
        !i->priority || i->priority > PRIORITY_MAX || !i->threads || i->threads > NOVA_UTCB_SLOTS)
        return "a domain has a wrong policy, flag, priority or number of threads";
    if (!i->cpus || (machine->cpus < 64 && i->cpus >> machine->cpus) || i->cpu >= 64 ||
        !(i->cpus & 1UL << i->cpu))
        return "a domain wants CPUs that are not there";
    if (i->vcpus > NOVA_VCPUS_MAX || !i->vcpus != !i->guest_size || i->guest_size % NOVA_GUEST_UNIT ||
        (i->vcpus && i->priority < 2))
        return "a virtual machine is broken";
    if (!d->kernel_pages || (i->pool_size | i->pool_used | stack) % PAGE_SIZE ||
        i->pool_used > i->pool_size || stack > i->pool_used)
        return "a domain has too little memory";
    if (d->stack > h->stacks || d->stack_size > h->stacks - d->stack || d->stack_size % 16 ||
        d->stack_size > stack || d->stack_size < 32)
        return "a domain has a broken stack";
    return d->image < h->modules && !i->build_id[sizeof(i->build_id) - 1] ? NULL : "a domain has no image";
}

/* Whether [from, from + count) lies in something of this size. */
static bool within(uint64_t from, uint64_t count, uint64_t size)
{
    return from <= size && count <= size - from;
}

static bool overlap(uint64_t start, uint64_t end, uint64_t other_start, uint64_t other_end)
{
    return start < other_end && other_start < end;
}

/* Ports, interrupts, device memory: nobody else has them, and device memory is no memory of the machine. */
static const char *check_exclusive(const struct manifest *m, const struct memory *ram,
                                   const struct nova_manifest_resource *r)
{
    uint64_t end = r->first + r->count;

    for (const struct nova_manifest_resource *o = m->resource; o < r; o++)
        if (o->kind == r->kind && overlap(r->first, end, o->first, o->first + o->count))
            return "a resource is given twice";
    for (const struct range *range = ram->range; range < ram->range + ram->ranges; range++)
        if (r->kind == NOVA_RESOURCE_DEVICE &&
            overlap(r->first * PAGE_SIZE, end * PAGE_SIZE, range->start, range->end))
            return "device memory is memory of the machine";
    return NULL;
}

static const char *check_resource(const struct manifest *m, const struct machine *machine,
                                  const struct nova_manifest_resource *r)
{
    const struct nova_manifest_domain *d = &m->domain[r->domain];
    const struct boot_module *image = &machine->module[d->image], *file = &machine->module[r->module];
    const unsigned rw = NOVA_MEM_R | NOVA_MEM_W;
    const unsigned flags[] = {0, NOVA_INT_LEVEL | NOVA_INT_LOW, rw, rw, rw, NOVA_MEM_R | NOVA_MEM_XU};
    uint64_t limit[] = {0x10000,
                        machine->pins,
                        machine->physical_end / PAGE_SIZE,
                        d->info.pool_size / PAGE_SIZE,
                        d->info.guest_size / PAGE_SIZE,
                        0};

    if (r->kind > NOVA_RESOURCE_MODULE || r->module >= m->head->modules)
        return "a resource is of no kind, or its module is missing";
    limit[NOVA_RESOURCE_MODULE] = (file->end - file->start + PAGE_SIZE - 1) / PAGE_SIZE;
    if (!r->count || !within(r->first, r->count, limit[r->kind]) ||
        (r->kind == NOVA_RESOURCE_INTERRUPT && r->count != 1))
        return "a resource is not there";
    if (r->flags & ~flags[r->kind] || (r->kind >= NOVA_RESOURCE_DEVICE && !(r->flags & NOVA_MEM_R)))
        return "a resource has wrong flags";
    if (r->kind >= NOVA_RESOURCE_DEVICE && (r->address % PAGE_SIZE || r->address < NOVA_IMAGE_ADDR ||
                                            !within(r->address, r->count * PAGE_SIZE, NOVA_WINDOW_ADDR)))
        return "memory is at a wrong place";
    if (r->size && (r->kind != NOVA_RESOURCE_POOL || r->size > r->count * PAGE_SIZE ||
                    !within(r->contents, r->size, image->end - image->start)))
        return "contents are not in their module";
    return r->kind <= NOVA_RESOURCE_DEVICE ? check_exclusive(m, machine->ram, r) : NULL;
}

/* Entries of the tables. */
static const char *check_entries(const struct manifest *m, const struct machine *machine)
{
    const struct nova_manifest *h = m->head;
    const char *error = NULL;

    for (const struct nova_manifest_service *s = m->service; s < m->service + h->services; s++)
        if (s->domain >= h->domains || (s > m->service && s->domain < s[-1].domain) || !is_name(s->name))
            error = is_name(s->name) ? foreign : nameless;
    for (const struct nova_manifest_connect *c = m->connect; c < m->connect + h->connects; c++)
        if (c->domain >= h->domains || c->service >= h->services || !c->sessions ||
            c->sessions > NOVA_SESSIONS_MAX || m->service[c->service].domain == c->domain ||
            !is_name(c->name))
            error = is_name(c->name) ? "a connection is broken" : nameless;
    for (unsigned i = 0; !error && i < h->resources; i++)
        error = m->resource[i].domain < h->domains ? check_resource(m, machine, &m->resource[i]) : foreign;
    return error;
}

const char *manifest_check(const void *file, size_t size, const struct machine *machine, struct manifest *m)
{
    const char *error = find_tables(file, size, m);
    const struct nova_manifest *h = m->head;
    uint64_t pages = 0, kernel_pages = 0;

    if (error)
        return error;
    if (h->modules > machine->modules)
        return "modules are missing";
    if ((h->console != NOVA_MANIFEST_NONE && h->console >= h->domains) ||
        (h->until != NOVA_MANIFEST_NONE && h->until >= h->domains) || h->at_exit > NOVA_AT_EXIT_RESET)
        return "its header is wrong";
    for (unsigned i = 0; !error && i < h->domains; i++) {
        const struct nova_manifest_domain *d = &m->domain[i];

        error = check_domain(m, machine, d);
        pages += d->info.pool_size / PAGE_SIZE + d->info.guest_size / PAGE_SIZE;
        kernel_pages += d->kernel_pages;
    }
    if (!error && (pages > machine->pages || kernel_pages > machine->kernel_pages))
        error = "its domains want more memory than there is";
    return error ? error : check_entries(m, machine);
}
