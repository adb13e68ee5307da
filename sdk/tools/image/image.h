/*
 * The system as nova-image sees it, from the text of a system file to the boot image.
 *
 *   parse.c --> check.c --> manifest.c --> iso.c
 *      |           |    \-> report.c <-- code.c
 *   keys.c      files.c     layout.c, stack.c  |
 *   value.c     names.c, elf.c                 lines.c, dwarf.c
 *   vm.c        vm.c
 *
 * Everything that belongs to a system lives in its arena and goes with it. Nothing is cut off to fit: what is
 * too long for the manifest is refused. Errors are collected, so that one run shows all of them.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/manifest.h>
#include <nova/start.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PAGE 4096U
#define LINE_BYTES 8192U            /* of a system file, the end of the line not counted */
#define FILE_BYTES (1U << 20)       /* of a system file */
#define KERNEL_MEMORY (24U << 20)   /* what domains together may have of the kernel's memory */
#define RESERVED_MEMORY (48U << 20) /* kernel with its memory, firmware, boot loader, root's own */
#define SEGMENTS_MAX 8              /* of an image */
#define INTERRUPTS_MAX (NOVA_SEL_PARENT - NOVA_SEL_INTERRUPT) /* of one domain */
#define PINS_MAX 1024U
#define RESOURCES_MAX 1024U                    /* of all domains */
#define DEVICE_MEMORY_MAX (UINT64_C(64) << 30) /* in one piece */
#define NONE UINT32_MAX

/* Memory that is freed all at once. */
struct arena {
    struct block *blocks;
};

void *arena_get(struct arena *arena, size_t size); /* zeroed; ends the program if there is none */
char *arena_text(struct arena *arena, const char *text, size_t length);
void *arena_grow(struct arena *arena, void *array, size_t count, size_t size); /* room for one more */
void arena_free(struct arena *arena);
__attribute__((format(printf, 2, 3))) char *arena_print(struct arena *arena, const char *format, ...);

/* A message about the system file. */
struct issue {
    unsigned line;
    bool warning;
    char *text;
};

/* A word of a value. */
struct words {
    char **word;
    size_t count;
};

/* A file that goes into the image. */
struct file {
    const char *path;
    uint8_t *data;
    size_t size;
    bool is_image, is_archive, is_kernel; /* found good as such */
    uint32_t module;                      /* place in the table of modules */
    uint64_t written_pages;               /* image: pages that the domain gets copies of */
    uint64_t entry, phdr, phnum;
    struct nova_manifest_resource segment[SEGMENTS_MAX]; /* of the image, as if it were mapped as a whole */
    unsigned segments;
    uint64_t low, high; /* image: addresses */
    uint8_t build_id[32];
    size_t build_id_size;
    char *error; /* why it is no good image, or NULL */
};

struct service {
    const char *name;
    unsigned line;
    uint32_t domain;
};

struct connection {
    const char *local; /* what the client calls it */
    const char *service;
    unsigned line;
    uint32_t sessions;
    uint32_t target; /* index of the service, or NONE */
    bool implied;    /* the log */
};

struct resource {
    uint16_t kind; /* enum nova_manifest_kind */
    uint32_t flags;
    uint64_t first, count;
    unsigned line;
};

/* Keys of domains. */
enum key {
    KEY_IMAGE,
    KEY_MEMORY,
    KEY_KERNEL_MEMORY,
    KEY_CPUS,
    KEY_PRIORITY,
    KEY_STACK,
    KEY_THREADS,
    KEY_ARGS,
    KEY_ENV,
    KEY_PROVIDES,
    KEY_CONNECT,
    KEY_ON_CRASH,
    KEY_RESTARTS,
    KEY_BACKOFF,
    KEY_FILES,
    KEY_FPU,
    KEY_KEYBOARD,
    KEY_PORTS,
    KEY_INTERRUPTS,
    KEY_DEVICE_MEMORY,
    KEY_KERNEL,
    KEY_INITRD,
    KEY_CMDLINE,
    KEY_VCPUS,
    KEY_VMM_MEMORY,
    KEY_VSOCK,
    KEY_ON_TRIPLE_FAULT,
    KEY_MACHINE,
    KEYS
};

/* Kinds of domains, and sets of them. */
enum kind { KIND_APP = 1, KIND_DRIVER = 2, KIND_VM = 4, KIND_NATIVE = 3, KIND_ANY = 7 };

/* What only virtual machines have. */
struct vm {
    const char *kernel, *initrd; /* as written, or NULL */
    const char *cmdline, *vsock; /* as the VMM gets them, or NULL */
    struct file *kernel_file, *initrd_file;
    uint64_t memory;               /* bytes, of the guest */
    uint32_t vcpus, cid, sessions; /* sessions: of its sockets */
    uint16_t on_triple_fault, machine;
};

struct domain {
    const char *name;
    unsigned line;
    unsigned given[KEYS]; /* line where the key is, or 0 */
    enum kind kind;
    struct vm vm;
    const char *image, *archive; /* as written, or NULL */
    struct file *image_file, *archive_file;
    uint64_t memory, kernel_memory, stack; /* bytes */
    uint64_t cpus;
    bool all_cpus;
    uint32_t priority, threads, restarts, backoff_ms;
    uint16_t policy;
    bool fpu, keyboard;
    struct words args, env;
    struct service *services;
    size_t service_count;
    struct connection *connections;
    size_t connection_count;
    struct resource *resources;
    size_t resource_count;
    uint32_t first_service; /* in the table of the system */
    struct nova_info info;
    struct nova_manifest_resource mapping[SEGMENTS_MAX + 6];
    unsigned mappings;
    uint8_t *contents; /* of the end of its stack */
    size_t contents_size;
};

struct system {
    struct arena arena;
    const char *name; /* of the system file, for messages */

    struct issue *issues;
    size_t issue_count;
    unsigned errors;

    struct domain *domains;
    size_t domain_count;
    unsigned line; /* of [system], or 0 */
    uint16_t at_exit;
    const char *until, *console;
    unsigned at_exit_line, until_line, console_line;
    uint32_t until_domain, console_domain; /* index, or NONE */

    struct file **files; /* by module */
    size_t file_count;
    struct service **services;
    size_t service_count;
};

/* What the system shall run on. */
struct machine {
    uint64_t memory;
    unsigned cpus;
};

/* Where images are looked for, in this order. */
struct search {
    const char **folders;
    size_t count;
};

/* A message about a line; warnings do not make the system bad. */
__attribute__((format(printf, 3, 4))) void complain(struct system *s, unsigned line, const char *format, ...);
__attribute__((format(printf, 3, 4))) void warn(struct system *s, unsigned line, const char *format, ...);
/* All messages as `file:line: message`, in the order of lines. */
void print_issues(struct system *s, FILE *out);

/* value.c: NULL or text that says what is wrong. The results are set only without error. */
const char *split_words(struct arena *arena, const char *text, bool commas, struct words *words);
const char *parse_number(const char *text, uint64_t *value);
const char *parse_size(const char *text, uint64_t *bytes);
const char *parse_time(const char *text, uint64_t *ms);
const char *parse_cpus(const struct words *words, uint64_t *cpus, bool *all);
const char *parse_name(const char *text);
size_t comment_start(const char *text, size_t length);
bool is_utf8(const char *text, size_t length);

/* vm.c: checks what belongs to a virtual machine, and makes the arguments of its VMM of it. */
void check_vm(struct system *s, struct domain *d, const struct machine *machine, const struct search *search);
void check_vcpus(struct system *s, const struct domain *d); /* when its CPUs are known */
uint64_t vm_kernel_pages(const struct domain *d); /* kernel memory on top of that of other domains */
const char *kind_name(const struct domain *d);
unsigned line_of(const struct domain *d, enum key key); /* of the key, or of the section */

/* parse.c: reads a system file; what it means is not looked at. */
void parse_system(struct system *s, const char *text, size_t length);

/* elf.c: looks at an image as root will; sets `file->error` or the figures. */
void check_image(struct arena *arena, struct file *file);
void check_archive(struct arena *arena, struct file *file);

/* files.c: the error of a file that cannot be read is in it. */
struct file *read_file(struct arena *arena, const char *path);
struct file *get_file(struct system *s, unsigned line, const char *name, const struct search *search);
void find_image(struct system *s, struct domain *d, const struct search *search);
void find_archive(struct system *s, struct domain *d, const struct search *search);

/* names.c, in this order */
void system_names(struct system *s);
void collect_services(struct system *s);
void add_log_connection(struct system *s, struct domain *d);
void connect_names(struct system *s, uint32_t index);
void find_cycles(struct system *s);
uint32_t sessions_of_server(const struct system *s, uint32_t domain); /* that all its clients can have */

/* layout.c: information page and mappings; the end of its part of the address space. */
uint64_t make_layout(struct domain *d, bool console);

/* stack.c: what the program finds on its stack; after the layout. */
void make_stack(struct system *s, struct domain *d);

/* check.c: finds the files, connects the names, refuses what cannot work. */
void check_system(struct system *s, const struct machine *machine, const struct search *search);
uint64_t pages_of(uint64_t bytes);

/* manifest.c: the manifest of a system without errors, in the arena. */
uint8_t *make_manifest(struct system *s, size_t *size);
uint32_t crc32_ieee(const uint8_t *data, size_t size);

/* report.c */
struct code;
bool print_report(const struct system *s, const struct machine *machine, const struct code *code,
                  const char *form, FILE *out);

/* iso.c: makes the boot image; false after a message on stderr. */
bool make_iso(struct system *s, const char *kernel, const char *root, const char *out);
bool write_file(const char *path, const void *data, size_t size);

void system_free(struct system *s);
