/*
 * What a system file means: resources and sums; and the order of all checks.
 *
 * After a check without errors the manifest can be written without further questions: all files are read, all
 * names are indices, everything fits. All errors are reported, each at the line that is to blame; what
 * follows from an error that was reported already is not.
 *
 * SPDX-License-Identifier: MIT
 */

#include "image.h"

#include <string.h>

#define COM1 0x3f8U
#define COM1_PORTS 8U

uint64_t pages_of(uint64_t bytes)
{
    return bytes / PAGE + (bytes % PAGE != 0);
}

static const char *resource_text(struct system *s, const struct resource *r)
{
    unsigned long long first = r->first, last = r->first + r->count - 1;

    if (r->kind == NOVA_RESOURCE_PORTS) {
        return first == last ? arena_print(&s->arena, "port 0x%llx", first)
                             : arena_print(&s->arena, "ports 0x%llx-0x%llx", first, last);
    }
    if (r->kind == NOVA_RESOURCE_INTERRUPT)
        return arena_print(&s->arena, "interrupt %llu", first);
    return arena_print(&s->arena, "device memory 0x%llx+0x%llx", first * PAGE,
                       (unsigned long long)r->count * PAGE);
}

static bool overlap(const struct resource *a, const struct resource *b)
{
    return a->kind == b->kind && a->first < b->first + b->count && b->first < a->first + a->count;
}

/* Against all that come before it. */
static void check_shared(struct system *s, uint32_t domain, size_t resource)
{
    const struct resource *r = &s->domains[domain].resources[resource];

    for (uint32_t i = 0; i <= domain; i++) {
        const struct domain *d = &s->domains[i];

        for (size_t j = 0; j < (i == domain ? resource : d->resource_count); j++) {
            if (overlap(r, &d->resources[j])) {
                complain(s, r->line, "%s: `%s' has %s already (line %u)", resource_text(s, r), d->name,
                         resource_text(s, &d->resources[j]), d->resources[j].line);
                return;
            }
        }
    }
}

/* RAM is below 2 GiB in one piece, with a hole for old devices; more of it is above 4 GiB. */
static bool is_ram(const struct machine *machine, const struct resource *r)
{
    uint64_t first = r->first * PAGE, end = first + r->count * PAGE;
    uint64_t low = machine->memory < (UINT64_C(2) << 30) ? machine->memory : UINT64_C(2) << 30;

    return first < 0xa0000 || (first < low && end > 0x100000);
}

static void check_resources(struct system *s, uint32_t index, const struct machine *machine, size_t *count)
{
    struct domain *d = &s->domains[index];
    struct resource serial = {.kind = NOVA_RESOURCE_PORTS, .first = COM1, .count = COM1_PORTS};
    size_t interrupts = 0;

    for (size_t i = 0; i < d->resource_count; i++) {
        struct resource *r = &d->resources[i];

        if (++*count == RESOURCES_MAX + 1)
            complain(s, r->line, "more than %u resources", RESOURCES_MAX);
        check_shared(s, index, i);
        if (!s->console && overlap(r, &serial)) {
            complain(s, r->line,
                     "%s: root writes the log to ports 0x3f8-0x3ff, as there is no `console' in [system]",
                     resource_text(s, r));
        }
        if (r->kind == NOVA_RESOURCE_DEVICE && is_ram(machine, r))
            complain(s, r->line, "%s: that is RAM", resource_text(s, r));
        if (r->kind == NOVA_RESOURCE_INTERRUPT && ++interrupts == INTERRUPTS_MAX + 1)
            complain(s, r->line, "more than %u interrupts", (unsigned)INTERRUPTS_MAX);
    }
}

static unsigned count_bits(uint64_t set)
{
    unsigned count = 0;

    for (; set; set &= set - 1)
        count++;
    return count;
}

/*
 * Kernel memory that a domain can need, in pages: its spaces and event portals, for each CPU what goes with
 * it, for each thread UTCB, FPU state and objects, for each 2 MiB of address space a page table (the pool is
 * there twice: in one piece and in windows), a page for each few sessions, the bitmap of ports.
 */
static uint64_t kernel_pages(const struct system *s, const struct domain *d, uint32_t index)
{
    uint64_t pages = 24 + 4 * (uint64_t)count_bits(d->cpus) + 3 * (uint64_t)d->threads;
    uint64_t sessions = sessions_of_server(s, index);
    bool ports = false;

    pages += 2 * (pages_of(d->memory) / 512 + 1);
    pages += d->image_file ? (d->image_file->high - d->image_file->low) / PAGE / 512 + 1 : 0;
    pages += d->archive_file ? pages_of(d->archive_file->size) / 512 + 1 : 0;
    for (size_t i = 0; i < d->connection_count; i++)
        sessions += d->connections[i].sessions;
    pages += sessions / 4 + 1;
    for (size_t i = 0; i < d->resource_count; i++) {
        ports |= d->resources[i].kind == NOVA_RESOURCE_PORTS;
        pages += d->resources[i].kind == NOVA_RESOURCE_DEVICE ? d->resources[i].count / 512 + 1 : 0;
    }
    return pages + (ports ? 3 : 0) + (d->kind == KIND_VM ? vm_kernel_pages(d) : 0);
}

/*
 * A service can be called only on CPUs that it serves: everybody writes to the log, so the console has all of them. And nobody
 * who computes at a higher priority can keep the log from all others.
 */
static void check_cpus(struct system *s, uint32_t index, const struct machine *machine)
{
    uint64_t there = machine->cpus < 64 ? (UINT64_C(1) << machine->cpus) - 1 : UINT64_MAX;
    struct domain *d = &s->domains[index];
    bool console = index == s->console_domain;

    if (console && !d->given[KEY_THREADS])
        d->threads += machine->cpus;
    if (console && !d->given[KEY_PRIORITY])
        d->priority = 100;
    if (d->kind == KIND_VM && !d->given[KEY_THREADS] && d->threads < 8 + 2 * d->vm.vcpus)
        d->threads = 8 + 2 * d->vm.vcpus;
    if (d->kind == KIND_VM && !d->given[KEY_CPUS])
        d->cpus = (UINT64_C(1) << d->vm.vcpus) - 1;
    if (d->all_cpus || (console && !d->given[KEY_CPUS])) {
        d->cpus = there;
    } else if (d->cpus & ~there) {
        complain(s, line_of(d, KEY_CPUS), "cpus: the machine has CPUs 0 to %u (--machine-cpus)",
                 machine->cpus - 1);
        d->cpus &= there;
    }
}

/* Portals work within a CPU: a session without a common one could never be called. */
static void check_common_cpus(struct system *s, const struct domain *d)
{
    for (size_t i = 0; i < d->connection_count; i++) {
        const struct connection *c = &d->connections[i];
        const struct domain *server = c->target == NONE ? NULL : &s->domains[s->services[c->target]->domain];

        if (server && d->cpus && server->cpus && !(d->cpus & server->cpus))
            complain(s, c->line, "`%s' has no CPU in common with `%s', which provides `%s'", d->name,
                     server->name, c->service);
    }
}

static void check_strings(struct system *s, struct domain *d)
{
    size_t size = strlen(d->name) + 1, pointers = (d->args.count + d->env.count + 32) * sizeof(uint64_t);
    unsigned line = line_of(d, d->kind == KIND_VM ? KEY_CMDLINE : d->given[KEY_ARGS] ? KEY_ARGS : KEY_ENV);

    for (size_t i = 0; i < d->args.count; i++)
        size += strlen(d->args.word[i]) + 1;
    for (size_t i = 0; i < d->env.count; i++)
        size += strlen(d->env.word[i]) + 1;
    if (size > NOVA_STRINGS_MAX) {
        complain(s, line, "arguments and environment of `%s' have %zu bytes; at most %u are possible",
                 d->name, size, NOVA_STRINGS_MAX);
    } else if (size + pointers > d->stack) {
        complain(s, line, "arguments and environment of `%s' do not fit on its stack (%lluK)", d->name,
                 (unsigned long long)d->stack >> 10);
    }
}

static void check_memory(struct system *s, struct domain *d)
{
    uint64_t used = pages_of(d->stack), pages = pages_of(d->memory);
    unsigned line = line_of(d, d->kind == KIND_VM ? KEY_VMM_MEMORY : KEY_MEMORY);

    if (used >= pages) {
        complain(s, d->given[KEY_STACK] ? d->given[KEY_STACK] : line,
                 "the stack (%lluK) of `%s' leaves nothing of its memory (%lluK)",
                 (unsigned long long)d->stack >> 10, d->name, (unsigned long long)d->memory >> 10);
        return;
    }
    used += d->image_file ? d->image_file->written_pages : 0;
    if (used > pages) {
        complain(s, line, "memory of `%s' does not suffice: data and stack need %lluK, there are %lluK",
                 d->name, (unsigned long long)used * 4, (unsigned long long)pages * 4);
    }
}

static void check_domain(struct system *s, uint32_t index)
{
    struct domain *d = &s->domains[index];
    static const enum key restart_keys[] = {KEY_RESTARTS, KEY_BACKOFF};
    static const char *const restart_names[] = {"restarts", "backoff"};

    check_common_cpus(s, d);
    if (d->kind == KIND_VM)
        check_vcpus(s, d);
    check_memory(s, d);
    check_strings(s, d);
    for (unsigned i = 0; i < 2; i++) {
        if (d->given[restart_keys[i]] && d->policy != NOVA_POLICY_RESTART) {
            complain(s, d->given[restart_keys[i]], "%s: makes sense with `on-crash = restart' only",
                     restart_names[i]);
        }
    }
    if (d->keyboard && d->kind != KIND_VM && !s->console)
        complain(s, d->given[KEY_KEYBOARD], "keyboard: there is no `console' in [system]");
    if (sessions_of_server(s, index) > NOVA_SESSIONS_MAX) {
        complain(s, line_of(d, KEY_PROVIDES),
                 "`%s' could have %u sessions with clients; at most %u are possible", d->name,
                 sessions_of_server(s, index), NOVA_SESSIONS_MAX);
    }
}

/* Each sum is reported once, at the domain with which it gets too large. */
static void check_sums(struct system *s, const struct machine *machine)
{
    uint64_t kernel = 0, modules = 0, memory;
    uint64_t free = machine->memory > RESERVED_MEMORY ? machine->memory - RESERVED_MEMORY : 0;
    bool told = false, kernel_told = false;

    for (size_t i = 0; i < s->file_count; i++)
        modules += pages_of(s->files[i]->size) * PAGE;
    memory = modules;
    for (uint32_t i = 0; i < s->domain_count; i++) {
        struct domain *d = &s->domains[i];

        memory += d->memory + d->vm.memory;
        kernel += d->kernel_memory;
        if (memory > free && !told) {
            complain(s, line_of(d, KEY_MEMORY),
                     "memory is over-committed: up to `%s' the domains need %lluM with images and archives; "
                     "the machine has %lluM, %uM of it taken (--machine-memory)",
                     d->name, (unsigned long long)((memory + (1U << 20) - 1) >> 20),
                     (unsigned long long)(machine->memory >> 20), RESERVED_MEMORY >> 20);
            told = true;
        }
        if (kernel > KERNEL_MEMORY && !kernel_told) {
            complain(s, line_of(d, KEY_KERNEL_MEMORY),
                     "kernel memory is over-committed: up to `%s' the domains may use %lluK of %uK", d->name,
                     (unsigned long long)kernel >> 10, KERNEL_MEMORY >> 10);
            kernel_told = true;
        }
    }
}

void check_system(struct system *s, const struct machine *machine, const struct search *search)
{
    size_t resources = 0;

    if (!s->domain_count) {
        if (!s->errors)
            complain(s, s->line, "the system has no [app NAME], no [driver NAME] and no [vm NAME]");
        return;
    }
    if (s->domain_count > NOVA_DOMAINS_MAX) {
        complain(s, s->domains[NOVA_DOMAINS_MAX].line, "more than %u domains", NOVA_DOMAINS_MAX);
        return;
    }
    system_names(s);
    collect_services(s);
    for (uint32_t i = 0; i < s->domain_count; i++)
        find_image(s, &s->domains[i], search);
    for (uint32_t i = 0; i < s->domain_count; i++) {
        find_archive(s, &s->domains[i], search);
        if (s->domains[i].kind == KIND_VM)
            check_vm(s, &s->domains[i], machine, search);
        if (s->console_domain != NONE && i != s->console_domain)
            add_log_connection(s, &s->domains[i]);
        connect_names(s, i);
    }
    if (s->file_count > NOVA_MODULES_MAX)
        complain(s, s->line, "the system has %zu files; at most %u are possible", s->file_count,
                 NOVA_MODULES_MAX);
    find_cycles(s);
    for (uint32_t i = 0; i < s->domain_count; i++)
        check_cpus(s, i, machine);
    for (uint32_t i = 0; i < s->domain_count; i++) {
        struct domain *d = &s->domains[i];

        check_domain(s, i);
        check_resources(s, i, machine, &resources);
        if (!d->kernel_memory)
            d->kernel_memory = kernel_pages(s, d, i) * PAGE;
    }
    check_sums(s, machine);
    for (struct domain *d = s->domains; !s->errors && d < s->domains + s->domain_count; d++)
        if (make_layout(d, false) > NOVA_WINDOW_ADDR)
            complain(s, line_of(d, KEY_MEMORY), "the address space of `%s' does not suffice", d->name);
}
