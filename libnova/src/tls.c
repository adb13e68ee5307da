/*
 * Thread-local storage of programs without libc: System V ABI for x86-64, ELF handling for thread-local
 * storage, variant II.
 *
 *   area, aligned to 64                     FS base, aligned to 64
 *   | padding | variables, as in PT_TLS | struct nova_tcb |
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/string.h>

#define AT_PHDR 3
#define AT_PHNUM 5
#define AT_RANDOM 25
#define PT_TLS 7
#define AREA_ALIGN 64UL

struct phdr {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

static uint64_t tls_init(void *area);

struct nova_tls nova_tls = {0, tls_init};

static const struct phdr *segment(void)
{
    const struct phdr *p = (const struct phdr *)nova_program_aux(AT_PHDR);

    for (uint64_t n = p ? nova_program_aux(AT_PHNUM) : 0; n; n--, p++)
        if (p->type == PT_TLS)
            return p;
    return NULL;
}

void nova_tls_measure(void)
{
    const struct phdr *p = segment();

    if (p && p->align > AREA_ALIGN) /* no place for such variables */
        nova_exit(127);
    nova_tls.size = round_up(p ? p->memsz : 0, AREA_ALIGN) + round_up(sizeof(struct nova_tcb), AREA_ALIGN);
}

static uint64_t tls_init(void *area)
{
    const struct phdr *p = segment();
    const uint64_t *random = (const uint64_t *)nova_program_aux(AT_RANDOM);
    struct nova_tcb *tcb =
        (struct nova_tcb *)((char *)area + nova_tls.size - round_up(sizeof(struct nova_tcb), AREA_ALIGN));

    memset(area, 0, nova_tls.size);
    if (p)
        memcpy((char *)tcb - round_up(p->memsz, p->align), (const void *)p->vaddr, p->filesz);
    tcb->self = tcb;
    if (random)
        tcb->canary = *random & ~0xffUL; /* strings end before it */
    return (uint64_t)tcb;
}
