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
    struct nova_manifest_resource resource[4];
    struct nova_manifest_segment segment[4];
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
                                       .resources = 4,
                                       .stacks = STACKS,
                                       .segments = 4,
                                       .modules = 3,
                                       .console = NOVA_MANIFEST_NONE,
                                       .exit_domain = 0,
                                       .at_exit = NOVA_AT_EXIT_POWEROFF};
    file.domain[0] = (struct nova_manifest_domain){.name = "first",
                                                   .image = 0,
                                                   .archive = 2,
                                                   .policy = NOVA_POLICY_RESTART,
                                                   .priority = 20,
                                                   .restarts = 3,
                                                   .flags = NOVA_DOMAIN_FPU,
                                                   .backoff_ms = 10,
                                                   .cpus = 5,
                                                   .pages = 600,
                                                   .kernel_pages = 300,
                                                   .stack_pages = 16,
                                                   .threads = 8,
                                                   .stack = 0,
                                                   .stack_size = 64,
                                                   .random = 32,
                                                   .build_id_size = 20,
                                                   .entry = 0x400123,
                                                   .segment = 0,
                                                   .segments = 2,
                                                   .connect = 0,
                                                   .connects = 2,
                                                   .resource = 0,
                                                   .resources = 1,
                                                   .service = 0,
                                                   .services = 1,
                                                   .kernel = NOVA_MANIFEST_NONE,
                                                   .initrd = NOVA_MANIFEST_NONE};
    file.domain[1] = file.domain[0];
    memset(file.domain[1].name, 0, NOVA_NAME_MAX);
    strcpy(file.domain[1].name, "second-2_x");
    file.domain[1].archive = NOVA_MANIFEST_NONE;
    file.domain[1].pages = 400;
    file.domain[1].guest_pages = 1024;
    file.domain[1].vcpus = 2;
    file.domain[1].kernel = 1;
    file.domain[1].initrd = 2;
    file.domain[1].kernel_pages = 200;
    file.domain[1].stack = 64;
    file.domain[1].stack_size = 32;
    file.domain[1].random = 0;
    file.domain[1].segment = 2;
    file.domain[1].connect = 2;
    file.domain[1].connects = 1;
    file.domain[1].resource = 1;
    file.domain[1].resources = 3;
    file.domain[1].service = 1;
    file.service[0] = (struct nova_manifest_service){.name = "one", .domain = 0};
    file.service[1] = (struct nova_manifest_service){.name = "two", .domain = 1};
    file.connect[0] = (struct nova_manifest_connect){.name = "two", .domain = 0, .service = 1, .sessions = 1};
    file.connect[1] =
        (struct nova_manifest_connect){.name = "other", .domain = 0, .service = 1, .sessions = 64};
    file.connect[2] = (struct nova_manifest_connect){.name = "two", .domain = 1, .service = 0, .sessions = 2};
    file.resource[0] = (struct nova_manifest_resource){0, NOVA_RESOURCE_PORTS, 0, 0x3f8, 8};
    file.resource[1] = (struct nova_manifest_resource){1, NOVA_RESOURCE_PORTS, 0, 0x400, 0xfc00};
    file.resource[2] = (struct nova_manifest_resource){1, NOVA_RESOURCE_INTERRUPT, 2, 23, 1};
    file.resource[3] = (struct nova_manifest_resource){1, NOVA_RESOURCE_MEMORY, 0, 0xfed00, 2};
    file.segment[0] = (struct nova_manifest_segment){0x400000, 0, 0x1fff, 2, 0, NOVA_MEM_R | NOVA_MEM_XU};
    file.segment[1] = (struct nova_manifest_segment){0x402000, 0x2000, 0x1234, 5, 0, NOVA_MEM_R | NOVA_MEM_W};
    file.segment[2] = (struct nova_manifest_segment){0x400000, 0x3000, 0x234, 1, 1, NOVA_MEM_R};
    file.segment[3] = (struct nova_manifest_segment){0x500000, 0, 0, 1, 1, NOVA_MEM_R | NOVA_MEM_W};
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
    CHECK(h->exit_domain == NOVA_MANIFEST_NONE || h->exit_domain < h->domains);
    for (unsigned i = 0; i < h->domains; i++) {
        const struct nova_manifest_domain *d = &m->domain[i];

        CHECK(memchr(d->name, 0, NOVA_NAME_MAX) && d->name[0]);
        CHECK(d->image < h->modules && (d->archive == NOVA_MANIFEST_NONE || d->archive < h->modules));
        CHECK((d->kernel == NOVA_MANIFEST_NONE || d->kernel < h->modules) &&
              (d->initrd == NOVA_MANIFEST_NONE || d->initrd < h->modules));
        CHECK(d->vcpus <= NOVA_VCPUS_MAX && d->guest_pages % 512 == 0 && !d->vcpus == !d->guest_pages);
        CHECK(!d->vcpus || d->priority > 1);
        CHECK(d->cpus && !(d->cpus >> machine.cpus));
        CHECK(d->priority && d->priority <= PRIORITY_MAX && d->policy <= NOVA_POLICY_HALT);
        CHECK(d->stack_pages && d->stack_pages <= d->pages && d->threads && d->threads <= NOVA_UTCB_SLOTS);
        CHECK((uint64_t)d->stack + d->stack_size <= h->stacks && d->random + 16UL + 16 <= d->stack_size &&
              d->stack_size % 16 == 0 && d->random % 8 == 0 && d->stack_size <= d->stack_pages * 4096UL);
        CHECK(d->connect + d->connects <= h->connects && d->resource + d->resources <= h->resources &&
              d->service + d->services <= h->services && d->segment + d->segments <= h->segments);
        CHECK(d->segments && d->build_id_size <= 32);
        for (unsigned n = d->segment; n < d->segment + (unsigned)d->segments; n++) {
            const struct nova_manifest_segment *s = &m->segment[n];
            uint64_t end = s->address + s->pages * 4096UL,
                     file_size = module[d->image].end - module[d->image].start;

            CHECK(s->domain == i && s->address % 4096 == 0 && s->offset % 4096 == 0 &&
                  s->address >= NOVA_IMAGE_ADDR && end <= NOVA_IMAGE_END && end > s->address);
            CHECK((uint64_t)s->offset + s->size <= file_size && s->size <= s->pages * 4096UL);
            CHECK(s->perm & NOVA_MEM_W || s->offset + s->pages * 4096UL <= ((file_size + 4095) & ~4095UL));
            CHECK(s->perm & NOVA_MEM_R && s->perm < 8 && (s->perm & 6) != 6);
            CHECK(n == d->segment || s->address >= s[-1].address + s[-1].pages * 4096UL);
        }
        for (unsigned n = 0; n < d->connects; n++)
            CHECK(m->connect[d->connect + n].domain == i);
        for (unsigned n = 0; n < d->resources; n++)
            CHECK(m->resource[d->resource + n].domain == i);
        for (unsigned n = 0; n < d->services; n++)
            CHECK(m->service[d->service + n].domain == i);
        pages += (uint64_t)d->pages + d->guest_pages;
        kernel_pages += d->kernel_pages;
    }
    CHECK(pages <= machine.pages && kernel_pages <= machine.kernel_pages);
    for (unsigned i = 0; i < h->connects; i++)
        CHECK(m->connect[i].service < h->services &&
              m->service[m->connect[i].service].domain != m->connect[i].domain);
    for (unsigned i = 0; i < h->resources; i++) {
        const struct nova_manifest_resource *r = &m->resource[i];
        uint64_t end = r->first + r->count;

        CHECK(end > r->first);
        CHECK(r->kind != NOVA_RESOURCE_PORTS || end <= 0x10000);
        CHECK(r->kind != NOVA_RESOURCE_INTERRUPT || end <= machine.pins);
        CHECK(r->kind != NOVA_RESOURCE_MEMORY || r->first >= 0x20000 || (r->first >= 0xa0 && end <= 0x100));
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
        ok(m.domain[1].services == 1 && !strcmp(m.service[1].name, "two") && m.resource[3].count == 2,
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

    MISTAKE(file.head.magic++, "not a manifest");
    MISTAKE(file.head.version++, "another version");
    MISTAKE(file.head.modules = 4, "modules are missing");
    MISTAKE(file.head.console = 2, "header");
    MISTAKE(file.head.exit_domain = 7, "header");
    MISTAKE(file.head.at_exit = 3, "header");
    MISTAKE(file.head.stacks--, "size");
    MISTAKE(file.head.segments--, "size");
    MISTAKE(strcpy(d[1].name, "first"), "name");
    MISTAKE(d[0].name[0] = '1', "name");
    MISTAKE(d[0].name[2] = ']', "name");
    MISTAKE(memset(d[0].name, 'a', NOVA_NAME_MAX), "name");
    MISTAKE(d[0].image = 3, "image");
    MISTAKE(d[1].kernel = 3, "image");
    MISTAKE(d[1].initrd = 3, "image");
    MISTAKE(d[1].vcpus = 9, "virtual machine");
    MISTAKE(d[1].vcpus = 0, "virtual machine");
    MISTAKE(d[0].vcpus = 1, "virtual machine");
    MISTAKE(d[1].guest_pages = 1023, "virtual machine");
    MISTAKE(d[1].guest_pages = 1536, "more memory than there is");
    MISTAKE(d[1].priority = 1, "virtual machine");
    MISTAKE(d[1].reserved = 1, "flag");
    MISTAKE(d[0].policy = 3, "policy");
    MISTAKE(d[0].flags = 4, "flag");
    MISTAKE(d[0].priority = 101, "priority");
    MISTAKE(d[0].priority = 0, "priority");
    MISTAKE(d[0].cpus = 0, "CPUs");
    MISTAKE(d[0].cpus = 16, "CPUs");
    MISTAKE(d[0].threads = 0, "threads");
    MISTAKE(d[0].pages = 601, "more memory than there is");
    MISTAKE(d[0].pages = 15, "memory");
    MISTAKE(d[1].kernel_pages = 201, "more memory than there is");
    MISTAKE(d[0].stack_size = 56, "stack");
    MISTAKE(d[0].stack_size = 16, "stack");
    MISTAKE(d[0].stack_size = 112, "stack");
    MISTAKE(d[1].stack = 80, "stack");
    MISTAKE(d[0].stack = UINT32_MAX, "stack");
    MISTAKE(d[0].random = 40, "stack");
    MISTAKE(d[0].random = 4, "stack");
    MISTAKE(d[0].build_id_size = 33, "image");
    MISTAKE(d[0].segments = 0, "image");
    MISTAKE(d[0].segments = 3, "entries of another");
    MISTAKE(file.segment[2].domain = 0, "entries of another");
    MISTAKE(file.segment[0].address = 0x3ff000, "place");
    MISTAKE(file.segment[0].address = 0x400100, "place");
    MISTAKE(file.segment[1].address = 0x401000, "place");
    MISTAKE(file.segment[1].address = NOVA_IMAGE_END - 0x1000, "place");
    MISTAKE(file.segment[1].address = 1UL << 63, "place");
    MISTAKE(file.segment[1].pages = 0, "place");
    MISTAKE(file.segment[1].pages = UINT32_MAX, "place");
    MISTAKE(file.segment[0].offset = 0x800, "module");
    MISTAKE(file.segment[1].size = 0x1235, "module");
    MISTAKE(file.segment[1].offset = 0x5000, "module");
    MISTAKE(file.segment[2].size = 0, "module");
    MISTAKE(file.segment[2].pages = 2, "module");
    MISTAKE(file.segment[0].pages = 1, "module");
    MISTAKE(file.segment[0].perm = NOVA_MEM_XU, "permissions");
    MISTAKE(file.segment[0].perm = 7, "permissions");
    MISTAKE(file.segment[0].perm = 9, "permissions");
    MISTAKE(d[0].connects = 3, "entries of another");
    MISTAKE(d[1].resource = 0, "entries of another");
    MISTAKE(d[0].services = 2, "entries of another");
    MISTAKE(d[1].services = 0, "no domain");
    MISTAKE(file.service[1].domain = 2, "entries of another");
    MISTAKE(strcpy(file.service[1].name, "one"), "service has no name");
    MISTAKE(file.connect[0].service = 2, "connection");
    MISTAKE(file.connect[0].service = 0, "connection");
    MISTAKE(file.connect[0].sessions = 0, "connection");
    MISTAKE(memcpy(file.connect[1].name, "two\0\0", 5), "connection is broken");
    MISTAKE(file.resource[0].kind = 3, "not there");
    MISTAKE(file.resource[0].count = 9, "twice");
    MISTAKE(file.resource[0].count = 0, "not there");
    MISTAKE(file.resource[1].count++, "not there");
    MISTAKE(file.resource[2].first = 24, "not there");
    MISTAKE(file.resource[2].flags = NOVA_MANIFEST_NONE, "flags");
    MISTAKE(file.resource[3].first = 0x1ffff, "memory of the machine");
    MISTAKE(file.resource[3].count = UINT64_MAX, "not there");
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
