/*
 * Writes the manifest (nova/manifest.h) of a checked system.
 *
 * The result depends on nothing but the system: no time, no path of the host, unused bytes are 0. Every
 * number has been checked against the width of its field.
 *
 * SPDX-License-Identifier: MIT
 */

#include "image.h"

#include <string.h>

#include <nova/abi/cap.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structures are written as they are");

uint32_t crc32_ieee(const uint8_t *data, size_t size)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xedb88320U & (0U - (crc & 1)));
    }
    return ~crc;
}

static void put_name(char *to, const char *name)
{
    memcpy(to, name, strlen(name));
}

static void put_domain(struct nova_manifest_domain *entry, const struct domain *d)
{
    bool restart = d->policy == NOVA_POLICY_RESTART;

    entry->info = d->info;
    entry->entry = d->image_file->entry;
    entry->kernel_pages = (uint32_t)pages_of(d->kernel_memory);
    entry->stack_size = (uint32_t)d->contents_size;
    entry->backoff_ms = restart ? d->backoff_ms : 0;
    entry->restarts = restart ? (uint16_t)d->restarts : 0;
    entry->policy = d->policy;
    entry->image = (uint16_t)d->image_file->module;
}

uint8_t *make_manifest(struct system *s, size_t *size)
{
    size_t connects = 0, resources = 0, stacks = 0, connect = 0, resource = 0, stack = 0;
    struct nova_manifest *head;
    struct nova_manifest_domain *domain;
    struct nova_manifest_service *service;
    struct nova_manifest_connect *c;
    struct nova_manifest_resource *r;

    for (size_t i = 0; i < s->domain_count; i++) {
        connects += s->domains[i].connection_count;
        make_layout(&s->domains[i], s->console_domain != NONE);
        make_stack(s, &s->domains[i]);
        resources += s->domains[i].resource_count + s->domains[i].mappings;
        stacks += s->domains[i].contents_size;
    }
    *size = sizeof(*head) + s->domain_count * sizeof(*domain) + s->service_count * sizeof(*service) +
            connects * sizeof(*c) + resources * sizeof(*r) + stacks;
    head = arena_get(&s->arena, *size);
    domain = (struct nova_manifest_domain *)(head + 1);
    service = (struct nova_manifest_service *)(domain + s->domain_count);
    c = (struct nova_manifest_connect *)(service + s->service_count);
    r = (struct nova_manifest_resource *)(c + connects);

    for (size_t i = 0; i < s->domain_count; i++) {
        const struct domain *d = &s->domains[i];
        uint64_t device = d->info.device_start;

        put_domain(&domain[i], d);
        domain[i].stack = (uint32_t)stack;
        memcpy((uint8_t *)(r + resources) + stack, d->contents, d->contents_size);
        stack += d->contents_size;
        for (size_t j = 0; j < d->mappings; j++, resource++) {
            r[resource] = d->mapping[j];
            r[resource].domain = (uint16_t)i;
        }
        for (size_t j = 0; j < d->connection_count; j++, connect++) {
            put_name(c[connect].name, d->connections[j].local);
            c[connect].domain = (uint16_t)i;
            c[connect].service = (uint16_t)d->connections[j].target;
            c[connect].sessions = (uint16_t)d->connections[j].sessions;
        }
        for (size_t j = 0; j < d->resource_count; j++, resource++) {
            r[resource] = (struct nova_manifest_resource){
                .domain = (uint16_t)i,
                .kind = d->resources[j].kind,
                .flags = (uint16_t)d->resources[j].flags,
                .first = d->resources[j].first,
                .count = d->resources[j].count,
            };
            if (d->resources[j].kind == NOVA_RESOURCE_DEVICE) {
                r[resource].address = device;
                r[resource].flags = NOVA_MEM_R | NOVA_MEM_W;
                device += d->resources[j].count * PAGE;
            }
        }
    }
    for (size_t i = 0; i < s->service_count; i++) {
        put_name(service[i].name, s->services[i]->name);
        service[i].domain = (uint16_t)s->services[i]->domain;
    }
    *head = (struct nova_manifest){
        .magic = NOVA_MANIFEST_MAGIC,
        .version = NOVA_MANIFEST_VERSION,
        .size = (uint32_t)*size,
        .domains = (uint16_t)s->domain_count,
        .services = (uint16_t)s->service_count,
        .connects = (uint16_t)connects,
        .resources = (uint16_t)resources,
        .stacks = (uint32_t)stacks,
        .modules = (uint16_t)s->file_count,
        .console = s->console_domain == NONE ? NOVA_MANIFEST_NONE : (uint16_t)s->console_domain,
        .until = s->until_domain == NONE ? NOVA_MANIFEST_NONE : (uint16_t)s->until_domain,
        .at_exit = s->at_exit,
    };
    head->checksum = crc32_ieee((const uint8_t *)head, *size);
    return (uint8_t *)head;
}
