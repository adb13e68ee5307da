/*
 * Virtual machines: what [vm NAME] has beyond other sections. It becomes arguments of the VMM, KEY=VALUE each.
 *
 * SPDX-License-Identifier: MIT
 */

#include "parse.h"

#include <nova/pipe.h>
#include <string.h>

#define MEMORY_MIN (UINT64_C(64) << 20)
#define MEMORY_UNIT NOVA_GUEST_UNIT
#define KERNEL_ROOM (UINT64_C(32) << 20) /* for the kernel while it unpacks itself */
#define CMDLINE_MAX 2047U                /* of Linux on x86 */
#define CID_MIN 3U
#define SESSION_MEMORY NOVA_PIPE_SIZE(NOVA_PIPE_SOCKET)
#define SERVICES 16U /* at ports of sockets, in the VMM */
#define SESSIONS 4U  /* that a guest can have with a service at a time */

const char *kind_name(const struct domain *d)
{
    return d->kind == KIND_DRIVER ? "driver" : d->kind == KIND_VM ? "vm" : "app";
}

unsigned line_of(const struct domain *d, enum key key)
{
    return d->given[key] ? d->given[key] : d->line;
}

/* Words with a blank between them. */
void set_cmdline(struct parser *p, const struct words *words)
{
    const char *text = "";

    for (size_t i = 0; i < words->count; i++)
        text = arena_print(&p->s->arena, "%s%s%s", text, i ? " " : "", words->word[i]);
    if (strlen(text) > CMDLINE_MAX)
        bad(p, "longer than 2047 bytes");
    else
        p->domain->vm.cmdline = text;
}

/* cid [service:port[*sessions]]... */
void set_vsock(struct parser *p, const struct words *words)
{
    struct arena *a = &p->s->arena;
    uint64_t cid = 0, *port = arena_get(a, words->count * sizeof(*port));
    const char *error = parse_number(words->word[0], &cid), *text;

    if (error || cid < CID_MIN || cid >= UINT32_MAX) {
        bad_word(p, words->word[0], error ? error : "guests have the numbers (CID) 3 to 4294967294");
        return;
    }
    if (words->count > 1 + SERVICES)
        bad(p, "more than 16 services");
    text = arena_print(a, "%llu", (unsigned long long)cid);
    for (size_t i = 1; i < words->count; i++) {
        char *word = words->word[i], *colon = strchr(word, ':');
        const char *whole = arena_text(a, word, strlen(word));
        uint32_t sessions = SESSIONS;

        if (!colon) {
            bad_word(p, word, "not of the form SERVICE:PORT");
            continue;
        }
        if (!cut_sessions(p, word, &sessions))
            continue;
        *colon = 0;
        error = parse_number(colon + 1, &port[i]);
        if (!error && (port[i] < 1 || port[i] >= UINT32_MAX))
            error = "ports have the numbers 1 to 4294967294";
        for (size_t j = 1; !error && j < i; j++)
            error = port[j] == port[i] ? "there is a service at this port already" : NULL;
        if (error) {
            bad_word(p, whole, error);
        } else if (add_connection(p, word, word, sessions)) {
            text = arena_print(a, "%s %s:%llu", text, word, (unsigned long long)port[i]);
            p->domain->vm.sessions += sessions;
        }
    }
    p->domain->vm.cid = (uint32_t)cid;
    p->domain->vm.vsock = text;
}

static uint32_t word_at(const struct file *file, size_t at)
{
    uint32_t word = 0;

    if (at + sizeof(word) <= file->size)
        memcpy(&word, file->data + at, sizeof(word));
    return word;
}

/* Linux: "The Linux/x86 Boot Protocol", header at 0x202; else Multiboot 1, 3.1.1: header in the first 8 KiB. */
static bool is_kernel(const struct file *file)
{
    if (word_at(file, 0x202) == 0x53726448) /* HdrS */
        return true;
    for (size_t at = 0; at + 12 <= file->size && at < 8192; at += 4)
        if (word_at(file, at) == 0x1badb002 &&
            !(word_at(file, at) + word_at(file, at + 4) + word_at(file, at + 8)))
            return true;
    return false;
}

static void check_files(struct system *s, struct domain *d, const struct search *search)
{
    struct vm *vm = &d->vm;
    uint64_t bytes = KERNEL_ROOM;

    if (!d->given[KEY_KERNEL])
        complain(s, line_of(d, KEY_INITRD), "`%s' has %s", d->name,
                 vm->initrd ? "an initrd, but no kernel" : "no kernel");
    vm->kernel_file = vm->kernel ? get_file(s, d->given[KEY_KERNEL], vm->kernel, search) : NULL;
    vm->initrd_file = vm->initrd ? get_file(s, d->given[KEY_INITRD], vm->initrd, search) : NULL;
    if (vm->kernel_file && !is_kernel(vm->kernel_file))
        complain(s, d->given[KEY_KERNEL], "%s: neither a Linux kernel (bzImage) nor a Multiboot image",
                 vm->kernel);
    bytes += vm->kernel_file ? vm->kernel_file->size : 0;
    bytes += vm->initrd_file ? vm->initrd_file->size : 0;
    if (vm->memory && bytes > vm->memory)
        complain(s, d->given[KEY_MEMORY],
                 "memory of `%s' does not suffice for its kernel and initrd: %lluM are wanted", d->name,
                 (unsigned long long)(bytes + (1U << 20) - 1) >> 20);
}

/* Memory of a guest is in one piece: see is_ram() in check.c for the pieces that there are. */
static void check_guest_memory(struct system *s, const struct domain *d, const struct machine *machine)
{
    uint64_t border = UINT64_C(2) << 30, size = d->vm.memory;
    uint64_t low = machine->memory < border ? machine->memory : border, high = machine->memory - low;

    if (!d->given[KEY_MEMORY])
        complain(s, d->line, "`%s' has no memory", d->name);
    else if (size && (size < MEMORY_MIN || size % MEMORY_UNIT))
        complain(s, d->given[KEY_MEMORY],
                 "memory of a virtual machine is a multiple of 2M, and at least 64M");
    else if (size > high && size > low - RESERVED_MEMORY && size <= machine->memory - RESERVED_MEMORY)
        complain(s, d->given[KEY_MEMORY], "the machine has no piece of memory as large as that");
}

void check_vcpus(struct system *s, const struct domain *d)
{
    unsigned cpus = 0;

    for (uint64_t set = d->cpus; set; set &= set - 1)
        cpus++;
    if (d->given[KEY_CPUS] && cpus < d->vm.vcpus)
        complain(s, line_of(d, KEY_VCPUS),
                 "vcpus: `%s' has %u virtual CPUs, but only %u of the machine's CPUs", d->name, d->vm.vcpus,
                 cpus);
    if (d->priority < 2)
        complain(s, d->given[KEY_PRIORITY],
                 "priority: a virtual machine has at least 2: its CPUs are one below");
}

static void check_cid(struct system *s, const struct domain *d)
{
    for (const struct domain *o = s->domains; d->vm.cid && o < d; o++)
        if (o->vm.cid == d->vm.cid)
            complain(s, d->given[KEY_VSOCK], "vsock: `%s' has the number (CID) %u already", o->name,
                     o->vm.cid);
}

static void add_argument(struct system *s, struct domain *d, const char *key, const char *value)
{
    if (!value)
        return;
    d->args.word = arena_grow(&s->arena, d->args.word, d->args.count, sizeof(*d->args.word));
    d->args.word[d->args.count++] = arena_print(&s->arena, "%s=%s", key, value);
}

void check_vm(struct system *s, struct domain *d, const struct machine *machine, const struct search *search)
{
    check_files(s, d, search);
    check_guest_memory(s, d, machine);
    check_cid(s, d);
    if (!d->given[KEY_VMM_MEMORY])
        d->memory += d->vm.sessions * SESSION_MEMORY;
    add_argument(s, d, "machine", "board");
    add_argument(s, d, "cmdline", d->vm.cmdline);
    add_argument(s, d, "vsock", d->vm.vsock);
    add_argument(s, d, "on-triple-fault", d->vm.on_triple_fault ? "stop" : "reset");
}

/*
 * Pages of tables for 1 GiB each, of the guest and of the VMM; spaces; for each virtual CPU its state, FPU state
 * and portals; tables for the kernel and the initrd.
 */
uint64_t vm_kernel_pages(const struct domain *d)
{
    uint64_t files = d->vm.kernel_file ? pages_of(d->vm.kernel_file->size) : 0;

    files += d->vm.initrd_file ? pages_of(d->vm.initrd_file->size) : 0;
    return 24 + 2 * (d->vm.memory >> 30) + 20UL * d->vm.vcpus + files / 512 + 2;
}
