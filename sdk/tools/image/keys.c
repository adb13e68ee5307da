/*
 * The keys of system files: for each, which form its value has and what it sets.
 *
 * A value in error sets nothing; the message says which word is wrong and why.
 *
 * SPDX-License-Identifier: MIT
 */

#include "parse.h"

#include <string.h>

#include <nova/abi/hypercall.h>

void bad(struct parser *p, const char *why)
{
    complain(p->s, p->line, "%s: %s", p->key, why);
}

void bad_word(struct parser *p, const char *word, const char *why)
{
    complain(p->s, p->line, "%s: `%s': %s", p->key, word, why);
}

/* Exactly one word. */
static const char *one(struct parser *p, const struct words *words)
{
    if (words->count != 1) {
        bad(p, "one value is wanted; quote it if it has blanks");
        return NULL;
    }
    return words->word[0];
}

static bool number(struct parser *p, const struct words *words, uint64_t low, uint64_t high, uint32_t *value)
{
    const char *text = one(p, words), *error;
    uint64_t result = 0;

    if (!text)
        return false;
    error = parse_number(text, &result);
    if (!error && (result < low || result > high)) {
        error = arena_print(&p->s->arena, "not in the range from %llu to %llu", (unsigned long long)low,
                            (unsigned long long)high);
    }
    if (error) {
        bad_word(p, text, error);
        return false;
    }
    *value = (uint32_t)result;
    return true;
}

/* A size in whole pages. */
static void size(struct parser *p, const struct words *words, uint64_t high, uint64_t *value)
{
    const char *text = one(p, words), *error;
    uint64_t result = 0;

    if (!text)
        return;
    error = parse_size(text, &result);
    if (!error && (result == 0 || result % PAGE))
        error = "a size is a multiple of 4K, and not 0";
    if (!error && result > high)
        error = arena_print(&p->s->arena, "more than %lluM", (unsigned long long)(high >> 20));
    if (error)
        bad_word(p, text, error);
    else
        *value = result;
}

static void yes_no(struct parser *p, const struct words *words, bool *value)
{
    const char *text = one(p, words);

    if (!text)
        return;
    if (strcmp(text, "yes") && strcmp(text, "no")) {
        bad_word(p, text, "yes or no is wanted");
        return;
    }
    *value = !strcmp(text, "yes");
}

/* The place of a word in a list that ends with NULL. */
static bool choice(struct parser *p, const struct words *words, const char *const *choices, uint16_t *value)
{
    const char *text = one(p, words), *list = "";

    if (!text)
        return false;
    for (uint16_t i = 0; choices[i]; i++) {
        if (!strcmp(text, choices[i])) {
            *value = i;
            return true;
        }
        list = arena_print(&p->s->arena, "%s%s%s", list, i ? ", " : "", choices[i]);
    }
    bad_word(p, text, arena_print(&p->s->arena, "none of: %s", list));
    return false;
}

static bool name(struct parser *p, const char *text)
{
    const char *error = parse_name(text);

    if (error)
        bad_word(p, text, error);
    return !error;
}

static void path(struct parser *p, const struct words *words, const char **value)
{
    const char *text = one(p, words);

    if (text && !*text)
        bad(p, "the name of a file is empty");
    else if (text)
        *value = text;
}

static void set_image(struct parser *p, const struct words *words)
{
    path(p, words, &p->domain->image);
}

static void set_files(struct parser *p, const struct words *words)
{
    path(p, words, &p->domain->archive);
}

/* Of a virtual machine: memory of the guest. */
static void set_memory(struct parser *p, const struct words *words)
{
    struct domain *d = p->domain;

    size(p, words, NOVA_WINDOW_ADDR / 2, d->kind == KIND_VM ? &d->vm.memory : &d->memory);
}

static void set_vmm_memory(struct parser *p, const struct words *words)
{
    size(p, words, NOVA_WINDOW_ADDR / 2, &p->domain->memory);
}

static void set_kernel(struct parser *p, const struct words *words)
{
    path(p, words, &p->domain->vm.kernel);
}

static void set_initrd(struct parser *p, const struct words *words)
{
    path(p, words, &p->domain->vm.initrd);
}

static void set_vcpus(struct parser *p, const struct words *words)
{
    number(p, words, 1, NOVA_VCPUS_MAX, &p->domain->vm.vcpus);
}

static void set_on_triple_fault(struct parser *p, const struct words *words)
{
    static const char *const choices[] = {"reset", "stop", NULL};

    choice(p, words, choices, &p->domain->vm.on_triple_fault);
}

static void set_machine(struct parser *p, const struct words *words)
{
    static const char *const choices[] = {"board", NULL};

    choice(p, words, choices, &p->domain->vm.machine);
}

static void set_kernel_memory(struct parser *p, const struct words *words)
{
    size(p, words, KERNEL_MEMORY, &p->domain->kernel_memory);
}

static void set_stack(struct parser *p, const struct words *words)
{
    size(p, words, NOVA_WINDOW_ADDR / 2, &p->domain->stack);
}

static void set_cpus(struct parser *p, const struct words *words)
{
    const char *error = parse_cpus(words, &p->domain->cpus, &p->domain->all_cpus);

    if (error)
        bad(p, error);
}

static void set_priority(struct parser *p, const struct words *words)
{
    number(p, words, 1, 100, &p->domain->priority);
}

static void set_threads(struct parser *p, const struct words *words)
{
    number(p, words, 1, NOVA_UTCB_SLOTS, &p->domain->threads);
}

static void set_args(struct parser *p, const struct words *words)
{
    p->domain->args = *words;
}

static void set_env(struct parser *p, const struct words *words)
{
    struct words *env = &p->domain->env;

    for (size_t i = 0; i < words->count; i++) {
        char *word = words->word[i], *equals = strchr(word, '=');
        size_t length = equals ? (size_t)(equals - word) + 1 : 0;

        if (length < 2) {
            bad_word(p, word, "not of the form NAME=VALUE");
            continue;
        }
        for (size_t j = 0; j < env->count; j++) {
            if (!strncmp(env->word[j], word, length)) {
                bad(p, arena_print(&p->s->arena, "%.*s is set twice", (int)length - 1, word));
                break;
            }
        }
        env->word = arena_grow(&p->s->arena, env->word, env->count, sizeof(*env->word));
        env->word[env->count++] = word;
    }
}

static void set_provides(struct parser *p, const struct words *words)
{
    struct domain *d = p->domain;

    for (size_t i = 0; i < words->count; i++) {
        if (name(p, words->word[i])) {
            d->services = arena_grow(&p->s->arena, d->services, d->service_count, sizeof(*d->services));
            d->services[d->service_count++] = (struct service){words->word[i], p->line, NONE};
        }
    }
}

bool add_connection(struct parser *p, const char *local, const char *service, uint32_t sessions)
{
    struct domain *d = p->domain;

    if (!name(p, local) || (service != local && !name(p, service)))
        return false;
    d->connections = arena_grow(&p->s->arena, d->connections, d->connection_count, sizeof(*d->connections));
    d->connections[d->connection_count++] = (struct connection){
        .local = local, .service = service, .line = p->line, .sessions = sessions, .target = NONE};
    return true;
}

bool cut_sessions(struct parser *p, char *text, uint32_t *sessions)
{
    const char *word = arena_text(&p->s->arena, text, strlen(text)), *error;
    char *star = strchr(text, '*');
    uint64_t number = 0;

    if (!star)
        return true;
    *star = 0;
    error = parse_number(star + 1, &number);
    if (!error && (number < 1 || number > NOVA_SESSIONS_MAX))
        error = "the number of sessions is not in the range from 1 to 64";
    if (error)
        bad_word(p, word, error);
    else
        *sessions = (uint32_t)number;
    return !error;
}

/* [local:]service[*sessions] */
static void set_connect(struct parser *p, const struct words *words)
{
    for (size_t i = 0; i < words->count; i++) {
        char *text = words->word[i], *colon;
        uint32_t sessions = 1;

        if (!cut_sessions(p, text, &sessions))
            continue;
        colon = strchr(text, ':');
        if (colon)
            *colon = 0;
        add_connection(p, text, colon ? colon + 1 : text, sessions);
    }
}

static void set_on_crash(struct parser *p, const struct words *words)
{
    static const char *const choices[] = {"stop", "restart", "halt", NULL};

    choice(p, words, choices, &p->domain->policy);
}

static void set_restarts(struct parser *p, const struct words *words)
{
    number(p, words, 1, UINT16_MAX, &p->domain->restarts);
}

static void set_backoff(struct parser *p, const struct words *words)
{
    const char *text = one(p, words), *error;
    uint64_t ms = 0;

    if (!text)
        return;
    error = parse_time(text, &ms);
    if (!error && (ms < 1 || ms > 3600000))
        error = "not in the range from 1ms to 3600s";
    if (error)
        bad_word(p, text, error);
    else
        p->domain->backoff_ms = (uint32_t)ms;
}

static void set_fpu(struct parser *p, const struct words *words)
{
    yes_no(p, words, &p->domain->fpu);
}

static void set_keyboard(struct parser *p, const struct words *words)
{
    yes_no(p, words, &p->domain->keyboard);
}

static void add_resource(struct parser *p, struct resource r)
{
    struct domain *d = p->domain;

    r.line = p->line;
    d->resources = arena_grow(&p->s->arena, d->resources, d->resource_count, sizeof(*d->resources));
    d->resources[d->resource_count++] = r;
}

/* first or first-last */
static void set_ports(struct parser *p, const struct words *words)
{
    for (size_t i = 0; i < words->count; i++) {
        char *text = words->word[i], *dash = strchr(text, '-');
        const char *word = arena_text(&p->s->arena, text, strlen(text));
        uint64_t first = 0, last = 0;
        const char *error;

        if (dash)
            *dash = 0;
        error = parse_number(text, &first);
        last = first;
        if (!error && dash)
            error = parse_number(dash + 1, &last);
        if (!error && (last > 0xffff || first > 0xffff))
            error = "ports go up to 0xffff";
        if (!error && last < first)
            error = "the range of ports goes backwards";
        if (error) {
            bad_word(p, word, error);
        } else {
            add_resource(
                p, (struct resource){.kind = NOVA_RESOURCE_PORTS, .first = first, .count = last - first + 1});
        }
    }
}

/* pin [level|edge] [low|high], ... */
static void set_interrupts(struct parser *p, const struct words *words)
{
    static const struct {
        const char *name;
        uint32_t flag, group;
    } flags[] = {{"edge", 0, 1}, {"level", NOVA_INT_LEVEL, 1}, {"high", 0, 2}, {"low", NOVA_INT_LOW, 2}};

    for (size_t i = 0; i < words->count;) {
        struct resource r = {.kind = NOVA_RESOURCE_INTERRUPT, .count = 1};
        const char *error = parse_number(words->word[i], &r.first);
        uint32_t groups = 0;

        if (!error && r.first >= PINS_MAX)
            error = "interrupts have the numbers 0 to 1023";
        if (error)
            bad_word(p, words->word[i], error);
        for (i++; i < words->count; i++) {
            size_t f = 0;

            while (f < 4 && strcmp(words->word[i], flags[f].name))
                f++;
            if (f == 4)
                break;
            if (groups & flags[f].group) {
                error = f < 2 ? "level or edge, and once" : "low or high, and once";
                bad_word(p, words->word[i], error);
            }
            groups |= flags[f].group;
            r.flags |= flags[f].flag;
        }
        if (!error)
            add_resource(p, r);
    }
}

/* address+size */
static void set_device_memory(struct parser *p, const struct words *words)
{
    for (size_t i = 0; i < words->count; i++) {
        char *text = words->word[i], *plus = strchr(text, '+');
        const char *word = arena_text(&p->s->arena, text, strlen(text));
        uint64_t first = 0, bytes = 0;
        const char *error = plus ? NULL : "of the form ADDRESS+SIZE";

        if (plus) {
            *plus = 0;
            error = parse_number(text, &first);
            error = error ? error : parse_size(plus + 1, &bytes);
        }
        if (!error && (first % PAGE || bytes % PAGE || !bytes))
            error = "address and size are multiples of 4K, and the size is not 0";
        if (!error && (first >> 52 || bytes > (UINT64_C(1) << 52) - first))
            error = "addresses end at 2^52";
        if (!error && bytes > DEVICE_MEMORY_MAX)
            error = "more than 64G in one piece";
        if (error) {
            bad_word(p, word, error);
        } else {
            add_resource(p, (struct resource){
                                .kind = NOVA_RESOURCE_DEVICE, .first = first / PAGE, .count = bytes / PAGE});
        }
    }
}

static const struct {
    const char *name;
    enum kind kinds; /* of domains that have it */
    bool repeatable, commas;
    void (*set)(struct parser *p, const struct words *words);
} keys[KEYS] = {
    [KEY_IMAGE] = {"image", KIND_ANY, .set = set_image},
    [KEY_MEMORY] = {"memory", KIND_ANY, .set = set_memory},
    [KEY_KERNEL_MEMORY] = {"kernel-memory", KIND_ANY, .set = set_kernel_memory},
    [KEY_CPUS] = {"cpus", KIND_ANY, .commas = true, .set = set_cpus},
    [KEY_PRIORITY] = {"priority", KIND_ANY, .set = set_priority},
    [KEY_STACK] = {"stack", KIND_ANY, .set = set_stack},
    [KEY_THREADS] = {"threads", KIND_ANY, .set = set_threads},
    [KEY_ARGS] = {"args", KIND_NATIVE, .set = set_args},
    [KEY_ENV] = {"env", KIND_NATIVE, .repeatable = true, .set = set_env},
    [KEY_PROVIDES] = {"provides", KIND_NATIVE, .commas = true, .set = set_provides},
    [KEY_CONNECT] = {"connect", KIND_ANY, .commas = true, .set = set_connect},
    [KEY_ON_CRASH] = {"on-crash", KIND_ANY, .set = set_on_crash},
    [KEY_RESTARTS] = {"restarts", KIND_ANY, .set = set_restarts},
    [KEY_BACKOFF] = {"backoff", KIND_ANY, .set = set_backoff},
    [KEY_FILES] = {"files", KIND_NATIVE, .set = set_files},
    [KEY_FPU] = {"fpu", KIND_ANY, .set = set_fpu},
    [KEY_KEYBOARD] = {"keyboard", KIND_NATIVE, .set = set_keyboard},
    [KEY_PORTS] = {"ports", KIND_DRIVER, .commas = true, .set = set_ports},
    [KEY_INTERRUPTS] = {"interrupts", KIND_DRIVER, .commas = true, .set = set_interrupts},
    [KEY_DEVICE_MEMORY] = {"device-memory", KIND_DRIVER, .commas = true, .set = set_device_memory},
    [KEY_KERNEL] = {"kernel", KIND_VM, .set = set_kernel},
    [KEY_INITRD] = {"initrd", KIND_VM, .set = set_initrd},
    [KEY_CMDLINE] = {"cmdline", KIND_VM, .set = set_cmdline},
    [KEY_VCPUS] = {"vcpus", KIND_VM, .set = set_vcpus},
    [KEY_VMM_MEMORY] = {"vmm-memory", KIND_VM, .set = set_vmm_memory},
    [KEY_VSOCK] = {"vsock", KIND_VM, .commas = true, .set = set_vsock},
    [KEY_ON_TRIPLE_FAULT] = {"on-triple-fault", KIND_VM, .set = set_on_triple_fault},
    [KEY_MACHINE] = {"machine", KIND_VM, .set = set_machine},
};

unsigned find_key(const char *name)
{
    unsigned key = 0;

    while (key < KEYS && strcmp(name, keys[key].name))
        key++;
    return key;
}

bool key_has_commas(unsigned key)
{
    return keys[key].commas;
}

void system_key(struct parser *p, const struct words *words)
{
    static const char *const at_exit[] = {"stay", "poweroff", "reset", NULL};
    static const char *const names[] = {"on-exit", "until", "console"};
    unsigned *const lines[] = {&p->s->at_exit_line, &p->s->until_line, &p->s->console_line};
    const char **const values[] = {NULL, &p->s->until, &p->s->console};
    const char *text;

    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(p->key, names[i]))
            continue;
        if (*lines[i]) {
            complain(p->s, p->line, "%s: there is one in line %u already", p->key, *lines[i]);
            return;
        }
        *lines[i] = p->line;
        if (!words->count) {
            bad(p, "the value is missing");
        } else if (!values[i]) {
            choice(p, words, at_exit, &p->s->at_exit);
        } else {
            text = one(p, words);
            if (text && name(p, text))
                *values[i] = text;
        }
        return;
    }
    complain(p->s, p->line, "unknown key `%s' in [system]", p->key);
}

void domain_key(struct parser *p, unsigned key, const struct words *words)
{
    struct domain *d = p->domain;

    if (d->given[key] && !keys[key].repeatable) {
        complain(p->s, p->line, "%s: there is one in line %u already", p->key, d->given[key]);
        return;
    }
    if (!d->given[key])
        d->given[key] = p->line;
    if (!(keys[key].kinds & d->kind)) {
        bad(p, keys[key].kinds == KIND_DRIVER ? "for drivers only: write [driver NAME]"
               : keys[key].kinds == KIND_VM   ? "for virtual machines only: write [vm NAME]"
                                              : "not for virtual machines");
        return;
    }
    if (!words->count) {
        bad(p, "the value is missing");
        return;
    }
    keys[key].set(p, words);
}
