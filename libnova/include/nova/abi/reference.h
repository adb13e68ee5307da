/**
 * @file
 * The whole ABI in one header, and its reference: what all hypercalls have in common.
 *
 * The reference says what this microhypervisor does; section numbers are those of the NOVA Microhypervisor
 * Interface Specification (July 27, 2024). Where the two differ, doc/abi-conformance.md says why.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/abi/cap.h>
#include <nova/abi/hip.h>
#include <nova/abi/hypercall.h>
#include <nova/abi/reference_hypercalls.h>
#include <nova/abi/utcb.h>

/**
 * @page nova_hypercalls Reference of the interface
 *
 * @section nova_hypercalls_calls Hypercalls
 *
 * - @subpage nova_ipc_call "nova_ipc_call(2)": send a message and wait for the reply
 * - @subpage nova_ipc_reply "nova_ipc_reply(2)": reply and wait for the next message
 * - @subpage nova_create_pd "nova_create_pd(2)": create a protection domain or a space
 * - @subpage nova_create_ec "nova_create_ec(2)": create an execution context (a thread)
 * - @subpage nova_create_sc "nova_create_sc(2)": create a scheduling context (CPU time)
 * - @subpage nova_create_pt "nova_create_pt(2)": create a portal
 * - @subpage nova_create_sm "nova_create_sm(2)": create a semaphore
 * - @subpage nova_ctrl_pd "nova_ctrl_pd(2)": delegate and revoke capabilities
 * - @subpage nova_ctrl_ec "nova_ctrl_ec(2)": recall an execution context
 * - @subpage nova_ctrl_sc "nova_ctrl_sc(2)": CPU time that was used
 * - @subpage nova_ctrl_pt "nova_ctrl_pt(2)": configure a portal
 * - @subpage nova_ctrl_sm "nova_ctrl_sm(2)": up and down
 * - @subpage nova_ctrl_hw "nova_ctrl_hw(2)": reset and power-off
 * - @subpage nova_assign_int "nova_assign_int(2)": configure an interrupt
 * - @subpage nova_assign_dev "nova_assign_dev(2)": assign a device to a DMA space
 *
 * @section nova_hypercalls_more What they have in common
 *
 * - @subpage nova_convention "nova_convention(2)": registers, rules, examples
 * - @subpage nova_permissions "nova_permissions(2)": what capabilities permit
 * - @subpage nova_message "nova_message(2)": UTCB and message transfer descriptor
 * - @subpage nova_events "nova_events(2)": exceptions, STARTUP, RECALL
 * - @subpage nova_memory "nova_memory(2)": kernel memory, limits, and when objects die
 * - @subpage nova_boot_state "nova_boot_state(2)": what the root protection domain starts with
 * - @subpage nova_console "nova_console(2)": reading the messages of the microhypervisor
 */

/**
 * @page nova_convention Calling convention
 *
 * @section nova_convention_regs Registers
 *
 * Any host EC makes a hypercall with the instruction SYSCALL. Parameters and results are in registers; no
 * hypercall reads or writes memory, except for the UTCBs in @ref nova_ipc_call "nova_ipc_call(2)" and @ref
 * nova_ipc_reply "nova_ipc_reply(2)".
 *
 * @code{.unparsed}
 *         before SYSCALL                       afterwards
 *   RDI   identifier: selector or value 63:8,  status in 7:0, the rest is 0
 *         flags 7:4, number 3:0
 *   RSI   parameter                            result, or unchanged
 *   RDX   parameter                            result, or unchanged
 *   RAX   parameter                            unchanged
 *   R8    parameter                            unchanged
 *   RCX   -                                    address behind SYSCALL, like RIP
 *   R11   -                                    0x202: what RFLAGS is now
 * @endcode
 *
 * All other registers, the FPU state, and the FS and GS bases are unchanged. RFLAGS becomes 0x202: arithmetic
 * flags, the direction flag and the trap flag are cleared.
 *
 * @section nova_convention_rules Rules
 *
 * - Bits of parameters that no page mentions are ignored, and so are undefined flags; set them to 0. For @ref
 *   nova_ipc_reply "nova_ipc_reply(2)" flags must be 0.
 * - Hypercall 0xf does not exist: BAD_HYP.
 * - If a hypercall has several faults, it returns the status of one of them, in no defined order.
 * - A hypercall that fails has changed nothing, with two exceptions: @ref nova_ctrl_pd "nova_ctrl_pd(2)" with
 *   MEM_CAP, and @ref nova_ipc_call "nova_ipc_call(2)" with ABORTED, if the callee died over the message.
 * - Any number of ECs may make hypercalls at the same time, on any CPU, with any objects. Each page says
 *   which objects must be on the caller's CPU.
 * - A capability that is looked up stays good for this hypercall, even if it is revoked meanwhile.
 * - Interrupts are off while a hypercall runs. Only ipc_call to a busy callee can be preempted.
 * - Selectors in RDI have 56 bits, others 64. Those that are not below nova_hip::sel_num are null
 *   capabilities.
 *
 * @section nova_convention_example Example
 *
 * The examples of all pages use this function. The "memory" clobber is there because other ECs may run before
 * it returns, and because messages are in memory.
 *
 * @code{.c}
 * struct regs {
 *     uint64_t rdi, rsi, rdx, rax, r8;
 * };
 *
 * static inline unsigned hypercall(struct regs *r)
 * {
 *     register uint64_t r8 __asm__("r8") = r->r8;
 *
 *     __asm__ volatile("syscall"
 *                      : "+D"(r->rdi), "+S"(r->rsi), "+d"(r->rdx), "+a"(r->rax), "+r"(r8)
 *                      :
 *                      : "rcx", "r11", "cc", "memory");
 *     return (unsigned)r->rdi;
 * }
 * @endcode
 *
 * @section nova_convention_spec Specification
 *
 * 5.1, 8.8
 */

/**
 * @page nova_permissions Permissions
 *
 * @section nova_permissions_table Table
 *
 * Each capability has five permission bits. What they mean depends on the type of what it refers to; bits
 * that the type does not define are never set. A capability without any permission is a null capability.
 *
 * @code{.unparsed}
 *   type                     bit 4      bit 3     bit 2     bit 1     bit 0
 *   object space             -          -         -         TAKE      GRANT
 *   host space               -          -         -         TAKE      GRANT
 *   guest space              -          -         ASSIGN    -         GRANT
 *   DMA space                -          -         ASSIGN    -         GRANT
 *   port I/O space           -          -         ASSIGN    TAKE      GRANT
 *   MSR space                -          -         ASSIGN    TAKE      GRANT
 *   protection domain        SM         PT        SC        EC        PD
 *   execution context        -          BIND_SC   BIND_PT   -         CTRL
 *   scheduling context       -          -         -         -         CTRL
 *   portal                   -          -         EVENT     CALL      CTRL
 *   semaphore                ASSIGN     -         -         CTRL_DN   CTRL_UP
 *   memory                   -          XS        XU        W         R
 *   port                     -          -         -         -         A
 *   MSR                      -          -         -         W         R
 * @endcode
 *
 * Permissions only ever get fewer: a new object's capability has all that its type defines (a new PD's has
 * those of its parent's capability), and @ref nova_ctrl_pd "nova_ctrl_pd(2)" copies a capability without
 * those that its mask lacks.
 *
 * @section nova_permissions_notes Notes
 *
 * - A semaphore has ASSIGN only if it is that of an interrupt.
 * - Page tables cannot tell XU from XS, nor express "not readable": what has one of XU and XS has both, and
 *   what has W, XU or XS has R as well.
 * - The page at the end of user-accessible memory is never executable, nor is anything else of the one
 *   naturally aligned block that a delegation maps there.
 *
 * @section nova_permissions_spec Specification
 *
 * 4.1
 */

/**
 * @page nova_message Messages: UTCB and MTD
 *
 * @section nova_message_utcb UTCB
 *
 * Every host EC has a user thread control block: one page of kernel memory that is mapped at the address
 * given to @ref nova_create_ec "nova_create_ec(2)". Nothing but messages goes through it. It cannot be
 * delegated; granting another page to its address removes it from view, but messages still go to the hidden
 * page. See union nova_utcb.
 *
 * @section nova_message_regular Regular IPC
 *
 * @ref nova_ipc_call "nova_ipc_call(2)" and the reply to it copy words from UTCB to UTCB. The message
 * transfer descriptor (MTD) comes from the sender:
 *
 * @code{.unparsed}
 *   31                                        9 8                     0
 *   +-------------------------------------------+----------------------+
 *   |        passed on, without a meaning       |  message words - 1   |
 *   +-------------------------------------------+----------------------+
 * @endcode
 *
 * So a message has 1 to 512 words, from word 0 on, and NOVA_MTD_WORDS(n) describes one of n words.
 *
 * @section nova_message_arch Architectural IPC
 *
 * An event (@ref nova_events "nova_events(2)") copies the affected EC's state into the UTCB of the handler,
 * which is then laid out as struct nova_arch_state; the reply copies state back. Which parts are copied is up
 * to the portal's MTD on the way out (@ref nova_ctrl_pt "nova_ctrl_pt(2)"), and up to the MTD of the reply on
 * the way back. What is not copied keeps its value: in the UTCB whatever was there, in the EC its own state.
 *
 * For host ECs these bits have an effect, the others have none:
 *
 * @code{.unparsed}
 *   bit                   out   in    state
 *   NOVA_MTD_POISON       -     yes   kills the EC
 *   NOVA_MTD_GPR_0_7      yes   yes   gpr[0] to gpr[7]: RAX RCX RDX RBX RSP RBP RSI RDI
 *   NOVA_MTD_GPR_8_15     yes   yes   gpr[8] to gpr[15]: R8 to R15
 *   NOVA_MTD_RFLAGS       yes   yes   rflags; in: only CF, PF, AF, ZF, SF, DF, OF
 *   NOVA_MTD_RIP          yes   yes   rip
 *   NOVA_MTD_QUAL         yes   -     qual[0]: error code, qual[1]: page-fault address
 *   NOVA_MTD_FS_GS        yes   yes   fs.base, gs.base (extension)
 * @endcode
 *
 * A reply that would let an EC go on with RIP, FS base or GS base outside of user-accessible memory kills the
 * EC instead.
 *
 * @section nova_message_spec Specification
 *
 * 4.3, 4.4, 8.7.3, 8.7.4
 */

/**
 * @page nova_events Events
 *
 * @section nova_events_delivery Delivery
 *
 * An event is a call that the microhypervisor makes in the name of the affected EC: to the portal at selector
 * *event base of the EC + number of the event*, in the EC's own object space. The portal's capability must
 * have permission EVENT, and its EC must be alive, on the same CPU, and not wait for the affected EC itself;
 * else the affected EC is killed. If the handler is busy, the affected EC helps it like a caller would (@ref
 * nova_ipc_call "nova_ipc_call(2)"). The handler runs with the scheduling context of the affected EC.
 *
 * The handler starts at the portal's entry with RDI = portal identifier, RSI = MTD of the portal, and the
 * state in its UTCB (@ref nova_message "nova_message(2)"). Its reply resumes the affected EC.
 *
 * @section nova_events_list Events of host ECs
 *
 * @code{.unparsed}
 *   number   event                         number   event
 *   0        #DE divide error              14       #PF page fault
 *   1        #DB debug                     16       #MF x87
 *   3        #BP breakpoint                17       #AC alignment check
 *   4        #OF overflow                  19       #XM SIMD
 *   5        #BR bound range               20       #VE virtualization
 *   6        #UD invalid opcode            21       #CP control protection
 *   7        #NM no FPU                    32       STARTUP
 *   11       #NP segment not present       33       RECALL
 *   12       #SS stack segment             others   not delivered
 *   13       #GP general protection
 * @endcode
 *
 * - \#NM tells that an EC without FPU (@ref nova_create_ec "nova_create_ec(2)") has tried to use it.
 * - STARTUP is the first event of a global thread, when it is scheduled for the first time. RIP is 0; the
 *   reply has to set it.
 * - RECALL is the answer to @ref nova_ctrl_ec "nova_ctrl_ec(2)". Page-fault address and error code are those
 *   of the last exception.
 * - After INT3 the saved RIP points behind the instruction, as the CPU defines it.
 * - NMIs are counted and ignored. \#DF and \#MC stop the machine with a kernel panic.
 *
 * @section nova_events_kill Killed ECs
 *
 * A killed EC never runs again. Whoever waits for its reply gets ABORTED or, if what waits is an event, is
 * killed as well; calls to its portals return ABORTED. The console tells the reason and the EC's registers
 * (@ref nova_console "nova_console(2)"). Objects that refer to the EC keep it until they go.
 *
 * @section nova_events_spec Specification
 *
 * 8.6
 */

/**
 * @page nova_memory Kernel memory and the life of objects
 *
 * @section nova_memory_accounts Who pays
 *
 * Each PD has an account in pages of 4 KiB. It pays for the objects that are created with its capability, for
 * the tables of its spaces, and for the UTCBs and FPU states of its ECs. A charge also counts against the
 * parent PD and all its ancestors, so a PD can never use more than any of them may. The limit of a PD is set
 * when it is created and does not change:
 *
 * - NOVA_PD_LIMITED: given in RDX.
 * - NOVA_PD_PD: half of what the parent's own account has left at that time.
 * - the root PD: all memory of the microhypervisor.
 *
 * At the limit of any account, MEM_OBJ or MEM_CAP is returned. Small objects share pages with others of the
 * same PD only. Memory goes back to the accounts when objects die and when page tables are not needed any
 * more; tables of an object space stay until it dies.
 *
 * Before MEM_OBJ or MEM_CAP is returned, the microhypervisor waits for the objects that died on this CPU and
 * tries again. So a loop that creates and destroys does not fail because of memory that is about to come
 * back.
 *
 * @section nova_memory_life Life and death
 *
 * An object dies when neither a capability nor another object refers to it any more:
 *
 * @code{.unparsed}
 *   object                refers to
 *   PD                    its parent
 *   any object            the PD that pays for it
 *   EC                    object space, host space and port I/O space of its PD
 *   SC, portal            its EC
 *   blocked EC            the semaphore
 *   object space          what its capabilities refer to
 * @endcode
 *
 * - An EC that runs or waits is not kept alive by that: when the last capability, portal and SC are gone, it
 *   dies. Its caller gets ABORTED.
 * - An object space with a capability for itself, or with ECs of its own PD in it, does not die by itself. To
 *   destroy a PD, revoke everything in its object space: @ref nova_ctrl_pd "nova_ctrl_pd(2)" with the whole
 *   space as destination, mask 0 and order 18.
 * - Death takes effect a few milliseconds later: every CPU must have left the microhypervisor once. Idle CPUs
 *   do not count.
 * - A space that is dead but not destroyed yet is still in the way of a new one: ABORTED (@ref nova_create_pd
 *   "nova_create_pd(2)" "nova_create_pd(2)").
 *
 * @section nova_memory_spec Specification
 *
 * None: accounts and death are up to the implementation.
 */

/**
 * @page nova_boot_state Boot state of the root protection domain
 *
 * @section nova_boot_state_regs Registers
 *
 * @code{.unparsed}
 *   RIP     entry point of the root image
 *   RSP     address of the HIP: user-accessible memory ends 4 KiB above
 *   RDI     what was in EAX when the boot loader started the microhypervisor: 0x36d76289
 *   RSI     what was in EBX: physical address of the Multiboot2 information
 *   others  0
 * @endcode
 *
 * The root EC runs on CPU nova_hip::cpu_bsp with the highest priority, a budget of 1000 ms and FPU. Its event
 * base is 0, and it has no event portals yet. It has no stack: RSP points to a read-only page.
 *
 * @section nova_boot_state_memory Host space
 *
 * The loadable segments of the root image, in place, with the permissions of the segments; the HIP, read-only
 * (struct nova_hip); the UTCB, one page below the HIP.
 *
 * Host-virtual addresses are 0 to 2^47 - 1. The image is the first Multiboot2 module: an x86-64 ELF
 * executable (ET_EXEC) whose segments have as many bytes in the file as in memory, and the same offset within
 * a page there as in physical memory. Anything else is a kernel panic.
 *
 * @section nova_boot_state_caps Object space
 *
 * SEL_NUM is nova_hip::sel_num. All permissions, unless noted:
 *
 * @code{.unparsed}
 *   SEL_NUM - 1   NOVA object space: TAKE
 *   SEL_NUM - 2   root object space
 *   SEL_NUM - 3   root protection domain
 *   SEL_NUM - 4   root execution context
 *   SEL_NUM - 5   root scheduling context
 * @endcode
 *
 * From the NOVA object space, @ref nova_ctrl_pd "nova_ctrl_pd(2)" takes everything else:
 *
 * @code{.unparsed}
 *   SEL_NUM - 1   semaphore of the console
 *   SEL_NUM - 2   NOVA object space: TAKE
 *   SEL_NUM - 3   NOVA host space: TAKE. Selectors are physical page numbers
 *   SEL_NUM - 4   NOVA port I/O space: TAKE
 *   SEL_NUM - 5   NOVA MSR space: TAKE
 *   SEL_NUM - 6   root object space
 *   SEL_NUM - 7   root host space
 *   SEL_NUM - 8   root port I/O space
 *   0x10000 + n   semaphore of interrupt n: ASSIGN, CTRL_DN
 *   n             idle scheduling context of CPU n: CTRL
 * @endcode
 *
 * Not in the NOVA spaces, and so out of reach for everybody: the memory of the microhypervisor, local and I/O
 * APICs, the range of message interrupts at 0xfee00000, UEFI runtime services; the ports of PM1a_CNT,
 * PM1b_CNT, PM2_CNT and SMI_CMD; all MSRs but those that section 8.2.3 lists.
 *
 * @section nova_boot_state_example Example
 *
 * @code{.c}
 * // The console semaphore to selector 1 of the root object space.
 * struct regs r = {
 *     .rdi = NOVA_HYPERCALL(NOVA_CTRL_PD, 0UL, hip->sel_num - NOVA_ROOT_SEL_NOVA_OBJ),
 *     .rsi = hip->sel_num - NOVA_ROOT_SEL_OBJ,
 *     .rdx = (hip->sel_num - NOVA_SEL_CONSOLE) << 12,
 *     .rax = 1UL << 12 | NOVA_PERM_ALL,
 * };
 * status = hypercall(&r);
 * @endcode
 *
 * @section nova_boot_state_spec Specification
 *
 * 6.1.3, 6.2, 8.1.2, 8.2
 */

/**
 * @page nova_console Memory-buffer console
 *
 * @section nova_console_use Use
 *
 * The microhypervisor writes its messages into a ring buffer in physical memory, from nova_hip::mbuf_start to
 * nova_hip::mbuf_end, which can be delegated like other memory. After each message it does an up on the
 * semaphore #NOVA_SEL_CONSOLE. Until the root PD runs, messages also go to the serial port COM1; afterwards
 * COM1 belongs to user land, except in a kernel panic.
 *
 * The consumer takes characters at `rd` until `rd` equals `wr`, and stores the new `rd`. Both wrap around at
 * the number of characters N = mbuf_end - mbuf_start - 8. When the buffer is full, the microhypervisor moves
 * `rd` on itself, and the oldest characters are lost. There should be one consumer.
 *
 * @section nova_console_example Example
 *
 * @code{.c}
 * void console_read(struct nova_mbuf *mbuf, uint32_t size, uint64_t sm)
 * {
 *     uint32_t rd = mbuf->rd;
 *
 *     while (rd != __atomic_load_n(&mbuf->wr, __ATOMIC_ACQUIRE)) {
 *         put(mbuf->buffer[rd]);
 *         rd = rd + 1 < size ? rd + 1 : 0;
 *         __atomic_store_n(&mbuf->rd, rd, __ATOMIC_RELEASE);
 *     }
 *     struct regs r = {.rdi = NOVA_HYPERCALL(NOVA_CTRL_SM, (uint64_t)NOVA_SM_DOWN | NOVA_SM_ZERO, sm)};
 *     hypercall(&r);
 * }
 * @endcode
 *
 * @section nova_console_spec Specification
 *
 * C.1
 */
