/*
 * Validation of the manifest. After it, all counts and indices are in range, all names and strings are ended,
 * and what the domains get exists and suffices: the rest of root need not check again.
 *
 * SPDX-License-Identifier: MIT
 */

#include "manifest.h"

#include <nova/abi/hypercall.h>
#include <nova/start.h>

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
    m->strings = (const char *)(m->resource + h->resources);
    end = (uint64_t)(m->strings - (const char *)h) + h->strings;
    return end == h->size ? NULL : "its tables do not fit its size";
}

/* A letter, then letters, digits, '-' and '_'; ended and filled up with 0. */
static bool name_valid(const char *name)
{
    unsigned n = 0;

    for (; n < NOVA_NAME_MAX && name[n]; n++) {
        char c = name[n], lower = (char)(c | 0x20);
        bool letter = lower >= 'a' && lower <= 'z';

        if (!letter && (!n || !((c >= '0' && c <= '9') || c == '-' || c == '_')))
            return false;
    }
    if (!n || n == NOVA_NAME_MAX)
        return false;
    while (n < NOVA_NAME_MAX)
        if (name[n++])
            return false;
    return true;
}

static bool same_name(const char *a, const char *b)
{
    return !__builtin_memcmp(a, b, NOVA_NAME_MAX);
}

static bool strings_valid(const struct manifest *m, uint32_t offset, uint32_t size)
{
    return offset <= m->head->strings && size <= m->head->strings - offset &&
           (!size || !m->strings[offset + size - 1]);
}

/* Whether all entries [first, first + count) of a table of `all` belong to the domain, and exist. */
#define OWNED(m, table, first, count, all, index)                                                            \
    owned(&(m)->table->domain, sizeof(*(m)->table), first, count, all, index)

static bool owned(const uint16_t *domain, size_t stride, unsigned first, unsigned count, unsigned all,
                  unsigned index)
{
    if (first > all || count > all - first)
        return false;
    for (unsigned i = first; i < first + count; i++)
        if (*(const uint16_t *)(const void *)((const char *)domain + i * stride) != index)
            return false;
    return true;
}

static const char *check_domain(const struct manifest *m, const struct machine *machine, unsigned index)
{
    const struct nova_manifest_domain *d = &m->domain[index];
    const struct nova_manifest *h = m->head;
    bool same = false;

    for (unsigned i = 0; i < index; i++)
        same |= same_name(d->name, m->domain[i].name);
    if (same || !name_valid(d->name))
        return "a domain has no name of its own";
    if (d->image >= h->modules || (d->archive != NOVA_MANIFEST_NONE && d->archive >= h->modules))
        return "a domain has no image";
    if (d->policy > NOVA_POLICY_HALT || d->flags & ~(uint32_t)(NOVA_DOMAIN_FPU | NOVA_DOMAIN_CONSOLE) ||
        d->reserved || !d->priority || d->priority > PRIORITY_MAX || !d->threads ||
        d->threads > NOVA_UTCB_SLOTS)
        return "a domain has a wrong policy, flag, priority or number of threads";
    if (!d->cpus || (machine->cpus < 64 && d->cpus >> machine->cpus))
        return "a domain wants CPUs that are not there";
    if (!d->stack_pages || d->stack_pages > d->pages || !d->kernel_pages)
        return "a domain has too little memory";
    if (!d->args_size || !strings_valid(m, d->args, d->args_size) || !strings_valid(m, d->env, d->env_size) ||
        (uint64_t)d->args_size + d->env_size > NOVA_STRINGS_MAX)
        return "a domain has broken arguments";
    if (!OWNED(m, connect, d->connect, d->connects, h->connects, index) ||
        !OWNED(m, resource, d->resource, d->resources, h->resources, index) ||
        !OWNED(m, service, d->service, d->services, h->services, index))
        return "a domain has entries of another one";
    return NULL;
}

static const char *check_services(const struct manifest *m)
{
    unsigned provided = 0, connected = 0, granted = 0;

    for (unsigned i = 0; i < m->head->services; i++) {
        bool same = false;

        for (unsigned j = 0; j < i; j++)
            same |= same_name(m->service[i].name, m->service[j].name);
        if (same || !name_valid(m->service[i].name))
            return "a service has no name of its own";
    }
    for (unsigned i = 0; i < m->head->connects; i++) {
        const struct nova_manifest_connect *c = &m->connect[i];
        bool same = false;

        for (unsigned j = i; j-- > 0 && m->connect[j].domain == c->domain;)
            same |= same_name(m->connect[j].name, c->name);
        if (same || !name_valid(c->name) || c->service >= m->head->services || !c->sessions ||
            c->sessions > NOVA_SESSIONS_MAX || m->service[c->service].domain == c->domain)
            return "a connection is broken, or has no name of its own";
    }
    for (unsigned i = 0; i < m->head->domains; i++) {
        provided += m->domain[i].services;
        connected += m->domain[i].connects;
        granted += m->domain[i].resources;
    }
    return provided == m->head->services && connected == m->head->connects && granted == m->head->resources
               ? NULL
               : "entries belong to no domain";
}

static bool is_ram(const struct memory *ram, uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < ram->ranges; i++)
        if (start < ram->range[i].end && end > ram->range[i].start)
            return true;
    return false;
}

static const char *check_resource(const struct nova_manifest_resource *r, const struct machine *machine)
{
    const uint64_t limit[] = {0x10000, machine->pins, machine->physical_end / PAGE_SIZE};
    uint64_t end = r->first + r->count;
    bool interrupt = r->kind == NOVA_RESOURCE_INTERRUPT;

    if (r->kind > NOVA_RESOURCE_MEMORY || end <= r->first || end > limit[r->kind] ||
        (interrupt && r->count != 1))
        return "a resource is not there";
    if (r->flags & ~(uint32_t)(interrupt ? NOVA_INT_LEVEL | NOVA_INT_LOW : 0))
        return "a resource has wrong flags";
    if (r->kind == NOVA_RESOURCE_MEMORY && is_ram(machine->ram, r->first * PAGE_SIZE, end * PAGE_SIZE))
        return "device memory is memory of the machine";
    return NULL;
}

static const char *check_resources(const struct manifest *m, const struct machine *machine)
{
    for (unsigned i = 0; i < m->head->resources; i++) {
        const struct nova_manifest_resource *r = &m->resource[i];
        const char *error = check_resource(r, machine);

        if (error)
            return error;
        for (unsigned j = 0; j < i; j++) {
            const struct nova_manifest_resource *o = &m->resource[j];

            if (o->kind == r->kind && o->first < r->first + r->count && r->first < o->first + o->count)
                return "a resource is given twice";
        }
    }
    return NULL;
}

const char *manifest_check(const void *file, size_t size, const struct machine *machine, struct manifest *m)
{
    const char *error = find_tables(file, size, m);
    uint64_t pages = 0, kernel_pages = 0;

    if (error)
        return error;
    if (m->head->modules > machine->modules)
        return "modules are missing";
    if ((m->head->console != NOVA_MANIFEST_NONE && m->head->console >= m->head->domains) ||
        (m->head->exit_domain != NOVA_MANIFEST_NONE && m->head->exit_domain >= m->head->domains) ||
        m->head->at_exit > NOVA_AT_EXIT_RESET || m->head->reserved)
        return "its header is wrong";
    for (unsigned i = 0; !error && i < m->head->domains; i++) {
        error = check_domain(m, machine, i);
        pages += m->domain[i].pages;
        kernel_pages += m->domain[i].kernel_pages;
    }
    if (!error && (pages > machine->pages || kernel_pages > machine->kernel_pages))
        error = "its domains want more memory than there is";
    if (!error)
        error = check_services(m);
    return error ? error : check_resources(m, machine);
}
