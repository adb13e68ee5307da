/*
 * Protection domains: building, ending, starting again.
 *
 * Main thread only, under the lock, except for domain_alive().
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "system.h"

#define INFO_PAGES 3 /* information and two tables; a page that stands in for lost buffers is behind */
#define GUEST_END (1UL << 48) /* of guest-physical addresses */
#define BUDGET_MS 10UL        /* of an SC, unless the domain wants another */
#define STATUS_CRASHED 128    /* exit status of a domain that has crashed */

enum domain_state {
    DOMAIN_RUNNING,
    DOMAIN_WAITING, /* starts at `restart_at` */
    DOMAIN_ENDED    /* for good, with `status` */
};

/* Places of a domain's table of sessions: first those that it has opened, then those that it serves. */
#define SESSIONS (2U * NOVA_SESSIONS_MAX)

/* One side of a session. The rest is what it sees: its nova_session_state. */
struct session {
    struct domain *peer; /* null: gone */
    unsigned number;     /* in the peer's table */
    unsigned connect;    /* client: what permits it */
};

struct domain {
    const struct nova_manifest_domain *config;
    const struct nova_info *plan; /* of config: what does not change */
    unsigned service, services;   /* the first that it provides, and how many */
    unsigned index;
    enum domain_state state;
    uint32_t life; /* raised with every start: requests of earlier lives are void */
    uint32_t restarts;
    uint64_t restart_at;
    unsigned status;
    uint64_t pool;  /* physical */
    uint64_t guest; /* physical: memory of a virtual machine's guest */
    uint64_t pages; /* physical: information, tables, one that stands in for lost buffers */
    struct nova_info *info;
    struct nova_session_state *table;
    uint64_t entry; /* where its next global thread starts */
    uint32_t threads, vcpus;
    struct session session[SESSIONS];
};

/* Selectors of a domain's PD and spaces. */
#define DOMAIN_PD(d) (SEL_DOMAIN + 8UL * (d)->index)
#define DOMAIN_OBJ(d) (DOMAIN_PD(d) + 1)
#define DOMAIN_HST(d) (DOMAIN_PD(d) + 2)
#define DOMAIN_PIO(d) (DOMAIN_PD(d) + 3)
#define DOMAIN_GST(d) (DOMAIN_PD(d) + 4)

extern struct domain *domains; /* as many as in the manifest, in its order */

/* Takes memory for all domains. */
void domains_init(void);

/* The domain, if it runs and this is its life; else null. */
struct domain *domain_alive(unsigned index, uint32_t life);

/* Whether selectors [first, first + count) are the domain's to use as it likes. */
bool domain_selectors(const struct domain *d, uint64_t first, uint64_t count);

/* Physical address of pages of its pool, of its data segments, or of the memory of its guest; 0 if they are not all there. */
uint64_t domain_memory(const struct domain *d, uint64_t address, uint64_t pages);

/* Takes everything away from it. Its sessions end for both sides. */
void domain_destroy(struct domain *d);

/* It has ended by itself. */
void domain_exit(struct domain *d, unsigned status);

/* Whether it may use a CPU. */
bool domain_cpu(const struct domain *d, uint64_t cpu);

/*
 * Makes an EC in the domain, at `sel`, and unless scd is 0 an SC at the selector behind. An `enum nova_error`; if it is
 * not 0 nothing is left.
 */
int domain_ec(struct domain *d, uint64_t cpu, uint64_t utcb, uint64_t sp, uint64_t events, unsigned flags,
              uint64_t sel, uint64_t scd);

/* A new thread, from the words of a checked NOVA_PARENT_THREAD. An `enum nova_error`. */
int domain_thread(struct domain *d, const uint64_t *word);

/* A thread of it had an exception: writes the record, then does what the policy says. */
void domain_crash(struct domain *d, unsigned cpu, unsigned exception, const struct nova_arch_state *state);

/* -- session.c: sessions between domains. Under the lock. -- */

/*
 * Operations of nova/parent.h, with the words of the message, of which OPEN overwrites 1 with its result. They return
 * `enum nova_error`.
 */
int session_serve(struct domain *server, uint64_t *word);
int session_open(struct domain *client, uint64_t *word);
int session_close(struct domain *d, uint64_t *word);

/* The domain has ended: its clients find their sessions gone, its servers lose its buffers. */
void sessions_end(struct domain *d);

/* -- vm.c: virtual machines -- */

/* Guest space with the memory of the guest, MSR space; true if kernel memory does not suffice. */
bool vm_build(struct domain *d);

/* NOVA_PARENT_VCPU. */
int vm_vcpu(struct domain *d, uint64_t *word);

/* -- crash.c -- */

/* Writes the record of a thread's exception. Main thread only. */
void crash_report(const struct domain *d, unsigned cpu, unsigned exception,
                  const struct nova_arch_state *state);

/* -- parent.c: requests of domains to their parent (nova/parent.h). Under the lock. -- */

/* Serves a message of `words` words in place; returns how many words the reply has. */
unsigned parent_request(struct domain *d, uint64_t *word, unsigned words);

/* -- end.c: end of the system. Main thread only. -- */

/* Ends the system if the domain that it depends on has ended for good, or all that are no servers. */
void end_check(void);

/* Ends it with this status, as the system file says: power-off, reset, or nothing but a line in the log. */
void end_system(unsigned status);

/* Whether nothing is to be started any more. */
bool end_begun(void);

/* Once that is so: switches the machine off when the log is out. The time to be called again. */
uint64_t end_poll(void);

/* Starts what is to start now. The time of the next start, or 0. Takes the lock itself. */
uint64_t domains_poll(void);
