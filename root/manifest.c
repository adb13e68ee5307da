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

static const char foreign[] = "a domain has entries of another one, or entries belong to no domain";

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
        h->connects > CONNECTS_MAX || h->resources > RESOURCES_MAX || h->segments > SEGMENTS_MAX ||
        h->modules > NOVA_MODULES_MAX)
        return "it has too many entries, or no domain";

    m->head = h;
    m->domain = (const void *)(h + 1);
    m->service = (const void *)(m->domain + h->domains);
    m->connect = (const void *)(m->service + h->services);
    m->resource = (const void *)(m->connect + h->connects);
    m->segment = (const void *)(m->resource + h->resources);
    m->stacks = (const char *)(m->segment + h->segments);
    end = (uint64_t)(m->stacks - (const char *)h) + h->stacks;
    return end == h->size ? NULL : "its tables do not fit its size";
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A letter, then letters, digits, '-' and '_'; ended and filled up with 0. */
static bool name_valid(const char *name)
{
    bool valid = letter(name[0]) && !name[NOVA_NAME_MAX - 1];

    for (unsigned n = 1; n < NOVA_NAME_MAX; n++) {
        char c = name[n];

        valid &= !c || (name[n - 1] && (letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_'));
    }
    return valid;
}

/* Whether entries of a table, which begin with their names, have valid ones, all different. */
static bool names_valid(const void *table, size_t stride, unsigned count)
{
    const char *first = table, *end = first + count * stride;

    for (const char *name = first; name < end; name += stride) {
        if (!name_valid(name))
            return false;
        for (const char *other = first; other < name; other += stride)
            if (!__builtin_memcmp(name, other, NOVA_NAME_MAX))
                return false;
    }
    return true;
}

static const char *check_domain(const struct manifest *m, const struct machine *machine,
                                const struct nova_manifest_domain *d)
{
    const struct nova_manifest *h = m->head;

    const uint16_t optional[] = {d->archive, d->kernel, d->initrd};

    for (unsigned i = 0; i < 3; i++)
        if (d->image >= h->modules || (optional[i] != NOVA_MANIFEST_NONE && optional[i] >= h->modules))
            return "a domain has no image, or a file that is not there";
    if (d->vcpus > NOVA_VCPUS_MAX || !d->vcpus != !d->guest_pages || d->guest_pages % NOVA_GUEST_UNIT ||
        (d->vcpus && d->priority < 2))
        return "a virtual machine is broken";
    if (d->policy > NOVA_POLICY_HALT || d->flags & ~(uint32_t)(NOVA_DOMAIN_FPU | NOVA_DOMAIN_CONSOLE) ||
        d->reserved || d->reserved2 || !d->priority || d->priority > PRIORITY_MAX || !d->threads ||
        d->threads > NOVA_UTCB_SLOTS)
        return "a domain has a wrong policy, flag, priority or number of threads";
    if (!d->cpus || (machine->cpus < 64 && d->cpus >> machine->cpus))
        return "a domain wants CPUs that are not there";
    if (!d->stack_pages || d->stack_pages > d->pages || !d->kernel_pages)
        return "a domain has too little memory";
    if (d->stack > h->stacks || d->stack_size > h->stacks - d->stack || d->stack_size % 16 ||
        d->stack_size > d->stack_pages * PAGE_SIZE || d->stack_size < 32 || d->random > d->stack_size - 32 ||
        d->random % 8)
        return "a domain has a broken stack";
    if (d->build_id_size > sizeof(d->build_id) || !d->segments)
        return "a domain has a broken image";
    return NULL;
}

/* Domains, and what they want in all. */
static const char *check_domains(const struct manifest *m, const struct machine *machine)
{
    const struct nova_manifest *h = m->head;
    uint64_t pages = 0, kernel_pages = 0;
    unsigned services = 0, connects = 0, resources = 0, segments = 0;

    for (const struct nova_manifest_domain *d = m->domain; d < m->domain + h->domains; d++) {
        const char *error = check_domain(m, machine, d);

        if (error)
            return error;
        pages += (uint64_t)d->pages + d->guest_pages;
        kernel_pages += d->kernel_pages;
        services += d->services;
        connects += d->connects;
        resources += d->resources;
        segments += d->segments;
    }
    if (!names_valid(m->domain, sizeof(*m->domain), h->domains))
        return "a domain has no name of its own";
    if (pages > machine->pages || kernel_pages > machine->kernel_pages)
        return "its domains want more memory than there is";
    if (services != h->services || connects != h->connects || resources != h->resources ||
        segments != h->segments)
        return foreign;
    return NULL;
}

static bool overlap(uint64_t start, uint64_t end, uint64_t other_start, uint64_t other_end)
{
    return start < other_end && other_start < end;
}

static const char *check_resource(const struct manifest *m, const struct machine *machine, unsigned index)
{
    const uint64_t limit[] = {0x10000, machine->pins, machine->physical_end / PAGE_SIZE};
    const struct nova_manifest_resource *r = &m->resource[index], *o;
    uint64_t end = r->first + r->count;
    bool interrupt = r->kind == NOVA_RESOURCE_INTERRUPT;

    if (r->kind > NOVA_RESOURCE_MEMORY || end <= r->first || end > limit[r->kind] ||
        (interrupt && r->count != 1))
        return "a resource is not there";
    if (r->flags & ~(uint32_t)(interrupt ? NOVA_INT_LEVEL | NOVA_INT_LOW : 0))
        return "a resource has wrong flags";
    for (o = m->resource; o < r; o++)
        if (o->kind == r->kind && overlap(r->first, end, o->first, o->first + o->count))
            return "a resource is given twice";
    for (const struct range *ram = machine->ram->range; ram < machine->ram->range + machine->ram->ranges;
         ram++)
        if (r->kind == NOVA_RESOURCE_MEMORY &&
            overlap(r->first * PAGE_SIZE, end * PAGE_SIZE, ram->start, ram->end))
            return "device memory is memory of the machine";
    return NULL;
}

/* What is mapped of a module lies in it, apart from the rest of its last page; nothing is writable and executable. */
static const char *check_segment(const struct manifest *m, const struct machine *machine, unsigned index)
{
    const struct nova_manifest_segment *s = &m->segment[index];
    const struct nova_manifest_domain *d = &m->domain[s->domain];
    const struct boot_module *file = &machine->module[d->image];
    uint64_t bytes = s->pages * PAGE_SIZE, least = NOVA_IMAGE_ADDR;

    if (index > d->segment)
        least = s[-1].address + s[-1].pages * PAGE_SIZE;
    if (s->address % PAGE_SIZE || s->address < least || s->address > NOVA_IMAGE_END || !bytes ||
        bytes > NOVA_IMAGE_END - s->address)
        return "a segment has a wrong place";
    if (s->offset % PAGE_SIZE || (uint64_t)s->offset + s->size > file->end - file->start || s->size > bytes ||
        (!(s->perm & NOVA_MEM_W) && bytes - s->size >= PAGE_SIZE))
        return "a segment is not in its module";
    if (!(s->perm & NOVA_MEM_R) || s->perm > (NOVA_MEM_R | NOVA_MEM_XU) ||
        (s->perm & NOVA_MEM_W && s->perm & NOVA_MEM_XU))
        return "a segment has wrong permissions";
    return NULL;
}

/* Whether entry i of a table is one of those of the domain that it names. */
#define BELONGS(m, table, i)                                                                                 \
    ((m)->table[i].domain < (m)->head->domains &&                                                            \
     (i) - (m)->domain[(m)->table[i].domain].table < (m)->domain[(m)->table[i].domain].table##s)

/*
 * Entries of the tables. There are as many as domains have, and each is one of those of its domain: so no two
 * domains have the same one.
 */
static const char *check_entries(const struct manifest *m, const struct machine *machine)
{
    const char *error = NULL;

    for (unsigned i = 0; i < m->head->services; i++)
        if (!BELONGS(m, service, i))
            return foreign;
    for (unsigned i = 0; i < m->head->connects; i++) {
        const struct nova_manifest_connect *c = &m->connect[i];

        if (!BELONGS(m, connect, i))
            return foreign;
        if (c->service >= m->head->services || !c->sessions || c->sessions > NOVA_SESSIONS_MAX ||
            m->service[c->service].domain == c->domain)
            return "a connection is broken";
    }
    for (unsigned i = 0; !error && i < m->head->resources; i++)
        error = BELONGS(m, resource, i) ? check_resource(m, machine, i) : foreign;
    for (unsigned i = 0; !error && i < m->head->segments; i++)
        error = BELONGS(m, segment, i) ? check_segment(m, machine, i) : foreign;
    if (error)
        return error;
    if (!names_valid(m->service, sizeof(*m->service), m->head->services))
        return "a service has no name of its own";
    for (const struct nova_manifest_domain *d = m->domain; d < m->domain + m->head->domains; d++)
        if (!names_valid(m->connect + d->connect, sizeof(*m->connect), d->connects))
            return "a connection is broken, or has no name of its own";
    return NULL;
}

const char *manifest_check(const void *file, size_t size, const struct machine *machine, struct manifest *m)
{
    const char *error = find_tables(file, size, m);
    const struct nova_manifest *h = m->head;

    if (error)
        return error;
    if (h->modules > machine->modules)
        return "modules are missing";
    if ((h->console != NOVA_MANIFEST_NONE && h->console >= h->domains) ||
        (h->exit_domain != NOVA_MANIFEST_NONE && h->exit_domain >= h->domains) ||
        h->at_exit > NOVA_AT_EXIT_RESET || h->reserved)
        return "its header is wrong";
    error = check_domains(m, machine);
    return error ? error : check_entries(m, machine);
}
