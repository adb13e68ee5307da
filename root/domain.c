/*
 * Life of a domain: memory and image, spaces, first thread; and the reverse of it.
 *
 * What a domain is made of is paid for by its own account of kernel memory. Root keeps capabilities for its
 * PD and spaces only; so with those, and with the contents of its object space, all of it goes.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"

#include "events.h"
#include "log.h"

#include <nova/parent.h>

#define LARGEST_ORDER 31
#define RANDOM_TRIES 100
#define BACKOFF_MAX 3600000UL

struct domain *domains;

void domains_init(void)
{
    unsigned count = manifest.head->domains;

    domains = root_alloc(count * sizeof(*domains));
    for (unsigned i = 0; i < count; i++) {
        struct domain *d = &domains[i];

        *d = (struct domain){.config = &manifest.domain[i],
                             .plan = &manifest.domain[i].info,
                             .index = i,
                             .state = DOMAIN_WAITING};
        d->info = root_alloc((INFO_PAGES + 1) * PAGE_SIZE);
        d->pages = (uint64_t)d->info - PHYSICAL_BASE;
        d->table = (void *)((char *)d->info + PAGE_SIZE);
    }
    for (struct domain *d = domains; d < domains + count; d++) {
        d->pool = pages_alloc(d->plan->pool_size / PAGE_SIZE);
        if (d->plan->guest_size)
            d->guest = pages_alloc(d->plan->guest_size / PAGE_SIZE);
    }
    for (unsigned i = 0; i < manifest.head->services; i++) {
        struct domain *d = &domains[manifest.service[i].domain];

        d->service = d->services++ ? d->service : i;
    }
}

struct domain *domain_alive(unsigned index, uint32_t life)
{
    struct domain *d = &domains[index];

    return d->state == DOMAIN_RUNNING && d->life == life ? d : NULL;
}

bool domain_cpu(const struct domain *d, uint64_t cpu)
{
    return cpu < NOVA_CPUS_MAX && d->plan->cpus & 1UL << cpu;
}

bool domain_selectors(const struct domain *d, uint64_t first, uint64_t count)
{
    return first >= d->info->sel_free && first <= d->info->sel_end && count <= d->info->sel_end - first;
}

/* Physical address of memory that it has. */
static uint64_t source_of(const struct domain *d, const struct nova_manifest_resource *r)
{
    return r->first * PAGE_SIZE + (r->kind == NOVA_RESOURCE_POOL     ? d->pool
                                   : r->kind == NOVA_RESOURCE_GUEST  ? d->guest
                                   : r->kind == NOVA_RESOURCE_MODULE ? module[r->module].start
                                                                     : 0);
}

uint64_t domain_memory(const struct domain *d, uint64_t address, uint64_t pages)
{
    for (unsigned i = 0; i < manifest.head->resources; i++) {
        const struct nova_manifest_resource *r = &manifest.resource[i];
        uint64_t offset = address - r->address, size = r->count * PAGE_SIZE;

        if (r->domain == d->index && (r->kind == NOVA_RESOURCE_POOL || r->kind == NOVA_RESOURCE_GUEST) &&
            r->flags & NOVA_MEM_W && offset < size && pages <= (size - offset) / PAGE_SIZE)
            return address % PAGE_SIZE ? 0 : source_of(d, r) + offset;
    }
    return 0;
}

/* -- Contents of its memory -- */

static void fill_info(struct domain *d)
{
    struct nova_info *i = d->info;

    memset(i, 0, INFO_PAGES * PAGE_SIZE);
    *i = *d->plan;
    i->tsc_frequency = hip->stc_frequency;
    i->wall_offset = wall_clock;
    i->sel_session = NOVA_SEL_EVENTS + 64UL * count_bits(i->cpus);
    for (i->portals = 1; i->portals < NOVA_CPUS_MAX && i->cpus >> i->portals;)
        i->portals *= 2;
    i->sel_free = i->sel_session + (uint64_t)NOVA_SESSIONS_MAX * i->portals;
    i->sel_end = hip->sel_num;
    i->restarts = d->restarts;
}

/* 16 bytes of the CPU's; false if it does not give any. Broken ones are known to give all bits set. */
static bool random_bytes(uint64_t *word)
{
    unsigned n = 0;

    for (unsigned tries = 0; n < 2 && tries < RANDOM_TRIES; tries++) {
        bool ok;

        __asm__ volatile("rdrand %0" : "=r"(word[n]), "=@ccc"(ok));
        n += ok && word[n] != UINT64_MAX;
    }
    return n == 2;
}

/* The end of the stack, which lies behind the data segments in the pool. False: there are no random bytes for it. */
static bool fill_stack(const struct domain *d)
{
    const struct nova_manifest_domain *c = d->config;
    uint8_t *stack = (uint8_t *)physical(d->pool) + d->info->pool_used - c->stack_size;

    memcpy(stack, manifest.stacks + c->stack, c->stack_size);
    return random_bytes((uint64_t *)(void *)(stack + c->stack_size) - 2);
}

/* -- Its spaces; true if kernel memory does not suffice, or something is not there -- */

static bool map(struct domain *d, uint64_t address, uint64_t from, uint64_t bytes, unsigned perm,
                uint32_t mad)
{
    return delegate(SEL_NOVA_HST, DOMAIN_HST(d), from / PAGE_SIZE, address / PAGE_SIZE,
                    (bytes + PAGE_SIZE - 1) / PAGE_SIZE, 31, perm, mad) != NOVA_SUCCESS;
}

/* Configures an interrupt; its semaphore is at SEL_NEW. */
static bool assign(const struct domain *d, const struct nova_manifest_resource *r, unsigned flags)
{
    uint64_t addr, data;

    take(hip->sel_num - NOVA_ROOT_SEL_NOVA_OBJ, NOVA_SEL_INT + r->first, SEL_NEW, NOVA_PERM_ALL);
    return nova_hc_assign_int(SEL_NEW, d->info->cpu, 0, r->flags | flags, &addr, &data) != NOVA_SUCCESS;
}

/* Ports, interrupts, memory. Data segments are copied into the pool first. */
static bool give_resources(struct domain *d)
{
    const struct nova_manifest_resource *r = manifest.resource, *end = r + manifest.head->resources;
    const uint8_t *file = physical(module[d->config->image].start);
    uint64_t interrupt = NOVA_SEL_INTERRUPT;
    bool failed = map(d, NOVA_INFO_ADDR, d->pages, INFO_PAGES * PAGE_SIZE, NOVA_MEM_R, NOVA_MAD_WB);

    for (; !failed && r < end; r++) {
        if (r->domain != d->index)
            continue;
        if (r->size)
            memcpy(physical(source_of(d, r)), file + r->contents, r->size);
        if (r->kind == NOVA_RESOURCE_PORTS)
            failed = delegate(SEL_NOVA_PIO, DOMAIN_PIO(d), r->first, r->first, r->count, 16, NOVA_PIO_A, 0);
        else if (r->kind == NOVA_RESOURCE_INTERRUPT)
            failed = assign(d, r, 0) || hand_over(SEL_NEW, DOMAIN_OBJ(d), interrupt++, NOVA_PERM_ALL);
        else
            failed = map(d, r->address, source_of(d, r), r->count * PAGE_SIZE, r->flags,
                         r->kind == NOVA_RESOURCE_DEVICE ? NOVA_MAD_UC : NOVA_MAD_WB);
    }
    return failed;
}

/* Portals for the events of its threads, and to root, for each of its CPUs. */
static bool create_portals(struct domain *d)
{
    const uint32_t all = NOVA_MTD_GPR_0_7 | NOVA_MTD_GPR_8_15 | NOVA_MTD_RFLAGS | NOVA_MTD_RIP |
                         NOVA_MTD_FS_GS | NOVA_MTD_QUAL;
    /* Exceptions that are delivered, see nova_events(2). */
    const uint64_t kinds = 0x3b78fb | 1UL << PORTAL_STARTUP | 1UL << PORTAL_PARENT;
    bool failed = false;

    for (uint64_t cpus = d->plan->cpus, events = NOVA_SEL_EVENTS; cpus; cpus &= cpus - 1, events += 64) {
        unsigned cpu = (unsigned)__builtin_ctzl(cpus);

        for (uint64_t rest = kinds; !failed && rest; rest &= rest - 1) {
            unsigned kind = (unsigned)__builtin_ctzl(rest);
            bool parent = kind == PORTAL_PARENT;

            failed =
                portal_create(SEL_NEW, SEL_HANDLER + cpu, DOMAIN_PD(d), 0,
                              PORTAL_ID(cpu, kind, d->index, d->life), kind < PORTAL_STARTUP ? all : 0) ||
                hand_over(SEL_NEW, DOMAIN_OBJ(d), parent ? NOVA_SEL_PARENT + cpu : events + kind,
                          parent ? NOVA_PT_CALL : NOVA_PT_EVENT);
        }
    }
    return failed;
}

static bool create_spaces(struct domain *d)
{
    uint64_t pd = DOMAIN_PD(d), obj = DOMAIN_OBJ(d), hst = DOMAIN_HST(d);

    return nova_hc_create_pd_limited(pd, sel_pd, d->config->kernel_pages) ||
           nova_hc_create_pd(obj, pd, NOVA_PD_OBJ) || nova_hc_create_pd(hst, pd, NOVA_PD_HST) ||
           nova_hc_create_pd(DOMAIN_PIO(d), pd, NOVA_PD_PIO) ||
           give(pd, obj, NOVA_SEL_PD, NOVA_PD_CREATE_PT | NOVA_PD_CREATE_SM);
}

int domain_ec(struct domain *d, uint64_t cpu, uint64_t utcb, uint64_t sp, uint64_t events, unsigned flags,
              uint64_t sel, uint64_t scd)
{
    unsigned perm = flags & NOVA_EC_GUEST ? NOVA_EC_CTRL : NOVA_EC_CTRL | NOVA_EC_BIND_PT;
    unsigned status = nova_hc_create_ec(SEL_NEW, DOMAIN_PD(d), utcb, (unsigned)cpu, sp, events, flags);

    if (status)
        return nova_hc_error(status);
    status = give(SEL_NEW, DOMAIN_OBJ(d), sel, perm);
    if (!status && scd)
        status = nova_hc_create_sc(SEL_NEW_SC, DOMAIN_PD(d), SEL_NEW, scd);
    if (!status && scd)
        status = hand_over(SEL_NEW_SC, DOMAIN_OBJ(d), sel + 1, NOVA_SC_CTRL);
    if (status)
        revoke(DOMAIN_OBJ(d), sel, 1);
    drop(SEL_NEW);
    return nova_hc_error(status);
}

int domain_thread(struct domain *d, const uint64_t *word)
{
    uint64_t cpu = word[1], priority = word[6], highest = d->plan->priority;
    uint64_t events = NOVA_SEL_EVENTS + 64UL * count_bits(d->plan->cpus & ((1UL << cpu) - 1));
    unsigned global = word[5] & NOVA_THREAD_LOCAL ? 0 : NOVA_EC_GLOBAL;
    int error;

    if (d->threads >= d->plan->threads)
        return NOVA_ERR_LIMIT;
    priority = priority && priority < highest ? priority : highest;
    error = domain_ec(d, cpu, NOVA_UTCB_ADDR + word[2] * PAGE_SIZE, word[3], events,
                      global | (word[5] & NOVA_THREAD_FPU ? NOVA_EC_FPU : 0U), word[8],
                      global ? NOVA_SCD(priority, word[7] ? word[7] : BUDGET_MS) : 0);
    if (!error && global)
        d->entry = word[4];
    d->threads += !error;
    return error;
}

/* -- Start and end -- */

static const char *build(struct domain *d)
{
    const struct nova_info *i = d->plan;
    uint64_t first[] = {[1] = i->cpu,
                        [3] = i->stack_end - d->config->stack_size,
                        [4] = d->config->entry,
                        [5] = i->flags & NOVA_DOMAIN_FPU ? NOVA_THREAD_FPU : 0,
                        [8] = NOVA_SEL_FIRST_EC};

    fill_info(d);
    if (!fill_stack(d))
        return "the CPU gives no random numbers";
    if (create_spaces(d) || give_resources(d) || create_portals(d) || (i->vcpus && vm_build(d)) ||
        domain_thread(d, first))
        return "its kernel memory does not suffice, or a resource is not there";
    return NULL;
}

void domain_destroy(struct domain *d)
{
    for (unsigned i = 0; i < manifest.head->resources; i++)
        if (manifest.resource[i].domain == d->index && manifest.resource[i].kind == NOVA_RESOURCE_INTERRUPT)
            assign(d, &manifest.resource[i], NOVA_INT_MASK);
    /* Emptying its spaces returns when no CPU uses anything of them any more. */
    delegate(sel_obj, DOMAIN_OBJ(d), 0, 0, hip->sel_num, LARGEST_ORDER, 0, 0);
    delegate(SEL_HST, DOMAIN_HST(d), 0, 0, USER_END / PAGE_SIZE, LARGEST_ORDER, 0, 0);
    delegate(SEL_HST, DOMAIN_GST(d), 0, 0, GUEST_END / PAGE_SIZE, LARGEST_ORDER, 0, 0);
    sessions_end(d);
    for (uint64_t sel = DOMAIN_PD(d); sel <= DOMAIN_GST(d); sel++)
        drop(sel);
    drop(SEL_NEW);
    drop(SEL_NEW_SC);
}

/* Nothing is left of it, and it does not start again unless the policy says so. */
static void set_ended(struct domain *d, unsigned status)
{
    domain_destroy(d);
    d->state = DOMAIN_ENDED;
    d->status = status;
    if (d->index == manifest.head->console)
        log_to_serial();
}

void domain_exit(struct domain *d, unsigned status)
{
    log_root("exit %s status=%u", d->plan->name, status);
    set_ended(d, status);
    end_check();
}

/* It cannot go on: does what the system file says. */
static void fail(struct domain *d)
{
    const struct nova_manifest_domain *c = d->config;
    uint64_t ms = c->backoff_ms;

    set_ended(d, STATUS_CRASHED);
    if (c->policy != NOVA_POLICY_RESTART || d->restarts >= c->restarts) {
        log_root("stop %s", d->plan->name);
        if (c->policy == NOVA_POLICY_HALT)
            end_system(STATUS_CRASHED);
        end_check();
        return;
    }
    for (uint32_t i = 0; i < d->restarts && ms < BACKOFF_MAX; i++)
        ms *= 2;
    ms = ms < BACKOFF_MAX ? ms : BACKOFF_MAX;
    d->restarts++;
    d->state = DOMAIN_WAITING;
    d->restart_at = deadline_ms(ms);
    log_root("restart %s n=%u after=%lums", d->plan->name, d->restarts, ms);
}

void domain_crash(struct domain *d, unsigned cpu, unsigned exception, const struct nova_arch_state *state)
{
    crash_report(d, cpu, exception, state);
    fail(d);
}

/* Clears memory that nobody uses: without the lock, and in pieces, between which requests are served. */
static void clear(uint64_t at, uint64_t bytes)
{
    uint8_t *p = map_physical(at, bytes, NOVA_MEM_R | NOVA_MEM_W);

    for (uint64_t done = 0; done < bytes; done += LARGE_PAGE) {
        memset(p + done, 0, bytes - done < LARGE_PAGE ? bytes - done : LARGE_PAGE);
        serve_main();
    }
}

/* Starts a domain whose time has come. */
static void start(struct domain *d)
{
    uint64_t bytes = d->plan->pool_size, guest = d->plan->guest_size;
    const char *error;

    clear(d->pool, bytes);
    clear(d->guest, guest);
    map_physical(d->guest, guest, 0);
    lock();
    d->life++;
    d->threads = d->vcpus = 0;
    d->state = DOMAIN_RUNNING;
    error = build(d);
    map_physical(d->pool, bytes, 0);
    if (error) {
        log_root("refuse %s cause=\"%s\"", d->plan->name, error);
        fail(d);
    } else {
        log_root("start %s build=%s image=%u", d->plan->name, d->plan->build_id, d->config->image);
        if (d->index == manifest.head->console)
            log_to_console();
    }
    unlock();
}

uint64_t domains_poll(void)
{
    unsigned count = manifest.head->domains, console = manifest.head->console;
    uint64_t next = 0;

    for (unsigned i = 0; i <= count && !end_begun(); i++) {
        struct domain *d = &domains[i ? i - 1 : console < count ? console : 0]; /* the console first */

        if (d->state == DOMAIN_WAITING && d->restart_at <= now())
            start(d);
        if (d->state == DOMAIN_WAITING && (!next || d->restart_at < next))
            next = d->restart_at;
    }
    return next;
}
