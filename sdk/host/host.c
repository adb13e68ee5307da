/*
 * Start of nova-host: loads the image, builds what nova/start.h promises, and catches hypercalls.
 *
 * Threads of the program run with their own FS and GS bases, so a signal handler must first of all bring
 * back the FS base that the host's C library needs: it lies at the bottom of the alternate signal stack,
 * which is aligned to its size.
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include "host.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ALTERNATE 131072UL
#define STACK_END 0x30000000UL
#define POOL 0x800000000UL
#define STRINGS 65536UL

struct host host = {.lock = PTHREAD_MUTEX_INITIALIZER, .ipc = PTHREAD_COND_INITIALIZER};

static _Thread_local sigjmp_buf end_of_thread;
static const char *image_path;

/* At the bottom of each alternate stack. */
struct bottom {
    uint64_t fs;
};

static struct options {
    uint64_t memory, cpus, stack;
    unsigned threads;
    const char *archive, *name;
    char **environment;
    int environments;
} options = {.memory = 16, .cpus = 3, .stack = 256, .threads = 64};

_Noreturn void host_die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("nova-host: ", stderr);
    vfprintf(stderr, format, arguments);
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

static uint64_t read_fs(void)
{
    uint64_t fs;

    __asm__ volatile("rdfsbase %0" : "=r"(fs) : : "memory");
    return fs;
}

static void write_fs(uint64_t fs)
{
    __asm__ volatile("wrfsbase %0" : : "r"(fs) : "memory");
}

/* To the host's FS base; returns that of the program. */
static uint64_t leave_program(void)
{
    uint64_t fs = read_fs();

    write_fs(((const struct bottom *)((uintptr_t)__builtin_frame_address(0) & ~(ALTERNATE - 1)))->fs);
    return fs;
}

static void on_syscall(int signal, siginfo_t *info, void *context)
{
    uint64_t fs = leave_program();

    (void)signal;
    (void)info;
    pthread_mutex_lock(&host.lock);
    kernel_call(((ucontext_t *)context)->uc_mcontext.gregs);
    pthread_mutex_unlock(&host.lock);
    write_fs(fs);
}

static const char *cause_of(int signal, const siginfo_t *info)
{
    if (signal == SIGSEGV)
        return info->si_code == SEGV_ACCERR ? "page fault: no permission" : "page fault: nothing mapped";
    return signal == SIGILL   ? "invalid opcode"
           : signal == SIGFPE ? "divide error"
           : signal == SIGBUS ? "bus error"
                              : "trap";
}

/* A crash of the program: a report, and then the host's own way to die, for debuggers. */
static void on_crash(int signal, siginfo_t *info, void *context)
{
    const greg_t *r = ((const ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)r[REG_RIP];

    if (rip >= NOVA_IMAGE_ADDR && rip < NOVA_IMAGE_END)
        leave_program();
    dprintf(2, "[host] crash %s cause=\"%s\" rip=%#llx rsp=%#llx addr=%p\n", host.info->name,
            cause_of(signal, info), (unsigned long long)rip, (unsigned long long)r[REG_RSP], info->si_addr);
    sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
}

static void *alternate_new(void)
{
    char *area = mmap(NULL, 2 * ALTERNATE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *aligned = (char *)(((uintptr_t)area + ALTERNATE - 1) & ~(ALTERNATE - 1));

    if (area == MAP_FAILED)
        host_die("no memory for a thread");
    ((struct bottom *)aligned)->fs = read_fs();
    if (sigaltstack(&(stack_t){.ss_sp = aligned, .ss_size = ALTERNATE}, NULL))
        host_die("sigaltstack: %s", strerror(errno));
    return area;
}

static _Noreturn void jump(uint64_t ip, uint64_t sp, uint64_t rdi, uint64_t rsi)
{
    __asm__ volatile("mov %[sp], %%rsp\n\txor %%ebp, %%ebp\n\tjmp *%[ip]"
                     :
                     : [sp] "r"(sp), [ip] "r"(ip), "D"(rdi), "S"(rsi), "d"(0UL)
                     : "memory");
    __builtin_unreachable();
}

void host_thread_end(void)
{
    siglongjmp(end_of_thread, 1);
}

/* Life of a thread. The lock is held at both ends of its waiting. */
static void *live(void *argument)
{
    struct object *ec = argument;
    greg_t r[NGREG] = {[REG_RIP] = (greg_t)ec->ip, [REG_RSP] = (greg_t)ec->sp};
    void *volatile area = alternate_new();

    host_self = ec;
    pthread_mutex_lock(&host.lock);
    pthread_getcpuclockid(pthread_self(), &ec->clock);
    if (!sigsetjmp(end_of_thread, 1)) {
        if (ec->local)
            kernel_wait_call(ec, r);
        pthread_mutex_unlock(&host.lock);
        jump((uint64_t)r[REG_RIP], (uint64_t)r[REG_RSP], (uint64_t)r[REG_RDI], (uint64_t)r[REG_RSI]);
    }
    kernel_put(host_self);
    pthread_mutex_unlock(&host.lock);
    sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
    munmap(area, 2 * ALTERNATE);
    return NULL;
}

void host_thread(struct object *ec)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, live, ec))
        host_die("cannot create a thread");
    pthread_attr_destroy(&attributes);
}

/* Hypercalls of the image raise SIGSYS; the host's own system calls come from elsewhere. */
static void catch_hypercalls(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)NOVA_IMAGE_END, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)};
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};

    sigaction(
        SIGSYS,
        &(struct sigaction){.sa_sigaction = on_syscall, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER},
        NULL);
    for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
        sigaction(
            crashes[i],
            &(struct sigaction){.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER},
            NULL);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        host_die("this kernel has no seccomp filters: %s", strerror(errno));
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
        host_die("%s: not an image for a protection domain", image_path);
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
        note->n_descsz > sizeof(host.info->build_id) || p->p_filesz < sizeof(*note) + 4 + note->n_descsz)
        return;
    host.info->build_id_size = note->n_descsz;
    memcpy(host.info->build_id, (const char *)(note + 1) + 4, note->n_descsz);
}

static const Elf64_Ehdr *load_image(void)
{
    size_t size;
    const char *file = read_file(image_path, &size);
    const Elf64_Ehdr *e = (const Elf64_Ehdr *)file;
    const Elf64_Phdr *p = (const Elf64_Phdr *)(file + (size >= sizeof(*e) ? e->e_phoff : 0));

    if (size < sizeof(*e) || memcmp(e->e_ident, ELFMAG, SELFMAG) || e->e_machine != EM_X86_64 ||
        e->e_type != ET_EXEC || e->e_phentsize != sizeof(*p) || e->e_phoff > size ||
        e->e_phnum > (size - e->e_phoff) / sizeof(*p))
        host_die("%s: not an image for a protection domain", image_path);
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
    info->sel_free = NOVA_SEL_EVENTS + 64 * 64;
    info->sel_end = SELECTORS;
    info->cpus = options.cpus;
    info->cpu = (uint32_t)__builtin_ctzll(options.cpus);
    info->threads = options.threads < NOVA_UTCB_SLOTS ? options.threads : NOVA_UTCB_SLOTS;
    info->priority = 20;
    info->flags = NOVA_DOMAIN_FPU;
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
    image_path = argv[optind];
    if (!options.name)
        options.name = strrchr(image_path, '/') ? strrchr(image_path, '/') + 1 : image_path;
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
    if (sigsetjmp(end_of_thread, 1)) {
        /* The first thread has ended, the others go on. */
        pthread_mutex_unlock(&host.lock);
        for (;;)
            pause();
    }
    alternate_new();
    catch_hypercalls();
    jump(e->e_entry, stack, 0, 0);
}
