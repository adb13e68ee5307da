/*
 * Virtual machines: thin wrappers. Handlers of events begin in entry.S.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <nova/mem.h>
#include <nova/vm.h>

int nova_vm_handler(struct nova_thread **handler, unsigned cpu, size_t stack_size)
{
    const struct nova_thread_options options = {.cpu = NOVA_ON_CPU(cpu), .stack_size = stack_size};

    return nova_thread_make(handler, NULL, NULL, &options, NOVA_THREAD_LOCAL | THREAD_PLAIN);
}

int nova_vm_portal(uint64_t sel, uint64_t handler, uint64_t pid, uint32_t mtd)
{
    unsigned status = nova_hc_create_pt(sel, NOVA_SEL_PD, handler, (uint64_t)nova_vm_entry);

    return nova_hc_error(status ? status : nova_hc_ctrl_pt(sel, pid, mtd));
}

int nova_vcpu_create(unsigned cpu, uint64_t events, uint64_t sel)
{
    return nova_parent(NOVA_PARENT_VCPU, cpu, events, sel);
}

int nova_vcpu_recall(uint64_t sel)
{
    return nova_hc_error(nova_hc_ctrl_ec(sel, 0));
}

int nova_vm_map(uint64_t gpa, const void *address, size_t bytes, unsigned rights)
{
    return bytes % NOVA_PAGE ? NOVA_ERR_INVAL
                             : nova_map(1, (uint64_t)address, gpa, bytes / NOVA_PAGE, rights);
}
