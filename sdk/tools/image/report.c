/*
 * Reports: who may talk to whom, who holds which resource, what memory goes where, how much code who has to trust.
 *
 *   text   for people
 *   dot    for Graphviz: an arrow from each client to the server
 *   json   for programs
 *   table  for the other tools: one line per domain, fields separated by tabs
 *
 * SPDX-License-Identifier: MIT
 */

#include "code.h"

#include <string.h>

#include <nova/abi/hypercall.h>

static const char *const policies[] = {"stop", "restart", "halt"};
static const char *const triple_fault[] = {"reset", "stop"};
static const char *const ends[] = {"stay", "poweroff", "reset"};

static void print_cpus(uint64_t set, FILE *out)
{
    const char *space = "";

    for (unsigned cpu = 0; cpu < 64; cpu++) {
        unsigned last = cpu;

        if (!(set >> cpu & 1))
            continue;
        while (last < 63 && set >> (last + 1) & 1)
            last++;
        fprintf(out, last > cpu ? "%s%u-%u" : "%s%u", space, cpu, last);
        space = " ";
        cpu = last;
    }
}

static void print_build_id(const struct file *file, FILE *out)
{
    for (size_t i = 0; i < file->build_id_size; i++)
        fprintf(out, "%02x", file->build_id[i]);
}

static void print_resource(const struct resource *r, FILE *out)
{
    unsigned long long first = r->first, count = r->count;

    if (r->kind == NOVA_RESOURCE_PORTS) {
        fprintf(out, "ports 0x%llx-0x%llx", first, first + count - 1);
    } else if (r->kind == NOVA_RESOURCE_INTERRUPT) {
        fprintf(out, "interrupt %llu %s %s", first, r->flags & NOVA_INT_LEVEL ? "level" : "edge",
                r->flags & NOVA_INT_LOW ? "low" : "high");
    } else {
        fprintf(out, "device-memory 0x%llx+0x%llx", first * PAGE, count * PAGE);
    }
}

/* --- Text ---------------------------------------- */

static void text_vm(const struct domain *d, FILE *out)
{
    fprintf(out, "  kernel      %s\n", d->vm.kernel_file->path);
    if (d->vm.initrd_file)
        fprintf(out, "  initrd      %s\n", d->vm.initrd_file->path);
    if (d->vm.cmdline)
        fprintf(out, "  cmdline     %s\n", d->vm.cmdline);
    fprintf(out, "  guest       %lluM, %u virtual CPUs, on triple fault %s\n",
            (unsigned long long)d->vm.memory >> 20, d->vm.vcpus, triple_fault[d->vm.on_triple_fault]);
    if (d->vm.vsock)
        fprintf(out, "  vsock       %s\n", d->vm.vsock);
}

static void text_domain(const struct system *s, const struct domain *d, FILE *out)
{
    fprintf(out, "\n%s %s\n  image       %s\n", kind_name(d), d->name, d->image_file->path);
    if (d->archive_file)
        fprintf(out, "  files       %s\n", d->archive_file->path);
    fprintf(out, "  cpus        ");
    print_cpus(d->cpus, out);
    fprintf(out, ", priority %u, up to %u threads%s\n", d->priority, d->threads, d->fpu ? "" : ", no FPU");
    fprintf(out, "  on crash    %s", policies[d->policy]);
    if (d->policy == NOVA_POLICY_RESTART)
        fprintf(out, ", at most %u times, first after %u ms", d->restarts, d->backoff_ms);
    fprintf(out, "\n");
    if (d->kind == KIND_VM)
        text_vm(d, out);
    for (size_t i = 0; i < d->service_count; i++)
        fprintf(out, "  provides    %s\n", d->services[i].name);
    for (size_t i = 0; i < d->connection_count; i++) {
        const struct connection *c = &d->connections[i];

        fprintf(out, "  talks to    %s (service %s", s->domains[s->services[c->target]->domain].name,
                c->service);
        if (strcmp(c->local, c->service))
            fprintf(out, " as %s", c->local);
        fprintf(out, c->sessions > 1 ? ", %u sessions)\n" : ")\n", c->sessions);
    }
    for (size_t i = 0; i < d->resource_count; i++) {
        fprintf(out, "  holds       ");
        print_resource(&d->resources[i], out);
        fprintf(out, "\n");
    }
    if (d->keyboard)
        fprintf(out, "  holds       keyboard\n");
}

static void text_lines(uint64_t lines, bool known, FILE *out)
{
    if (known)
        fprintf(out, " %8llu", (unsigned long long)lines);
    else
        fprintf(out, " %8s", "?");
}

/* Domains trust themselves, kernel and root with all they have; how far those that they talk to, is up to them. */
static void text_code(const struct system *s, const struct code *code, FILE *out)
{
    fprintf(out, "\n%-31s %8s %8s %8s %8s %8s %8s  depends on\n", "code lines to trust", "kernel", "root",
            "libnova", "libc", "own", "all");
    for (size_t i = 0; i < s->domain_count; i++) {
        uint64_t lines[PARTS], servers = servers_of(s, i), all = code_lines(code, UINT64_C(1) << i, lines);

        fprintf(out, "%-31s", s->domains[i].name);
        for (unsigned part = 0; part < PARTS; part++)
            text_lines(lines[part], all, out);
        text_lines(all, all, out);
        fprintf(out, " ");
        for (size_t j = 0; j < s->domain_count; j++)
            if (servers >> j & 1)
                fprintf(out, " %s", s->domains[j].name);
        if (servers) {
            uint64_t with = code_lines(code, servers | UINT64_C(1) << i, lines);

            fprintf(out, with ? ": %llu with them" : ": ? with them", (unsigned long long)with);
        }
        fprintf(out, "\n");
    }
    if (code->missing)
        fprintf(out, "?: no debug information (nova-cc -g), or its sources are not here: first of all %s\n",
                code->missing);
}

static void text_report(const struct system *s, const struct machine *machine, const struct code *code,
                        FILE *out)
{
    uint64_t memory = 0, kernel = 0, modules = 0, guests = 0;

    fprintf(out, "system %s: %zu domains, %zu services\n", s->name, s->domain_count, s->service_count);
    fprintf(out, "  on exit     %s", ends[s->at_exit]);
    if (s->until)
        fprintf(out, ", when %s ends", s->until);
    fprintf(out, "\n");
    for (size_t i = 0; i < s->domain_count; i++)
        text_domain(s, &s->domains[i], out);
    fprintf(out, "\n%-31s %10s %10s %10s %10s %10s\n", "memory in KiB", "memory", "stack", "data", "kernel",
            "guest");
    for (size_t i = 0; i < s->domain_count; i++) {
        const struct domain *d = &s->domains[i];

        fprintf(out, "%-31s %10llu %10llu %10llu %10llu %10llu\n", d->name,
                (unsigned long long)d->memory >> 10, (unsigned long long)d->stack >> 10,
                (unsigned long long)d->image_file->written_pages * PAGE >> 10,
                (unsigned long long)d->kernel_memory >> 10, (unsigned long long)d->vm.memory >> 10);
        memory += d->memory;
        guests += d->vm.memory;
        kernel += d->kernel_memory;
    }
    for (size_t i = 0; i < s->file_count; i++)
        modules += pages_of(s->files[i]->size) * PAGE;
    fprintf(out, "%-31s %10llu %10s %10s %10llu %10llu\n", "all domains", (unsigned long long)memory >> 10,
            "", "", (unsigned long long)kernel >> 10, (unsigned long long)guests >> 10);
    fprintf(out, "%-31s %10llu\n", "images and archives", (unsigned long long)modules >> 10);
    fprintf(out, "%-31s %10u\n", "kernel, root, firmware", RESERVED_MEMORY >> 10);
    fprintf(out, "%-31s %10llu\n", "free",
            (unsigned long long)(machine->memory - RESERVED_MEMORY - memory - guests - modules) >> 10);
    text_code(s, code, out);
}

/* --- Graphviz ---------------------------------------- */

/* Names have no characters that dot treats in a special way, so quotes suffice. */
static void dot_report(const struct system *s, FILE *out)
{
    fprintf(out, "digraph system {\n    rankdir=LR;\n    node [fontname=\"sans-serif\"];\n"
                 "    edge [fontname=\"sans-serif\", fontsize=10];\n");
    for (size_t i = 0; i < s->domain_count; i++) {
        const struct domain *d = &s->domains[i];

        fprintf(out, "    \"%s\" [shape=%s, label=\"%s\\n%lluK, CPU ", d->name,
                d->kind == KIND_DRIVER ? "component"
                : d->kind == KIND_VM   ? "box3d"
                                       : "box",
                d->name, (unsigned long long)(d->memory + d->vm.memory) >> 10);
        print_cpus(d->cpus, out);
        for (size_t j = 0; j < d->resource_count; j++) {
            fprintf(out, "\\n");
            print_resource(&d->resources[j], out);
        }
        fprintf(out, "\"];\n");
    }
    for (size_t i = 0; i < s->domain_count; i++) {
        for (size_t j = 0; j < s->domains[i].connection_count; j++) {
            const struct connection *c = &s->domains[i].connections[j];

            fprintf(out, "    \"%s\" -> \"%s\" [label=\"%s\"%s];\n", s->domains[i].name,
                    s->domains[s->services[c->target]->domain].name, c->service,
                    c->implied ? ", style=dotted" : "");
        }
    }
    fprintf(out, "}\n");
}

/* --- JSON ---------------------------------------- */

/* Text is UTF-8 without control characters, except what is in paths. */
static void json_string(const char *text, FILE *out)
{
    putc('"', out);
    for (const char *p = text; *p; p++)
        if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if ((unsigned char)*p < ' ')
            fprintf(out, "\\u%04x", (unsigned char)*p);
        else
            putc(*p, out);
    putc('"', out);
}

static void json_member(const char *name, const char *text, FILE *out)
{
    fprintf(out, ", \"%s\": ", name);
    if (text)
        json_string(text, out);
    else
        fprintf(out, "null");
}

static void json_words(const char *name, const struct words *words, FILE *out)
{
    fprintf(out, ",\n     \"%s\": [", name);
    for (size_t i = 0; i < words->count; i++) {
        fprintf(out, i ? ", " : "");
        json_string(words->word[i], out);
    }
    fprintf(out, "]");
}

static void json_resource(const struct resource *r, FILE *out)
{
    static const char *const kinds[] = {"ports", "interrupt", "device-memory"};
    uint64_t unit = r->kind == NOVA_RESOURCE_DEVICE ? PAGE : 1;

    fprintf(out, "{\"kind\": \"%s\", \"first\": %llu, \"count\": %llu", kinds[r->kind],
            (unsigned long long)(r->first * unit), (unsigned long long)(r->count * unit));
    if (r->kind == NOVA_RESOURCE_INTERRUPT) {
        fprintf(out, ", \"level\": %s, \"low\": %s", r->flags & NOVA_INT_LEVEL ? "true" : "false",
                r->flags & NOVA_INT_LOW ? "true" : "false");
    }
    fprintf(out, "}");
}

static void json_lists(const struct system *s, const struct domain *d, FILE *out)
{
    json_words("args", &d->args, out);
    json_words("env", &d->env, out);
    fprintf(out, ",\n     \"provides\": [");
    for (size_t i = 0; i < d->service_count; i++)
        fprintf(out, "%s\"%s\"", i ? ", " : "", d->services[i].name);
    fprintf(out, "],\n     \"connect\": [");
    for (size_t i = 0; i < d->connection_count; i++) {
        const struct connection *c = &d->connections[i];

        fprintf(out, "%s{\"name\": \"%s\", \"service\": \"%s\", \"server\": \"%s\", \"sessions\": %u}",
                i ? ", " : "", c->local, c->service, s->domains[s->services[c->target]->domain].name,
                c->sessions);
    }
    fprintf(out, "],\n     \"resources\": [");
    for (size_t i = 0; i < d->resource_count; i++) {
        fprintf(out, i ? ", " : "");
        json_resource(&d->resources[i], out);
    }
    fprintf(out, "]}");
}

static void json_code(const struct system *s, const struct code *code, size_t domain, FILE *out)
{
    static const char *const names[PARTS] = {"kernel", "root", "libnova", "libc", "own"};
    uint64_t lines[PARTS], servers = servers_of(s, domain),
                           all = code_lines(code, UINT64_C(1) << domain, lines);
    const char *comma = "";

    fprintf(out, ",\n     \"code_lines\": ");
    for (unsigned part = 0; all && part < PARTS; part++)
        fprintf(out, "%s\"%s\": %llu", part ? ", " : "{", names[part], (unsigned long long)lines[part]);
    fprintf(out, all ? ", \"all\": %llu}" : "null", (unsigned long long)all);
    fprintf(out, ", \"depends_on\": [");
    for (size_t j = 0; j < s->domain_count; j++) {
        if (servers >> j & 1) {
            fprintf(out, "%s\"%s\"", comma, s->domains[j].name);
            comma = ", ";
        }
    }
    fprintf(out, "]");
}

static void json_domain(const struct system *s, const struct code *code, const struct domain *d, FILE *out)
{
    fprintf(out, "    {\"name\": \"%s\", \"kind\": \"%s\"", d->name, kind_name(d));
    json_member("image", d->image_file->path, out);
    fprintf(out, ", \"build\": \"");
    print_build_id(d->image_file, out);
    fprintf(out, "\"");
    json_member("files", d->archive_file ? d->archive_file->path : NULL, out);
    fprintf(out,
            ",\n     \"memory\": %llu, \"kernel_memory\": %llu, \"stack\": %llu, \"threads\": %u, "
            "\"priority\": %u, \"cpus\": [",
            (unsigned long long)d->memory, (unsigned long long)d->kernel_memory, (unsigned long long)d->stack,
            d->threads, d->priority);
    for (unsigned cpu = 0, n = 0; cpu < 64; cpu++)
        if (d->cpus >> cpu & 1)
            fprintf(out, "%s%u", n++ ? ", " : "", cpu);
    fprintf(out, "],\n     \"on_crash\": \"%s\", \"fpu\": %s, \"keyboard\": %s", policies[d->policy],
            d->fpu ? "true" : "false", d->keyboard ? "true" : "false");
    if (d->policy == NOVA_POLICY_RESTART)
        fprintf(out, ", \"restarts\": %u, \"backoff_ms\": %u", d->restarts, d->backoff_ms);
    if (d->kind == KIND_VM) {
        json_member("kernel", d->vm.kernel_file->path, out);
        json_member("initrd", d->vm.initrd_file ? d->vm.initrd_file->path : NULL, out);
        fprintf(out, ", \"guest_memory\": %llu, \"vcpus\": %u", (unsigned long long)d->vm.memory,
                d->vm.vcpus);
    }
    json_code(s, code, (size_t)(d - s->domains), out);
    json_lists(s, d, out);
}

static void json_report(const struct system *s, const struct code *code, FILE *out)
{
    fprintf(out, "{\"on_exit\": \"%s\"", ends[s->at_exit]);
    json_member("until", s->until, out);
    json_member("console", s->console, out);
    fprintf(out, ",\n \"domains\": [\n");
    for (size_t i = 0; i < s->domain_count; i++) {
        json_domain(s, code, &s->domains[i], out);
        fprintf(out, i + 1 < s->domain_count ? ",\n" : "\n");
    }
    fprintf(out, " ]}\n");
}

/* --- Table ---------------------------------------- */

static void table_report(const struct system *s, FILE *out)
{
    fprintf(out, "until\t%s\nconsole\t%s\n", s->until ? s->until : "", s->console ? s->console : "");
    for (size_t i = 0; i < s->domain_count; i++) {
        const struct domain *d = &s->domains[i];

        fprintf(out, "%s\t%s\t", kind_name(d), d->name);
        print_build_id(d->image_file, out);
        fprintf(out, "\t%s\n", d->image_file->path);
    }
}

bool print_report(const struct system *s, const struct machine *machine, const struct code *code,
                  const char *form, FILE *out)
{
    if (!strcmp(form, "text"))
        text_report(s, machine, code, out);
    else if (!strcmp(form, "dot"))
        dot_report(s, out);
    else if (!strcmp(form, "json"))
        json_report(s, code, out);
    else if (!strcmp(form, "table"))
        table_report(s, out);
    else
        return false;
    return true;
}
