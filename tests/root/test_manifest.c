/*
 * The manifest: a good one is accepted; directed mistakes are named; with any bit flipped (and the checksum
 * made right again), or cut off anywhere, it is refused or harmless, and never read beyond its end.
 *
 * Sources: manifest.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "manifest.h"
#include "tap.h"

#include <nova/abi/cap.h>
#include <nova/start.h>
#include <stdlib.h>
#include <string.h>

#define STACKS 96

/* A manifest with two domains: both have services, and use each other's. The second is a virtual machine. */
static struct file {
    struct nova_manifest head;
    struct nova_manifest_domain domain[2];
    struct nova_manifest_service service[2];
    struct nova_manifest_connect connect[3];
    struct nova_manifest_resource resource[9];
    char stacks[STACKS];
} file;

/* Without the padding at the end of the structure. */
#define FILE_SIZE (offsetof(struct file, stacks) + STACKS)

static struct memory ram = {.range = {{0, 0xa0000}, {0x100000, 0x20000000}}, .ranges = 2};
static const struct boot_module module[] = {{.start = 0x1000, .end = 0x4234}, {.end = 100}, {.end = 200}};
static struct machine machine = {.cpus = 4,
                                 .module = module,
                                 .modules = 3,
                                 .pins = 24,
                                 .pages = 2024,
                                 .kernel_pages = 500,
                                 .physical_end = 1UL << 40,
                                 .ram = &ram};

static uint32_t crc(const uint8_t *p, size_t size)
{
    uint32_t c = UINT32_MAX;

    while (size--) {
        c ^= *p++;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ 0xedb88320U : c >> 1;
    }
    return ~c;
}

static void seal(uint8_t *bytes, size_t size)
{
    struct nova_manifest head;
    uint32_t length;

    memcpy(&head, bytes, sizeof(head));
    head.checksum = 0;
    memcpy(bytes, &head, sizeof(head));
    length = head.size <= size ? head.size : (uint32_t)size;
    head.checksum = crc(bytes, length);
    memcpy(bytes, &head, sizeof(head));
}

static void make(void)
{
    memset(&file, 0, sizeof(file));
    file.head = (struct nova_manifest){.magic = NOVA_MANIFEST_MAGIC,
                                       .version = NOVA_MANIFEST_VERSION,
                                       .size = FILE_SIZE,
                                       .domains = 2,
                                       .services = 2,
                                       .connects = 3,
                                       .resources = 9,
                                       .stacks = STACKS,
                                       .modules = 3,
                                       .console = NOVA_MANIFEST_NONE,
                                       .until = 0,
                                       .at_exit = NOVA_AT_EXIT_POWEROFF};
    file.domain[0] = (struct nova_manifest_domain){.info = {.magic = NOVA_INFO_MAGIC,
                                                            .version = NOVA_INFO_VERSION,
                                                            .name = "first",
                                                            .stack_start = 0x403000,
                                                            .stack_end = 0x413000,
                                                            .pool_size = 600 << 12,
                                                            .pool_used = 21 << 12,
                                                            .cpus = 5,
                                                            .cpu = 2,
                                                            .threads = 8,
                                                            .priority = 20,
                                                            .flags = NOVA_DOMAIN_FPU,
                                                            .build_id = "0123456789abcdef"},
                                                   .entry = 0x400123,
                                                   .kernel_pages = 300,
                                                   .stack = 0,
                                                   .stack_size = 64,
                                                   .backoff_ms = 10,
                                                   .restarts = 3,
                                                   .policy = NOVA_POLICY_RESTART,
                                                   .image = 0};
    file.domain[1] = file.domain[0];
    memset(file.domain[1].info.name, 0, NOVA_NAME_MAX);
    strcpy(file.domain[1].info.name, "second-2_x");
    file.domain[1].info.pool_size = 400 << 12;
    file.domain[1].info.guest_size = 1024 << 12;
    file.domain[1].info.vcpus = 2;
    file.domain[1].kernel_pages = 200;
    file.domain[1].stack = 64;
    file.domain[1].stack_size = 32;
    file.service[0] = (struct nova_manifest_service){.name = "one", .domain = 0};
    file.service[1] = (struct nova_manifest_service){.name = "two", .domain = 1};
    file.connect[0] = (struct nova_manifest_connect){.name = "two", .domain = 0, .service = 1, .sessions = 1};
    file.connect[1] =
        (struct nova_manifest_connect){.name = "other", .domain = 0, .service = 1, .sessions = 64};
    file.connect[2] = (struct nova_manifest_connect){.name = "two", .domain = 1, .service = 0, .sessions = 2};
    file.resource[0] =
        (struct nova_manifest_resource){.kind = NOVA_RESOURCE_PORTS, .first = 0x3f8, .count = 8};
    file.resource[1] = (struct nova_manifest_resource){
        .domain = 1, .kind = NOVA_RESOURCE_PORTS, .first = 0x400, .count = 0xfc00};
    file.resource[2] = (struct nova_manifest_resource){
        .domain = 1, .kind = NOVA_RESOURCE_INTERRUPT, .flags = 2, .first = 23, .count = 1};
    file.resource[3] = (struct nova_manifest_resource){.address = 0xa00000,
                                                       .domain = 1,
                                                       .kind = NOVA_RESOURCE_DEVICE,
                                                       .flags = NOVA_MEM_R | NOVA_MEM_W,
                                                       .first = 0xfed00,
                                                       .count = 2};
    file.resource[4] = (struct nova_manifest_resource){
        .address = 0x400000, .kind = NOVA_RESOURCE_MODULE, .count = 4, .flags = NOVA_MEM_R | NOVA_MEM_XU};
    file.resource[5] = (struct nova_manifest_resource){.address = 0x404000,
                                                       .kind = NOVA_RESOURCE_POOL,
                                                       .first = 1,
                                                       .count = 5,
                                                       .contents = 0x2000,
                                                       .size = 0x1234,
                                                       .flags = NOVA_MEM_R | NOVA_MEM_W};
    file.resource[6] = file.resource[5];
    file.resource[6].domain = 1;
    file.resource[7] = (struct nova_manifest_resource){.address = NOVA_WINDOW_ADDR - 0x400000,
                                                       .count = 1024,
                                                       .domain = 1,
                                                       .kind = NOVA_RESOURCE_GUEST,
                                                       .flags = NOVA_MEM_R | NOVA_MEM_W};
    file.resource[8] = (struct nova_manifest_resource){.address = 0x800000,
                                                       .count = 1,
                                                       .domain = 1,
                                                       .kind = NOVA_RESOURCE_MODULE,
                                                       .module = 2,
                                                       .flags = NOVA_MEM_R};
    seal((uint8_t *)&file, FILE_SIZE);
}

/* Checks a copy of exactly this size, so that the sanitizer sees every access beyond it. */
static const char *check_bytes(const uint8_t *bytes, size_t size, struct manifest *m, uint8_t **copy)
{
    *copy = malloc(size ? size : 1);
    if (!*copy)
        abort();
    memcpy(*copy, bytes, size);
    return manifest_check(*copy, size, &machine, m);
}

/* All that root relies on. */
static void check_harmless(const struct manifest *m, size_t size)
{
    const struct nova_manifest *h = m->head;
    uint64_t pages = 0, kernel_pages = 0;

    CHECK((const char *)h + size >= m->stacks + h->stacks);
    CHECK(h->domains >= 1 && h->domains <= NOVA_DOMAINS_MAX && h->modules <= machine.modules);
    CHECK(h->console == NOVA_MANIFEST_NONE || h->console < h->domains);
    CHECK(h->until == NOVA_MANIFEST_NONE || h->until < h->domains);
    for (unsigned i = 0; i < h->domains; i++) {
        const struct nova_manifest_domain *d = &m->domain[i];
        const struct nova_info *info = &d->info;

        CHECK(memchr(info->name, 0, NOVA_NAME_MAX) && info->name[0] && info->version == NOVA_INFO_VERSION);
        CHECK(d->image < h->modules && memchr(info->build_id, 0, sizeof(info->build_id)));
        CHECK(info->vcpus <= NOVA_VCPUS_MAX && info->guest_size % 0x200000 == 0 &&
              !info->vcpus == !info->guest_size);
        CHECK(!info->vcpus || info->priority > 1);
        CHECK(info->cpus && !(info->cpus >> machine.cpus) && info->cpus >> info->cpu & 1);
        CHECK(info->priority && info->priority <= PRIORITY_MAX && d->policy <= NOVA_POLICY_HALT);
        CHECK(info->threads && info->threads <= NOVA_UTCB_SLOTS);
        CHECK(info->pool_used <= info->pool_size && info->stack_end - info->stack_start <= info->pool_used);
        CHECK((uint64_t)d->stack + d->stack_size <= h->stacks && d->stack_size >= 32 &&
              d->stack_size % 16 == 0 && d->stack_size <= info->stack_end - info->stack_start);
        pages += info->pool_size / 4096 + info->guest_size / 4096;
        kernel_pages += d->kernel_pages;
    }
    for (unsigned i = 0; i < h->services; i++)
        CHECK(m->service[i].domain < h->domains && (!i || m->service[i].domain >= m->service[i - 1].domain));
    CHECK(pages <= machine.pages && kernel_pages <= machine.kernel_pages);
    for (unsigned i = 0; i < h->connects; i++)
        CHECK(m->connect[i].service < h->services &&
              m->service[m->connect[i].service].domain != m->connect[i].domain);
    for (unsigned i = 0; i < h->resources; i++) {
        const struct nova_manifest_resource *r = &m->resource[i];
        const struct nova_manifest_domain *d = &m->domain[r->domain];
        const struct boot_module *file_module = &module[r->module];
        const uint64_t limit[] = {0x10000,
                                  machine.pins,
                                  machine.physical_end / 4096,
                                  d->info.pool_size / 4096,
                                  d->info.guest_size / 4096,
                                  (file_module->end - file_module->start + 4095) / 4096};
        uint64_t end = r->first + r->count, bytes = r->count * 4096;

        CHECK(r->domain < h->domains && r->module < h->modules && r->kind < 6);
        CHECK(end > r->first && end <= limit[r->kind]);
        CHECK(r->kind != NOVA_RESOURCE_DEVICE || r->first >= 0x20000 || (r->first >= 0xa0 && end <= 0x100));
        CHECK(!r->size || (r->kind == NOVA_RESOURCE_POOL && r->size <= bytes &&
                           (uint64_t)r->contents + r->size <= module[d->image].end - module[d->image].start));
        if (r->kind < NOVA_RESOURCE_DEVICE)
            continue;
        CHECK(r->address % 4096 == 0 && r->address >= NOVA_IMAGE_ADDR &&
              r->address + bytes <= NOVA_WINDOW_ADDR && r->address + bytes > r->address);
        CHECK(r->flags & NOVA_MEM_R && r->flags < 8 && (r->flags & 6) != 6);
        CHECK(!(r->flags & NOVA_MEM_W) || r->kind != NOVA_RESOURCE_MODULE);
    }
}

static void test_good(void)
{
    struct manifest m;
    const char *error;
    uint8_t *copy;

    make();
    error = check_bytes((const uint8_t *)&file, FILE_SIZE, &m, &copy);
    if (ok(!error, "a good manifest is accepted%s%s", error ? ": " : "", error ? error : "")) {
        check_harmless(&m, FILE_SIZE);
        ok(!strcmp(m.domain[1].info.name, "second-2_x") && !strcmp(m.service[1].name, "two") &&
               m.resource[3].count == 2,
           "its tables are found");
        ok_checks("it is what root relies on");
    }
    free(copy);
}

static void test_flips(void)
{
    unsigned accepted = 0, refused = 0;

    for (size_t at = 0; at < FILE_SIZE; at++)
        for (unsigned bit = 0; bit < 9; bit++) {
            uint8_t bytes[sizeof(file)], *copy;
            struct manifest m;

            make();
            memcpy(bytes, &file, sizeof(file));
            bytes[at] = (uint8_t)(bytes[at] ^ (bit == 8 ? 0xffU : 1U << bit));
            seal(bytes, FILE_SIZE);
            if (check_bytes(bytes, FILE_SIZE, &m, &copy)) {
                refused++;
            } else {
                accepted++;
                check_harmless(&m, FILE_SIZE);
            }
            free(copy);
        }
    ok_checks("every bit flipped: %u refused, %u harmless", refused, accepted);
    make();
    for (size_t at = 0; at < FILE_SIZE; at++) {
        struct manifest m;
        uint8_t *copy;

        ((uint8_t *)&file)[at] ^= 4;
        CHECK(check_bytes((uint8_t *)&file, FILE_SIZE, &m, &copy));
        ((uint8_t *)&file)[at] ^= 4;
        free(copy);
    }
    ok_checks("with the checksum as it was, all of them are refused");
}

static void test_cut_off(void)
{
    for (size_t size = 0; size < FILE_SIZE; size++)
        for (unsigned adjust = 0; adjust < 2; adjust++) {
            uint8_t bytes[sizeof(file)], *copy;
            uint32_t length = (uint32_t)size;
            struct manifest m;

            make();
            memcpy(bytes, &file, sizeof(file));
            if (adjust && size >= sizeof(struct nova_manifest)) {
                memcpy(bytes + offsetof(struct nova_manifest, size), &length, 4);
                seal(bytes, size);
            }
            CHECK(check_bytes(bytes, size, &m, &copy));
            free(copy);
        }
    ok_checks("cut off anywhere, it is refused");
}

/* Numbers that are often wrong, in place of any two bytes. */
static void test_numbers(void)
{
    static const uint16_t number[] = {0,   1,   2,   3,   4,      63,     64,     65,    127,
                                      128, 129, 255, 256, 0x7fff, 0x8000, 0xfffe, 0xffff};
    uint64_t state = 1;

    for (unsigned i = 0; i < 300000; i++) {
        uint8_t bytes[sizeof(file)], *copy;
        struct manifest m;

        make();
        memcpy(bytes, &file, sizeof(file));
        for (uint64_t n = 1 + tap_random(&state) % 4; n; n--)
            memcpy(bytes + tap_random(&state) % (FILE_SIZE / 2) * 2,
                   &number[tap_random(&state) % (sizeof(number) / 2)], 2);
        seal(bytes, FILE_SIZE);
        if (!check_bytes(bytes, FILE_SIZE, &m, &copy))
            check_harmless(&m, FILE_SIZE);
        free(copy);
    }
    ok_checks("wrong numbers are refused or harmless");
}

#define MISTAKE(change, message)                                                                             \
    do {                                                                                                     \
        struct manifest m;                                                                                   \
        const char *error;                                                                                   \
        make();                                                                                              \
        change;                                                                                              \
        seal((uint8_t *)&file, FILE_SIZE);                                                                   \
        error = manifest_check(&file, FILE_SIZE, &machine, &m);                                              \
        ok(error &&strstr(error, message), "%s: %s", #change, error ? error : "accepted");                   \
    } while (0)

static void test_mistakes(void)
{
    struct nova_manifest_domain *d = file.domain;
    struct nova_info *i = &file.domain[0].info, *vm = &file.domain[1].info;
    struct nova_manifest_resource *r = file.resource + 4; /* memory */

    MISTAKE(file.head.magic++, "not a manifest");
    MISTAKE(file.head.version++, "another version");
    MISTAKE(file.head.modules = 4, "modules are missing");
    MISTAKE(file.head.modules = 2, "module is missing");
    MISTAKE(file.head.console = 2, "header");
    MISTAKE(file.head.until = 7, "header");
    MISTAKE(file.head.at_exit = 3, "header");
    MISTAKE(file.head.stacks--, "size");
    MISTAKE(file.head.resources--, "size");
    MISTAKE(i->version++, "another version");
    MISTAKE(i->name[0] = 0, "name");
    MISTAKE(memset(i->name, 'a', NOVA_NAME_MAX), "name");
    MISTAKE(d[0].image = 3, "image");
    MISTAKE(memset(i->build_id, 'a', sizeof(i->build_id)), "image");
    MISTAKE(vm->vcpus = 9, "virtual machine");
    MISTAKE(vm->vcpus = 0, "virtual machine");
    MISTAKE(i->vcpus = 1, "virtual machine");
    MISTAKE(vm->guest_size -= 4096, "virtual machine");
    MISTAKE(vm->guest_size += 0x200000, "more memory than there is");
    MISTAKE(vm->priority = 1, "virtual machine");
    MISTAKE(d[0].policy = 3, "policy");
    MISTAKE(i->flags = 4, "flag");
    MISTAKE(i->priority = 101, "priority");
    MISTAKE(i->priority = 0, "priority");
    MISTAKE(i->cpus = 0, "CPUs");
    MISTAKE(i->cpus = 16, "CPUs");
    MISTAKE(i->cpu = 1, "CPUs");
    MISTAKE(i->cpu = 64, "CPUs");
    MISTAKE(i->threads = 0, "threads");
    MISTAKE(i->threads = 481, "threads");
    MISTAKE(i->pool_size += 4096, "more memory than there is");
    MISTAKE(i->pool_size = 20 << 12, "memory");
    MISTAKE(i->pool_size++, "memory");
    MISTAKE(i->pool_used = 15 << 12, "memory");
    MISTAKE(i->stack_end = 0, "memory");
    MISTAKE(d[0].kernel_pages = 0, "memory");
    MISTAKE(d[1].kernel_pages = 201, "more memory than there is");
    MISTAKE(d[0].stack_size = 56, "stack");
    MISTAKE(d[0].stack_size = 16, "stack");
    MISTAKE(d[0].stack_size = 112, "stack");
    MISTAKE(d[1].stack = 80, "stack");
    MISTAKE(d[0].stack = UINT32_MAX, "stack");
    MISTAKE(file.service[1].domain = 2, "belongs to no domain");
    MISTAKE(file.service[0].domain = 2, "wrong place");
    MISTAKE(memset(file.service[1].name, 'a', NOVA_NAME_MAX), "no name");
    MISTAKE(file.connect[0].service = 2, "connection");
    MISTAKE(file.connect[0].service = 0, "connection");
    MISTAKE(file.connect[0].domain = 2, "connection");
    MISTAKE(file.connect[0].sessions = 0, "connection");
    MISTAKE(file.connect[0].sessions = 65, "connection");
    MISTAKE(file.connect[1].name[0] = 0, "no name");
    MISTAKE(file.resource[0].domain = 2, "belongs to no domain");
    MISTAKE(file.resource[0].kind = 6, "no kind");
    MISTAKE(file.resource[0].kind = NOVA_MANIFEST_NONE, "no kind");
    MISTAKE(file.resource[0].count = 9, "twice");
    MISTAKE(file.resource[0].count = 0, "not there");
    MISTAKE(file.resource[1].count++, "not there");
    MISTAKE(file.resource[2].first = 24, "not there");
    MISTAKE((file.resource[2].first = 22, file.resource[2].count = 2), "not there");
    MISTAKE(file.resource[2].flags = NOVA_MANIFEST_NONE, "flags");
    MISTAKE(file.resource[1].flags = 1, "flags");
    MISTAKE(file.resource[3].first = 0x1ffff, "memory of the machine");
    MISTAKE(file.resource[3].count = UINT64_MAX, "not there");
    MISTAKE(file.resource[3].first = UINT64_MAX, "not there");
    MISTAKE(file.resource[3].address = 0, "place");
    MISTAKE(file.resource[3].flags = 0, "flags");
    MISTAKE(file.resource[3].flags = NOVA_MEM_R | NOVA_MEM_XU, "flags");
    MISTAKE(file.resource[3].size = 1, "contents");
    MISTAKE(r[0].domain = 2, "belongs to no domain");
    MISTAKE(r[0].module = 3, "module is missing");
    MISTAKE(r[0].address = 0x3ff000, "place");
    MISTAKE(r[0].address = 0x400100, "place");
    MISTAKE(r[0].first = 1, "not there");
    MISTAKE(r[0].first = UINT64_MAX, "not there");
    MISTAKE(r[0].count = 0, "not there");
    MISTAKE(r[0].count = 5, "not there");
    MISTAKE(r[1].first = 596, "not there");
    MISTAKE((r[2].kind = NOVA_RESOURCE_GUEST), "contents");
    MISTAKE(r[3].address += 4096, "place");
    MISTAKE(r[3].address = 1UL << 63, "place");
    MISTAKE(r[3].domain = 0, "not there");
    MISTAKE(r[3].count = UINT32_MAX, "not there");
    MISTAKE(r[4].count = 2, "not there");
    MISTAKE(r[0].flags = NOVA_MEM_XU, "flags");
    MISTAKE(r[0].flags = 7, "flags");
    MISTAKE(r[0].flags = NOVA_MEM_R | NOVA_MEM_W, "flags");
    MISTAKE(r[1].flags = NOVA_MEM_R | NOVA_MEM_XU, "flags");
    MISTAKE(r[0].flags = 9, "flags");
    MISTAKE(r[0].size = 1, "contents");
    MISTAKE(r[1].size = 0x1235, "contents");
    MISTAKE(r[1].contents = UINT32_MAX, "contents");
    MISTAKE(r[1].count = 1, "contents");
}

int main(void)
{
    test_good();
    test_flips();
    test_cut_off();
    test_numbers();
    test_mistakes();
    return tap_done();
}
