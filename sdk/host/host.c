/*
 * Start of nova-host: options, the image, and what nova/start.h promises to it.
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include "host.h"
#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STACK_END 0x30000000UL
#define POOL 0x800000000UL
#define STRINGS 65536UL
#define ALPHANUMERIC "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

struct host host = {.lock = PTHREAD_MUTEX_INITIALIZER, .ipc = PTHREAD_COND_INITIALIZER};

static struct options {
    uint64_t memory, cpus, stack;
    unsigned threads;
    const char *archive;
    char *name;
    char **environment;
    int environments;
} options = {.memory = 16, .cpus = 3, .stack = 256, .threads = 64};

_Noreturn void host_die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("nova-host: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(125);
}

void host_log(const char *text, size_t length)
{
    while (length) {
        ssize_t n = write(1, text, length);

        if (n <= 0)
            return;
        text += n;
        length -= (size_t)n;
    }
}

uint64_t host_ticks(void)
{
    return __builtin_ia32_rdtsc();
}

uint64_t host_tick_ns(uint64_t ticks)
{
    return (uint64_t)((unsigned __int128)ticks * 1000000000 / host.info->tsc_frequency);
}

static void *map_at(uint64_t address, uint64_t size, int protection, int flags, int fd)
{
    void *at = mmap((void *)address, size, protection, flags | MAP_FIXED_NOREPLACE, fd, 0);

    if (at != (void *)address)
        host_die("address %#llx is in use on this host: %s", (unsigned long long)address, strerror(errno));
    return at;
}

static const char *read_file(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    void *data;

    if (fd < 0 || fstat(fd, &status))
        host_die("%s: %s", path, strerror(errno));
    *size = (size_t)status.st_size;
    data = mmap(NULL, *size ? *size : 1, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        host_die("%s: %s", path, strerror(errno));
    close(fd);
    return data;
}

static void load_segment(const char *file, size_t size, const Elf64_Phdr *p)
{
    uint64_t first = p->p_vaddr & ~(PAGE - 1);
    uint64_t end = (p->p_vaddr + p->p_memsz + PAGE - 1) & ~(PAGE - 1);
    int protection = (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
                     (p->p_flags & PF_X ? PROT_EXEC : 0);

    if (p->p_vaddr < NOVA_IMAGE_ADDR || p->p_memsz > NOVA_IMAGE_END || end > NOVA_IMAGE_END ||
        p->p_filesz > p->p_memsz || p->p_offset > size || p->p_filesz > size - p->p_offset ||
        (p->p_flags & (PF_W | PF_X)) == (PF_W | PF_X))
        host_die("%s: not an image for a protection domain", host.image);
    map_at(first, end - first, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    memcpy((void *)p->p_vaddr, file + p->p_offset, p->p_filesz);
    mprotect((void *)first, end - first, protection);
    if (!host.info->image_start)
        host.info->image_start = first;
    host.info->image_end = end;
}

static void read_build_id(const char *file, size_t size, const Elf64_Phdr *p)
{
    const Elf64_Nhdr *note = (const Elf64_Nhdr *)(file + p->p_offset);

    if (p->p_offset > size || p->p_filesz > size - p->p_offset || p->p_filesz < sizeof(*note) + 4 ||
        note->n_type != NT_GNU_BUILD_ID || note->n_namesz != 4 ||
        2 * note->n_descsz >= sizeof(host.info->build_id) || p->p_filesz < sizeof(*note) + 4 + note->n_descsz)
        return;
    for (unsigned i = 0; i < note->n_descsz; i++)
        snprintf(host.info->build_id + 2 * i, 3, "%02x", ((const unsigned char *)(note + 1))[4 + i]);
}

static const Elf64_Ehdr *load_image(void)
{
    size_t size;
    const char *file = read_file(host.image, &size);
    const Elf64_Ehdr *e = (const Elf64_Ehdr *)file;
    const Elf64_Phdr *p = (const Elf64_Phdr *)(file + (size >= sizeof(*e) ? e->e_phoff : 0));

    if (size < sizeof(*e) || memcmp(e->e_ident, ELFMAG, SELFMAG) || e->e_machine != EM_X86_64 ||
        e->e_type != ET_EXEC || e->e_phentsize != sizeof(*p) || e->e_phoff > size ||
        e->e_phnum > (size - e->e_phoff) / sizeof(*p))
        host_die("%s: not an image for a protection domain", host.image);
    for (unsigned i = 0; i < e->e_phnum; i++)
        if (p[i].p_type == PT_LOAD)
            load_segment(file, size, &p[i]);
        else if (p[i].p_type == PT_NOTE)
            read_build_id(file, size, &p[i]);
    return e;
}

/* Frequency of the time counter, and what it says about the wall clock. */
static void measure_time(struct nova_info *info)
{
    struct timespec a, b, wall;
    uint64_t ticks = host_ticks();
    int64_t ns;

    clock_gettime(CLOCK_MONOTONIC_RAW, &a);
    usleep(20000);
    clock_gettime(CLOCK_MONOTONIC_RAW, &b);
    ticks = host_ticks() - ticks;
    ns = (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec;
    info->tsc_frequency = (uint64_t)((unsigned __int128)ticks * 1000000000 / (uint64_t)ns);
    clock_gettime(CLOCK_REALTIME, &wall);
    info->wall_offset = wall.tv_sec * 1000000000 + wall.tv_nsec - (int64_t)host_tick_ns(host_ticks());
}

static void build_tables(void)
{
    int fd = memfd_create("nova-tables", MFD_CLOEXEC);
    struct nova_info *info;
    char *view;

    if (fd < 0 || ftruncate(fd, 3 * (off_t)PAGE))
        host_die("memfd_create: %s", strerror(errno));
    map_at(NOVA_INFO_ADDR, 3 * PAGE, PROT_READ, MAP_SHARED, fd);
    view = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (view == MAP_FAILED)
        host_die("mmap: %s", strerror(errno));
    close(fd);
    host.info = info = (struct nova_info *)view;
    host.client = (struct nova_session_state *)(view + PAGE);
    host.server = (struct nova_session_state *)(view + 2 * PAGE);
    info->magic = NOVA_INFO_MAGIC;
    info->version = NOVA_INFO_VERSION;
    strncpy(info->name, options.name, NOVA_NAME_MAX - 1);
    info->stack_end = STACK_END;
    info->stack_start = STACK_END - options.stack * 1024;
    info->pool_start = POOL;
    info->pool_size = options.memory << 20;
    info->sel_session = NOVA_SEL_EVENTS + 64 * 64;
    info->portals = NOVA_CPUS_MAX;
    info->sel_free = info->sel_session + NOVA_SESSIONS_MAX * NOVA_CPUS_MAX;
    info->sel_end = SELECTORS;
    info->cpus = options.cpus;
    info->cpu = (uint32_t)__builtin_ctzll(options.cpus);
    info->threads = options.threads < NOVA_UTCB_SLOTS ? options.threads : NOVA_UTCB_SLOTS;
    info->priority = 20;
    info->flags = NOVA_DOMAIN_FPU | NOVA_DOMAIN_CONSOLE;
    info->console = 1;
    measure_time(info);
}

static void build_memory(void)
{
    struct nova_info *info = host.info;

    host.memory = memfd_create("nova-pool", MFD_CLOEXEC);
    if (host.memory < 0 || ftruncate(host.memory, (off_t)info->pool_size))
        host_die("memfd_create: %s", strerror(errno));
    map_at(info->pool_start, info->pool_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
           host.memory);
    map_at(info->stack_start, info->stack_end - info->stack_start, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS, -1);
    map_at(NOVA_UTCB_ADDR, NOVA_UTCB_SLOTS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (options.archive) {
        size_t size;
        const char *data = read_file(options.archive, &size);
        uint64_t at = info->pool_start + info->pool_size + (1UL << 30);

        info->archive_start = at;
        info->archive_size = size;
        if (mremap((void *)(uintptr_t)data, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)at) !=
            (void *)at)
            host_die("%s: cannot be mapped", options.archive);
    }
}

/* Stack of the first thread: strings at its end, then the vectors. */
static uint64_t build_stack(const Elf64_Ehdr *e, int argc, char **argv)
{
    char *text = (char *)(host.info->stack_end - STRINGS);
    size_t count = (size_t)argc + (size_t)options.environments + 3 + 2 * 12;
    uint64_t *stack = (uint64_t *)(((uintptr_t)text - count * sizeof(uint64_t)) & ~15UL);
    uint64_t *at = stack;
    char *limit = (char *)host.info->stack_end;
    char *random = text;
    uint64_t name = 0;

    if (host.info->stack_end - host.info->stack_start < 2 * STRINGS)
        host_die("the stack is too small");
    if (getrandom(random, 16, 0) != 16)
        host_die("no random numbers");
    text += 16;
    *at++ = (uint64_t)argc;
    for (int side = 0; side < 2; side++) {
        char **list = side ? options.environment : argv;
        int n = side ? options.environments : argc;

        for (int i = 0; i < n; i++) {
            size_t length = strlen(list[i]) + 1;

            if (length > (size_t)(limit - text))
                host_die("arguments are too long");
            *at++ = (uint64_t)memcpy(text, list[i], length);
            text += length;
            name = name ? name : at[-1];
        }
        *at++ = 0;
    }
    memcpy(at, (uint64_t[]){AT_PHDR,      NOVA_IMAGE_ADDR + e->e_phoff,
                            AT_PHENT,     e->e_phentsize,
                            AT_PHNUM,     e->e_phnum,
                            AT_PAGESZ,    PAGE,
                            AT_ENTRY,     e->e_entry,
                            AT_EXECFN,    name,
                            AT_RANDOM,    (uint64_t)random,
                            AT_HWCAP,     getauxval(AT_HWCAP),
                            AT_SECURE,    0,
                            NOVA_AT_INFO, NOVA_INFO_ADDR,
                            AT_NULL,      0},
           22 * sizeof(uint64_t));
    return (uint64_t)stack;
}

static void first_objects(void)
{
    struct object *ec = kernel_object(EC);
    struct object *sc = kernel_object(SC);

    ec->utcb = (uint64_t *)NOVA_UTCB_ADDR;
    ec->cpu = host.info->cpu;
    pthread_getcpuclockid(pthread_self(), &ec->clock);
    sc->ec = ec;
    ec->references++;
    kernel_set(NOVA_SEL_FIRST_EC, ec);
    kernel_set(NOVA_SEL_FIRST_SC, sc);
    host.threads = 1;
    host_self = ec;
}

static int usage(int status)
{
    fputs("usage: nova-host [OPTION]... PROGRAM [ARGUMENT]...\n"
          "Runs a program that was built for a protection domain as a Linux process.\n\n"
          "  -m MIB         memory (default 16)\n"
          "  -s KIB         stack of the first thread (default 256)\n"
          "  -c CPUS        number of CPUs (default 2)\n"
          "  -t THREADS     threads that it may have (default 64)\n"
          "  -f ARCHIVE     files: a ustar archive\n"
          "  -n NAME        name of the domain (default: that of the program)\n"
          "  -e NAME=VALUE  environment, repeatable\n"
          "  -h             this text\n\n"
          "The exit status is that of the program; 125: nova-host itself failed.\n",
          status ? stderr : stdout);
    return status;
}

static uint64_t number(const char *text, uint64_t least, uint64_t most)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most)
        host_die("%s: not a number from %llu to %llu", text, (unsigned long long)least,
                 (unsigned long long)most);
    return value;
}

/* The name of the domain that nova-run makes of a program; see nova_default_system in nova-env. */
static char *name_of(const char *path)
{
    static char name[NOVA_NAME_MAX + 16];
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    const char *dot = strrchr(base, '.');
    size_t length = dot && !dot[1 + strspn(dot + 1, ALPHANUMERIC)] ? (size_t)(dot - base) : strlen(base);

    snprintf(name, NOVA_NAME_MAX, "%s%.*s", isalpha((unsigned char)*base) ? "" : "p", (int)length, base);
    for (char *c = name + strspn(name, ALPHANUMERIC "_-"); *c; c += strspn(c, ALPHANUMERIC "_-"))
        *c = '-';
    if (!strcmp(name, "console") || !strcmp(name, "root"))
        strcat(name, "-program");
    return name;
}

static void parse(int argc, char **argv)
{
    int option;

    options.environment = calloc((size_t)argc, sizeof(*options.environment));
    while ((option = getopt(argc, argv, "+m:s:c:t:f:n:e:h")) != -1) {
        switch (option) {
        case 'm':
            options.memory = number(optarg, 1, 65536);
            break;
        case 's':
            options.stack = number(optarg, 128, 65536) & ~3UL;
            break;
        case 'c':
            options.cpus = UINT64_MAX >> (64 - number(optarg, 1, NOVA_CPUS_MAX));
            break;
        case 't':
            options.threads = (unsigned)number(optarg, 1, NOVA_UTCB_SLOTS);
            break;
        case 'f':
            options.archive = optarg;
            break;
        case 'n':
            if (!*optarg || strlen(optarg) >= NOVA_NAME_MAX)
                host_die("%s: a name has 1 to %u characters", optarg, NOVA_NAME_MAX - 1U);
            options.name = optarg;
            break;
        case 'e':
            options.environment[options.environments++] = optarg;
            break;
        case 'h':
            exit(usage(0));
        default:
            exit(usage(125));
        }
    }
    if (optind >= argc)
        exit(usage(125));
    host.image = argv[optind];
    if (!options.name)
        options.name = name_of(host.image);
    argv[optind] = options.name;
}

int main(int argc, char **argv)
{
    const Elf64_Ehdr *e;
    uint64_t stack;

    parse(argc, argv);
    if (!(getauxval(AT_HWCAP2) & 2))
        host_die("this kernel does not let programs set their FS base");
    build_tables();
    e = load_image();
    build_memory();
    first_objects();
    stack = build_stack(e, argc - optind, argv + optind);
    host_enter(e->e_entry, stack);
}
