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

#include <elf.h>
#include <nova/string.h>

#define AREA_ALIGN 64UL

static uint64_t tls_init(void *area);

struct nova_tls nova_tls = {0, tls_init};

static const Elf64_Phdr *segment(void)
{
    const Elf64_Phdr *p = (const Elf64_Phdr *)nova_program_aux(AT_PHDR);

    for (uint64_t n = p ? nova_program_aux(AT_PHNUM) : 0; n; n--, p++)
        if (p->p_type == PT_TLS)
            return p;
    return NULL;
}

void nova_tls_measure(void)
{
    const Elf64_Phdr *p = segment();

    if (p && p->p_align > AREA_ALIGN) /* no place for such variables */
        nova_exit(127);
    nova_tls.size = round_up(p ? p->p_memsz : 0, AREA_ALIGN) + round_up(sizeof(struct nova_tcb), AREA_ALIGN);
}

static uint64_t tls_init(void *area)
{
    const Elf64_Phdr *p = segment();
    const uint64_t *random = (const uint64_t *)nova_program_aux(AT_RANDOM);
    struct nova_tcb *tcb =
        (struct nova_tcb *)((char *)area + nova_tls.size - round_up(sizeof(struct nova_tcb), AREA_ALIGN));

    memset(area, 0, nova_tls.size);
    if (p)
        memcpy((char *)tcb - round_up(p->p_memsz, p->p_align), (const void *)p->p_vaddr, p->p_filesz);
    tcb->self = tcb;
    tcb->canary = *random & ~0xffUL; /* strings end before it */
    return (uint64_t)tcb;
}
