/*
 * The VMM with a wish to die: linked with all of it, this runs first. In its first lives a thread lets the domain crash at a random
 * moment; in the last one it resets the machine at random moments, waits a while, and powers it off. How often of each, and for how
 * long, is on the guest's command line: `kills=N resets=N ms=N'. With `forget=1' it has no handler for CPUID, which makes that an
 * exit that nobody expects. With `again=1' a vCPU that cannot go on resets the machine instead of ending it.
 *
 * SPDX-License-Identifier: MIT
 */

#include "cpu/cpu.h"
#include "cpu/machine.h"

#include <nova/log.h>
#include <nova/program.h>
#include <nova/thread.h>
#include <nova/time.h>

#include <string.h>

int __real_main(int argc, char **argv);
int __wrap_main(int argc, char **argv);
int __real_vcpu_create(unsigned number, unsigned cpu);
int __wrap_vcpu_create(unsigned number, unsigned cpu);

void __real_machine_broken(unsigned vcpu, const char *why);
void __wrap_machine_broken(unsigned vcpu, const char *why);

static volatile int *volatile nowhere;
static uint64_t kills, resets, ms, forget, again;

static uint64_t option(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    uint64_t value = 0;

    for (at = at ? at + strlen(name) : ""; *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    return value;
}

/* Sleeps for up to the given time. */
static void sleep_random(void)
{
    static uint64_t seed;

    seed = (seed ^ __builtin_ia32_rdtsc()) * 0x9e3779b97f4a7c15;
    nova_sleep_until(nova_now() + (seed >> 32) % (ms * NOVA_MS));
}

/* Waits until the machine has been started so many times. */
static void wait_for_start(uint32_t count)
{
    while (__atomic_load_n(&machine_epoch, __ATOMIC_ACQUIRE) < count)
        nova_sleep_until(nova_now() + NOVA_MS);
}

static void fate(void *context)
{
    (void)context;
    if (nova_info()->restarts < kills) {
        sleep_random();
        *nowhere = 1;
    }
    wait_for_start(1);
    for (uint32_t i = 0; i < resets; i++) {
        sleep_random();
        machine_reset();
        wait_for_start(i + 2);
    }
    nova_sleep_until(nova_now() + ms * NOVA_MS);
    nova_print("lived to the end, started %u times\n", machine_epoch);
    machine_power_off();
}

/* Before the first one: the table of exits without CPUID. */
int __wrap_vcpu_create(unsigned number, unsigned cpu)
{
    static struct exit exits[EVENTS];

    if (forget && vendor.exits != exits) {
        memcpy(exits, vendor.exits, sizeof(exits));
        for (unsigned i = 0; i < EVENTS; i++)
            if (exits[i].name && !strcmp(exits[i].name, "CPUID"))
                exits[i] = (struct exit){0};
        vendor.exits = exits;
    }
    return __real_vcpu_create(number, cpu);
}

void __wrap_machine_broken(unsigned vcpu, const char *why)
{
    if (!again) {
        __real_machine_broken(vcpu, why);
        return;
    }
    nova_print("vCPU %u: %s\n", vcpu, why);
    machine_reset();
}

int __wrap_main(int argc, char **argv)
{
    uint64_t cpus = nova_info()->cpus, odd = nova_info()->restarts % 2;
    unsigned cpu = (unsigned)(odd ? 63 - __builtin_clzl(cpus) : __builtin_ctzl(cpus));
    struct nova_thread *thread;

    for (int i = 1; i < argc; i++) {
        kills += option(argv[i], "kills=");
        resets += option(argv[i], "resets=");
        ms += option(argv[i], "ms=");
        forget += option(argv[i], "forget=");
        again += option(argv[i], "again=");
    }
    if (ms && nova_thread_create(&thread, fate, NULL,
                                 &(struct nova_thread_options){.cpu = NOVA_ON_CPU(cpu), .detached = 1}))
        nova_exit(2);
    return __real_main(argc, argv);
}
