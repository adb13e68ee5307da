/**
 * @file
 * Virtual machines: for the program of a `[vm]` section, which handles the events of virtual CPUs.
 *
 * Root has made a guest space (#NOVA_SEL_GST), with the memory of the guest in it, an empty port space (#NOVA_SEL_PIO)
 * and an MSR space (#NOVA_SEL_MSR), and maps that memory, the kernel and the initial file system (nova/start.h).
 *
 * @code{.unparsed}
 *   guest --event: exit reason, STARTUP, RECALL--> portal (base + number) --> handler: nova_vm_event() --> guest
 * @endcode
 *
 * A virtual CPU belongs to a CPU, its handler too. Without a portal for an event the virtual CPU dies.
 *
 * Example: a machine whose only virtual CPU is left to its events. @code
 *   uint64_t events = nova_cap_alloc(NOVA_VM_EVENTS, 512), vcpu = nova_cap_alloc(2, 2);
 *   struct nova_thread *handler;
 *   int error = nova_vm_handler(&handler, nova_info()->cpu, 0);
 *   for (unsigned n = 0; !error && n < NOVA_VM_EVENTS; n++)
 *       error = nova_vm_portal(events + n, handler->sel, n, NOVA_MTD_GPR_0_7 | NOVA_MTD_RIP);
 *   if (!error)
 *       error = nova_vcpu_create(nova_info()->cpu, events, vcpu);
 * @endcode
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/thread.h>

/**
 * @addtogroup libnova_vm
 * @{
 */

/** Events of a virtual CPU: reasons of exits (VMX: basic exit reason, SVM: exit code), STARTUP, RECALL. */
#define NOVA_VM_EVENTS (NOVA_EVT_GST_ARCH + 2)
#define NOVA_VM_STARTUP (NOVA_EVT_GST_ARCH + NOVA_EVT_STARTUP) /**< Number of the event STARTUP. */
#define NOVA_VM_RECALL (NOVA_EVT_GST_ARCH + NOVA_EVT_RECALL)   /**< Number of the event RECALL. */

/**
 * Defined by the program, if it uses nova_vm_portal(): handles an event. `pid` is what was given to nova_vm_portal(),
 * `state` what its MTD selects, in the UTCB of the handler. Returns the MTD of the reply: what of `state` goes back,
 * 0 for nothing. The reply of STARTUP must assign the spaces (#NOVA_MTD_SPACES) and set all state.
 */
uint32_t nova_vm_event(uint64_t pid, struct nova_arch_state *state);

/**
 * Makes a handler for events on a CPU, as nova_handler_create(), but without the FPU: then the guest's FPU state stays
 * where it is during an event. So what runs in it must be compiled with `-mgeneral-regs-only`, as libnova is; libc is
 * not. Handlers of nova_handler_create() can be used as well. Thread-safe.
 */
int nova_vm_handler(struct nova_thread **handler, unsigned cpu, size_t stack_size);

/**
 * Makes the portal of an event at a selector: event base + number of the event. `handler` is nova_thread::sel of a
 * handler on the CPU of the virtual CPU. Returns 0, #NOVA_ERR_MEMORY or #NOVA_ERR_INVAL. Thread-safe.
 */
int nova_vm_portal(uint64_t sel, uint64_t handler, uint64_t pid, uint32_t mtd);

/**
 * Makes a virtual CPU, which runs at once. `events` is the first of #NOVA_VM_EVENTS selectors; `sel` that of its EC,
 * the SC is one further. Priority: one below nova_info::priority. Returns 0; #NOVA_ERR_DENIED for a CPU that the domain
 * may not use, or if it is no virtual machine; #NOVA_ERR_LIMIT if there are nova_info::vcpus already; #NOVA_ERR_MEMORY;
 * #NOVA_ERR_INVAL. Thread-safe.
 */
int nova_vcpu_create(unsigned cpu, uint64_t events, uint64_t sel);

/**
 * Makes a virtual CPU send the event RECALL before it executes its next instruction. Several count as one. Returns 0,
 * or #NOVA_ERR_INVAL if `sel` is none. Thread-safe; does not wait.
 */
int nova_vcpu_recall(uint64_t sel);

/**
 * Puts memory of the domain (pool, static data, memory of the guest) into the guest space, in the largest pages possible; all
 * addresses and sizes are multiples of 4096. `rights` are `NOVA_MEM_R`, `W`, `XU`, `XS`; 0 takes away what is there.
 * Memory of the guest is there already, with all of them, at the addresses that nova/start.h says. Returns 0,
 * #NOVA_ERR_INVAL, or #NOVA_ERR_MEMORY: then part of it may be there. Thread-safe.
 *
 * Example: `nova_vm_map(0xa0000, NULL, 0x20000, 0)` makes a hole for the memory of a display.
 */
int nova_vm_map(uint64_t gpa, const void *address, size_t bytes, unsigned rights);

/** @} */
