/**
 * @file
 * Reference of the hypercalls: one page for each. This header declares nothing.
 *
 * Each page says what this microhypervisor does; section numbers are those of the NOVA Microhypervisor
 * Interface Specification (July 27, 2024). Registers that a table does not mention are unchanged (@ref
 * nova_convention "nova_convention(2)").
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

/**
 * @page nova_ipc_call ipc_call: send a message and wait for the reply
 *
 * @section nova_ipc_call_synopsis Synopsis
 *
 * status = ipc_call (pt, mtd, flags)
 *
 * @section nova_ipc_call_regs Registers
 *
 * @code{.unparsed}
 *         before                               afterwards
 *   RDI   pt 63:8, flags 7:4, 0x0 3:0          status 7:0
 *   RSI   mtd 31:0                             mtd of the reply; unchanged without SUCCESS
 *   RCX   -                                    address behind SYSCALL
 *   R11   -                                    0x202
 *   RIP                                        address behind SYSCALL
 *   RDX, RAX, RBX, RBP, RSP, R8 to R10, R12 to R15: unchanged
 * @endcode
 *
 * The callee starts at the portal's instruction pointer with RDI = portal identifier, RSI = mtd, RCX = RIP,
 * R11 = 0x202. Its other registers are as they were at its last @ref nova_ipc_reply "nova_ipc_reply(2)"; the
 * first time, RSP is as given to @ref nova_create_ec "nova_create_ec(2)" and the rest is 0.
 *
 * @section nova_ipc_call_flags Flags
 *
 * - NOVA_CALL_TIMEOUT (T): do not wait if the callee is busy.
 *
 * @section nova_ipc_call_perm Permissions
 *
 * - pt: portal with CALL
 *
 * @section nova_ipc_call_effect Effect
 *
 * The first (mtd 8:0) + 1 words of the caller's UTCB are copied to the UTCB of the EC that the portal is
 * bound to, which then runs with the caller's scheduling context: its priority, its budget, its account of
 * time. The hypercall returns when the callee replies; words of the reply are in the UTCB.
 *
 * If the callee is busy, the caller helps: its scheduling context runs whatever the callee waits for, until
 * the callee is free, and only then is the message sent. Helping can be preempted. If that EC is blocked on a
 * semaphore, the caller's scheduling context waits as well.
 *
 * @section nova_ipc_call_status Status
 *
 * - **SUCCESS**: the callee has replied.
 * - **BAD_CAP**: pt is no portal, or lacks CALL.
 * - **BAD_CPU**: the callee is on another CPU.
 * - **TIMEOUT**: T is set, and the callee is busy. Nothing was sent.
 * - **ABORTED**: the callee is dead, or died before it replied; or the callee waits, directly or through
 *   others, for ECs that wait for each other in a circle, for example for the caller. In the latter case
 *   nothing was sent.
 *
 * @section nova_ipc_call_cpu Threads and CPUs
 *
 * Caller and callee must be on one CPU. A portal serves one call at a time, because its EC does.
 *
 * @section nova_ipc_call_spec Specification
 *
 * 5.2.1
 *
 * @section nova_ipc_call_example Example
 *
 * @code{.c}
 * utcb->word[0] = 42;
 * struct regs r = {.rdi = NOVA_HYPERCALL(NOVA_IPC_CALL, 0UL, pt), .rsi = NOVA_MTD_WORDS(1)};
 * if (hypercall(&r) == NOVA_SUCCESS) {
 *     answer = utcb->word[0];
 * }
 * @endcode
 */

/**
 * @page nova_ipc_reply ipc_reply: reply and wait for the next message
 *
 * @section nova_ipc_reply_synopsis Synopsis
 *
 * ipc_reply (mtd), continues at the entry of a portal
 *
 * @section nova_ipc_reply_regs Registers
 *
 * @code{.unparsed}
 *         before                               when the next message has come
 *   RDI   0x1 (flags 0)                        identifier of the portal that was called
 *   RSI   mtd 31:0                             mtd of the message, or of the portal if it is an event
 *   RCX   -                                    instruction pointer of the portal
 *   R11   -                                    0x202
 *   RIP                                        instruction pointer of the portal
 *   RDX, RAX, RBX, RBP, RSP, R8 to R10, R12 to R15: unchanged
 * @endcode
 *
 * @section nova_ipc_reply_flags Flags
 *
 * None. With any flag set the hypercall returns BAD_HYP.
 *
 * @section nova_ipc_reply_perm Permissions
 *
 * None.
 *
 * @section nova_ipc_reply_effect Effect
 *
 * If an EC waits for the reply, mtd says what it gets: message words, if it did an @ref nova_ipc_call
 * "nova_ipc_call(2)" "nova_ipc_call(2)", or processor state, if it had an event (@ref nova_message
 * "nova_message(2)"). Its scheduling context goes back to it. NOVA_MTD_POISON in the reply to an event kills
 * it.
 *
 * If nobody waits, because the caller died meanwhile, the reply is dropped.
 *
 * Then the EC waits until one of its portals is called or delivers an event, and continues there. A local
 * thread does not need a stack while it waits: RSP is the same each time if ipc_reply is always done with the
 * same RSP.
 *
 * A global thread that does this waits forever, as no portal can be bound to it.
 *
 * @section nova_ipc_reply_status Status
 *
 * - **BAD_HYP**: a flag is set.
 *
 * Otherwise the hypercall does not return.
 *
 * @section nova_ipc_reply_cpu Threads and CPUs
 *
 * Both ECs are on one CPU, as they were for the call.
 *
 * @section nova_ipc_reply_spec Specification
 *
 * 5.2.2
 *
 * @section nova_ipc_reply_example Example
 *
 * @code{.c}
 * static _Noreturn void reply(uint32_t mtd)
 * {
 *     __asm__ volatile("mov %2, %%rsp\n\t"
 *                      "syscall"
 *                      :
 *                      : "D"((uint64_t)NOVA_IPC_REPLY), "S"((uint64_t)mtd), "r"(stack_end)
 *                      : "memory");
 *     __builtin_unreachable();
 * }
 *
 * // The portal's entry: RDI and RSI are the first two arguments of a C function. stack_end is 8 below an
 * // address that is a multiple of 16, as if this function had been called.
 * _Noreturn void portal_entry(uint64_t pid, uint32_t mtd)
 * {
 *     utcb->word[0] = serve(pid, utcb->word, mtd % NOVA_UTCB_WORDS + 1);
 *     reply(NOVA_MTD_WORDS(1));
 * }
 * @endcode
 */

/**
 * @page nova_create_pd create_pd: create a protection domain or a space
 *
 * @section nova_create_pd_synopsis Synopsis
 *
 * status = create_pd (sel, pd, op [, limit])
 *
 * @section nova_create_pd_regs Registers
 *
 * @code{.unparsed}
 *         before                               afterwards
 *   RDI   sel 63:8, op 7:4, 0x2 3:0            status 7:0
 *   RSI   pd                                   unchanged
 *   RDX   limit, with NOVA_PD_LIMITED          unchanged
 *   RCX   -                                    address behind SYSCALL
 *   R11   -                                    0x202
 *   RIP                                        address behind SYSCALL
 *   RAX, RBX, RBP, RSP, R8 to R10, R12 to R15: unchanged
 * @endcode
 *
 * @section nova_create_pd_flags Operations
 *
 * - NOVA_PD_PD (0): a protection domain without spaces. Its limit is half of what pd's account has left.
 * - NOVA_PD_OBJ (1), NOVA_PD_HST (2): the object space, the host space of pd. A PD has one of each.
 * - NOVA_PD_GST (3), NOVA_PD_DMA (4): not supported yet.
 * - NOVA_PD_PIO (5), NOVA_PD_MSR (6): a port I/O space, an MSR space. The first port I/O space of a PD is
 *   that of its host ECs; all others are for guest ECs.
 * - NOVA_PD_LIMITED (8): extension. Like NOVA_PD_PD, with a limit of RDX pages of 4 KiB (@ref nova_memory
 *   "nova_memory(2)" "nova_memory(2)").
 *
 * @section nova_create_pd_perm Permissions
 *
 * - sel: must be a null capability
 * - pd: protection domain with PD
 *
 * @section nova_create_pd_effect Effect
 *
 * sel refers to the new object: with the permissions of the capability pd if it is a protection domain, with
 * all permissions that its type has if it is a space. A new space is empty. pd pays.
 *
 * A host EC needs the object space, the host space and the first port I/O space of its PD: create them before
 * the first @ref nova_create_ec "nova_create_ec(2)".
 *
 * @section nova_create_pd_status Status
 *
 * - **SUCCESS**: created.
 * - **BAD_CAP**: sel is not below SEL_NUM or is taken; pd is no protection domain or lacks PD.
 * - **BAD_PAR**: op is 7 or above 8.
 * - **BAD_FTR**: guest and DMA spaces.
 * - **ABORTED**: pd has an object space or host space already, or one that is dead but not destroyed yet.
 * - **MEM_OBJ**: the account of pd or of one of its ancestors, or the microhypervisor, has not enough memory.
 * - **MEM_CAP**: the caller's PD has not enough memory for the table that sel is in.
 *
 * @section nova_create_pd_cpu Threads and CPUs
 *
 * From any CPU. If two ECs use the same sel at the same time, one gets BAD_CAP.
 *
 * @section nova_create_pd_spec Specification
 *
 * 5.3.1
 *
 * @section nova_create_pd_example Example
 *
 * @code{.c}
 * // A domain that can never use more than 4 MiB of kernel memory, and its object space.
 * struct regs r = {
 *     .rdi = NOVA_HYPERCALL(NOVA_CREATE_PD, (uint64_t)NOVA_PD_LIMITED, sel_pd),
 *     .rsi = own_pd,
 *     .rdx = 1024,
 * };
 * status = hypercall(&r);
 * if (status == NOVA_SUCCESS) {
 *     r = (struct regs){
 *         .rdi = NOVA_HYPERCALL(NOVA_CREATE_PD, (uint64_t)NOVA_PD_OBJ, sel_obj),
 *         .rsi = sel_pd,
 *     };
 *     status = hypercall(&r);
 * }
 * @endcode
 */

/**
 * @page nova_create_ec create_ec: create an execution context
 *
 * @section nova_create_ec_synopsis Synopsis
 *
 * status = create_ec (sel, pd, utcb, cpu, sp, evt, flags)
 *
 * @section nova_create_ec_regs Registers
 *
 * @code{.unparsed}
 *         before                               afterwards
 *   RDI   sel 63:8, flags 7:4, 0x3 3:0         status 7:0
 *   RSI   pd                                   unchanged
 *   RDX   utcb page number 63:12, cpu 11:0     unchanged
 *   RAX   sp                                   unchanged
 *   R8    evt                                  unchanged
 *   RCX   -                                    address behind SYSCALL
 *   R11   -                                    0x202
 *   RIP                                        address behind SYSCALL
 *   RBX, RBP, RSP, R9, R10, R12 to R15: unchanged
 * @endcode
 *
 * @section nova_create_ec_flags Flags
 *
 * - NOVA_EC_GLOBAL (T): global thread, which runs with scheduling contexts of its own. Without T a local
 *   thread, which runs when one of its portals is called.
 * - NOVA_EC_FPU (F): the EC may use x87, SSE and AVX. Without F, doing so raises \#NM.
 * - NOVA_EC_GUEST (G): virtual CPU. Not supported yet.
 *
 * @section nova_create_ec_perm Permissions
 *
 * - sel: must be a null capability
 * - pd: protection domain with EC
 *
 * @section nova_create_ec_effect Effect
 *
 * The EC belongs to CPU cpu and to the spaces of pd for all its life. Its UTCB is mapped readable and
 * writable at the given page, in place of what was there. RSP starts as sp; evt is the base of its event
 * selectors (@ref nova_events "nova_events(2)"). All other registers start as 0, the FPU in its initial
 * state. sel refers to it with all permissions. pd pays.
 *
 * Nothing runs yet: a local thread waits for a call, a global thread for a scheduling context (@ref
 * nova_create_sc "nova_create_sc(2)"), upon which it sends the event STARTUP.
 *
 * @section nova_create_ec_status Status
 *
 * - **SUCCESS**: created.
 * - **BAD_CAP**: sel is not below SEL_NUM or is taken; pd is no protection domain or lacks EC.
 * - **BAD_CPU**: cpu is not below nova_hip::cpu_num.
 * - **BAD_PAR**: the UTCB is outside of user-accessible memory.
 * - **BAD_FTR**: G is set.
 * - **ABORTED**: pd lacks an object space, a host space or a port I/O space, or one of them is dead.
 * - **MEM_OBJ**: pd or one of its ancestors has not enough memory for the EC, its UTCB, its FPU state, or the
 *   page tables for the UTCB.
 * - **MEM_CAP**: the caller's PD has not enough memory for the table that sel is in.
 *
 * @section nova_create_ec_cpu Threads and CPUs
 *
 * From any CPU, for any CPU.
 *
 * @section nova_create_ec_spec Specification
 *
 * 5.3.2
 *
 * @section nova_create_ec_example Example
 *
 * @code{.c}
 * // A local thread on CPU 0.
 * struct regs r = {
 *     .rdi = NOVA_HYPERCALL(NOVA_CREATE_EC, (uint64_t)NOVA_EC_FPU, sel),
 *     .rsi = pd,
 *     .rdx = utcb_address | 0,
 *     .rax = stack_end,
 *     .r8 = event_base,
 * };
 * status = hypercall(&r);
 * @endcode
 */

/**
 * @page nova_create_sc create_sc: create a scheduling context
 *
 * @section nova_create_sc_synopsis Synopsis
 *
 * status = create_sc (sel, pd, ec, scd)
 *
 * @section nova_create_sc_regs Registers
 *
 * @code{.unparsed}
 *         before                               afterwards
 *   RDI   sel 63:8, 0 7:4, 0x4 3:0             status 7:0
 *   RSI   pd                                   unchanged
 *   RDX   ec                                   unchanged
 *   RAX   scd: COS 38:23, priority 22:16,      unchanged
 *         budget in milliseconds 15:0
 *   RCX   -                                    address behind SYSCALL
 *   R11   -                                    0x202
 *   RIP                                        address behind SYSCALL
 *   RBX, RBP, RSP, R8 to R10, R12 to R15: unchanged
 * @endcode
 *
 * @section nova_create_sc_flags Flags
 *
 * None.
 *
 * @section nova_create_sc_perm Permissions
 *
 * - sel: must be a null capability
 * - pd: protection domain with SC
 * - ec: execution context, a global thread, with BIND_SC
 *
 * @section nova_create_sc_effect Effect
 *
 * The SC gives the EC time on the EC's CPU: it runs when no SC of a higher priority can run, and shares the
 * CPU with others of its priority, one budget each in turn. If it is the EC's first, the EC sends the event
 * STARTUP. sel refers to the SC with all permissions. pd pays.
 *
 * An EC has at most one SC. The right to create SCs is the right to use any priority: give SC on a protection
 * domain to nobody who is not trusted with that.
 *
 * @section nova_create_sc_status Status
 *
 * - **SUCCESS**: created, and ready to run.
 * - **BAD_CAP**: sel is not below SEL_NUM or is taken; pd is no protection domain or lacks SC; ec is no EC or
 *   lacks BIND_SC; ec is a local thread.
 * - **BAD_PAR**: budget or priority is 0, or COS is not 0.
 * - **ABORTED**: ec has an SC already, or has just died.
 * - **MEM_OBJ**: pd or one of its ancestors has not enough memory.
 * - **MEM_CAP**: the caller's PD has not enough memory for the table that sel is in.
 *
 * @section nova_create_sc_cpu Threads and CPUs
 *
 * From any CPU. If the new SC has a higher priority than what runs there, it preempts that at once.
 *
 * @section nova_create_sc_spec Specification
 *
 * 5.3.3, 4.5
 *
 * @section nova_create_sc_example Example
 *
 * @code{.c}
 * struct regs r = {
 *     .rdi = NOVA_HYPERCALL(NOVA_CREATE_SC, 0UL, sel),
 *     .rsi = pd,
 *     .rdx = ec,
 *     .rax = NOVA_SCD(64UL, 10UL),
 * };
 * status = hypercall(&r);
 * @endcode
 */

/**
 * @page nova_create_pt create_pt: create a portal
 *
 * @section nova_create_pt_synopsis Synopsis
 *
 * status = create_pt (sel, pd, ec, ip)
 *
 * @section nova_create_pt_regs Registers
 *
 * @code{.unparsed}
 *         before                               afterwards
 *   RDI   sel 63:8, 0 7:4, 0x5 3:0             status 7:0
 *   RSI   pd                                   unchanged
 *   RDX   ec                                   unchanged
 *   RAX   ip                                   unchanged
 *   RCX   -                                    address behind SYSCALL
 *   R11   -                                    0x202
 *   RIP                                        address behind SYSCALL
 *   RBX, RBP, RSP, R8 to R10, R12 to R15: unchanged
 * @endcode
 *
 * @section nova_create_pt_flags Flags
 *
 * None.
 *
 * @section nova_create_pt_perm Permissions
 *
 * - sel: must be a null capability
 * - pd: protection domain with PT
 * - ec: execution context, a local thread, with BIND_PT
 *
 * @section nova_create_pt_effect Effect
 *
 * A call of the portal is served by ec, from address ip on, in ec's protection domain. Portal identifier and
 * MTD are 0 until @ref nova_ctrl_pt "nova_ctrl_pt(2)" sets them. sel refers to the portal with all
 * permissions. pd pays.
 *
 * @section nova_create_pt_status Status
 *
 * - **SUCCESS**: created.
 * - **BAD_CAP**: sel is not below SEL_NUM or is taken; pd is no protection domain or lacks PT; ec is no EC or
 *   lacks BIND_PT; ec is a global thread.
 * - **BAD_PAR**: ip is outside of user-accessible memory (extension).
 * - **ABORTED**: ec has just died.
 * - **MEM_OBJ**: pd or one of its ancestors has not enough memory.
 * - **MEM_CAP**: the caller's PD has not enough memory for the table that sel is in.
 *
 * @section nova_create_pt_cpu Threads and CPUs
 *
 * From any CPU. Only ECs on the CPU of ec can call the portal.
 *
 * @section nova_create_pt_spec Specification
 *
 * 5.3.4
 *
 * @section nova_create_pt_example Example
 *
 * @code{.c}
 * struct regs r = {
 *     .rdi = NOVA_HYPERCALL(NOVA_CREATE_PT, 0UL, sel),
 *     .rsi = pd,
 *     .rdx = ec,
 *     .rax = (uintptr_t)portal_entry,
 * };
 * status = hypercall(&r);
 * @endcode
 */

/**
 * @page nova_create_sm create_sm: create a semaphore
 *
 * @section nova_create_sm_synopsis Synopsis
 *
 * status = create_sm (sel, pd, count)
 *
 * @section nova_create_sm_regs Registers
 *
 * @code{.unparsed}
 *         before                               afterwards
 *   RDI   sel 63:8, 0 7:4, 0x6 3:0             status 7:0
 *   RSI   pd                                   unchanged
 *   RDX   count                                unchanged
 *   RCX   -                                    address behind SYSCALL
 *   R11   -                                    0x202
 *   RIP                                        address behind SYSCALL
 *   RAX, RBX, RBP, RSP, R8 to R10, R12 to R15: unchanged
 * @endcode
 *
 * @section nova_create_sm_flags Flags
 *
 * None.
 *
 * @section nova_create_sm_perm Permissions
 *
 * - sel: must be a null capability
 * - pd: protection domain with SM
 *
 * @section nova_create_sm_effect Effect
 *
 * The counter, of 64 bits, starts as count. sel refers to the semaphore with CTRL_UP and CTRL_DN. pd pays.
 *
 * @section nova_create_sm_status Status
 *
 * - **SUCCESS**: created.
 * - **BAD_CAP**: sel is not below SEL_NUM or is taken; pd is no protection domain or lacks SM.
 * - **MEM_OBJ**: pd or one of its ancestors has not enough memory.
 * - **MEM_CAP**: the caller's PD has not enough memory for the table that sel is in.
 *
 * @section nova_create_sm_cpu Threads and CPUs
 *
 * From any CPU. A semaphore belongs to no CPU.
 *
 * @section nova_create_sm_spec Specification
 *
 * 5.3.5
 *
 * @section nova_create_sm_example Example
 *
 * @code{.c}
 * struct regs r = {.rdi = NOVA_HYPERCALL(NOVA_CREATE_SM, 0UL, sel), .rsi = pd, .rdx = 0};
 * status = hypercall(&r);
 * @endcode
 */

/**
 * @page nova_ctrl_pd ctrl_pd: delegate and revoke capabilities
 *
 * @section nova_ctrl_pd_synopsis Synopsis
 *
 * status = ctrl_pd (src, dst, ssb, dsb, ord, pmm, mad)
 *
 * @section nova_ctrl_pd_regs Registers
 *
 * @code{.unparsed}
 *         before                               afterwards
 *   RDI   src 63:8, 0 7:4, 0x7 3:0             status 7:0
 *   RSI   dst                                  unchanged
 *   RDX   ssb 63:12, ord 4:0                   unchanged
 *   RAX   dsb 63:12, pmm 4:0                   unchanged
 *   R8    mad 31:0                             unchanged
 *   RCX   -                                    address behind SYSCALL
 *   R11   -                                    0x202
 *   RIP                                        address behind SYSCALL
 *   RBX, RBP, RSP, R9, R10, R12 to R15: unchanged
 * @endcode
 *
 * @section nova_ctrl_pd_flags Flags
 *
 * None.
 *
 * @section nova_ctrl_pd_perm Permissions
 *
 * - src: space with TAKE
 * - dst: space of the same type with GRANT; may be the same space
 *
 * @section nova_ctrl_pd_effect Effect
 *
 * For each of the 2^ord selectors from ssb on, what is there in src replaces what is at the corresponding
 * selector from dsb on in dst, with the permissions that are also in the mask pmm. What comes out without any
 * permission is a null capability. So pmm 0 revokes: then the contents of src do not matter. There is no way
 * to revoke what somebody else has delegated further, except from each space.
 *
 * By type of the spaces:
 *
 * - Object spaces: selectors 0 to SEL_NUM - 1.
 * - Host spaces: selectors are virtual page numbers, 0 to 2^35 - 1, in the NOVA host space physical page
 *   numbers. Only there mad counts: bits 2:0 are the cacheability (NOVA_MAD_WB and others), bits 17:3 must be
 *   0. Otherwise the cacheability is copied. Pages of the microhypervisor (UTCBs, the HIP) count as null
 *   capabilities.
 * - Port I/O spaces: selectors are ports, 0 to 0xffff; ssb and dsb must be equal.
 * - MSR spaces: selectors are MSRs, 0 to 0xffffffff; ssb and dsb must be equal. Outside of 0 to 0x1fff and
 *   0xc0000000 to 0xc0001fff all MSRs are null capabilities.
 *
 * When it returns, what was revoked is gone on all CPUs: no EC can use the old page, port or capability any
 * more. A hypercall that had looked up a capability on another CPU before may still complete.
 *
 * The PD of dst pays for tables.
 *
 * @section nova_ctrl_pd_status Status
 *
 * - **SUCCESS**: done.
 * - **BAD_CAP**: src or dst is no space, they differ in type, src lacks TAKE, or dst lacks GRANT.
 * - **BAD_PAR**: ssb or dsb is not a multiple of 2^ord; the range goes beyond the last selector; ports or
 *   MSRs with ssb and dsb not equal; from the NOVA host space with a cacheability above 4 or a key
 *   identifier.
 * - **MEM_CAP**: the PD of dst or one of its ancestors has not enough memory for a table. The first part of
 *   the range may have been done. This cannot happen half-way with orders up to nova_hip::mco_obj and its
 *   siblings.
 *
 * @section nova_ctrl_pd_cpu Threads and CPUs
 *
 * From any CPU. Revoking from a host space that is loaded on other CPUs interrupts them and waits for them.
 * The hypercall is not preempted: a large order keeps the CPU for as long as it takes.
 *
 * @section nova_ctrl_pd_spec Specification
 *
 * 5.4.1, 8.7.5
 *
 * @section nova_ctrl_pd_example Example
 *
 * @code{.c}
 * // 2 MiB from one host space to another one, read-only; then revoked.
 * struct regs r = {
 *     .rdi = NOVA_HYPERCALL(NOVA_CTRL_PD, 0UL, hst_from),
 *     .rsi = hst_to,
 *     .rdx = (from_address & ~0xfffUL) | 9,
 *     .rax = (to_address & ~0xfffUL) | NOVA_MEM_R,
 * };
 * status = hypercall(&r);
 * r.rdi = NOVA_HYPERCALL(NOVA_CTRL_PD, 0UL, hst_from);
 * r.rax = to_address & ~0xfffUL;
 * status = hypercall(&r);
 * @endcode
 */

/**
 * @page nova_ctrl_ec ctrl_ec: recall an execution context
 *
 * @section nova_ctrl_ec_synopsis Synopsis
 *
 * status = ctrl_ec (ec, flags)
 *
 * @section nova_ctrl_ec_regs Registers
 *
 * @code{.unparsed}
 *         before                               afterwards
 *   RDI   ec 63:8, flags 7:4, 0x8 3:0          status 7:0
 *   RCX   -                                    address behind SYSCALL
 *   R11   -                                    0x202
 *   RIP                                        address behind SYSCALL
 *   RSI, RDX, RAX, RBX, RBP, RSP, R8 to R10, R12 to R15: unchanged
 * @endcode
 *
 * @section nova_ctrl_ec_flags Flags
 *
 * - NOVA_EC_STRONG (S): return only when the EC is in the microhypervisor, so that no instruction of it runs
 *   any more before the event is handled. Without S, that may take a moment longer.
 *
 * @section nova_ctrl_ec_perm Permissions
 *
 * - ec: execution context with CTRL
 *
 * @section nova_ctrl_ec_effect Effect
 *
 * Before the EC returns to user mode the next time, it sends the event RECALL (@ref nova_events
 * "nova_events(2)" "nova_events(2)"). An EC that runs is interrupted. One that is blocked, waits for a reply
 * or waits to be called stays so, and sends the event when that is over. Recalls that come before the event
 * is sent count as one.
 *
 * @section nova_ctrl_ec_status Status
 *
 * - **SUCCESS**: the event is pending or, if ec is the caller itself, has been handled.
 * - **BAD_CAP**: ec is no EC, or lacks CTRL.
 *
 * @section nova_ctrl_ec_cpu Threads and CPUs
 *
 * From any CPU.
 *
 * @section nova_ctrl_ec_spec Specification
 *
 * 5.4.2
 *
 * @section nova_ctrl_ec_example Example
 *
 * @code{.c}
 * struct regs r = {.rdi = NOVA_HYPERCALL(NOVA_CTRL_EC, (uint64_t)NOVA_EC_STRONG, ec)};
 * status = hypercall(&r);
 * @endcode
 */

/**
 * @page nova_ctrl_sc ctrl_sc: CPU time that was used
 *
 * @section nova_ctrl_sc_synopsis Synopsis
 *
 * status = ctrl_sc (sc, time)
 *
 * @section nova_ctrl_sc_regs Registers
 *
 * @code{.unparsed}
 *         before                               afterwards
 *   RDI   sc 63:8, 0 7:4, 0x9 3:0              status 7:0
 *   RSI   -                                    time; unchanged without SUCCESS
 *   RCX   -                                    address behind SYSCALL
 *   R11   -                                    0x202
 *   RIP                                        address behind SYSCALL
 *   RDX, RAX, RBX, RBP, RSP, R8 to R10, R12 to R15: unchanged
 * @endcode
 *
 * @section nova_ctrl_sc_flags Flags
 *
 * None.
 *
 * @section nova_ctrl_sc_perm Permissions
 *
 * - sc: scheduling context with CTRL
 *
 * @section nova_ctrl_sc_effect Effect
 *
 * Tells for how many ticks of the system time counter (nova_hip::stc_frequency) the SC has run until now, no
 * matter which ECs it ran: the handling of its calls and events is included. The idle SCs in the NOVA object
 * space tell how long a CPU was idle.
 *
 * @section nova_ctrl_sc_status Status
 *
 * - **SUCCESS**: time is valid.
 * - **BAD_CAP**: sc is no SC, or lacks CTRL.
 *
 * @section nova_ctrl_sc_cpu Threads and CPUs
 *
 * From any CPU. If the SC is running on another CPU, the time is a snapshot.
 *
 * @section nova_ctrl_sc_spec Specification
 *
 * 5.4.3
 *
 * @section nova_ctrl_sc_example Example
 *
 * @code{.c}
 * struct regs r = {.rdi = NOVA_HYPERCALL(NOVA_CTRL_SC, 0UL, sc)};
 * if (hypercall(&r) == NOVA_SUCCESS) {
 *     milliseconds = r.rsi / (hip->stc_frequency / 1000);
 * }
 * @endcode
 */

/**
 * @page nova_ctrl_pt ctrl_pt: configure a portal
 *
 * @section nova_ctrl_pt_synopsis Synopsis
 *
 * status = ctrl_pt (pt, pid, mtd)
 *
 * @section nova_ctrl_pt_regs Registers
 *
 * @code{.unparsed}
 *         before                               afterwards
 *   RDI   pt 63:8, 0 7:4, 0xa 3:0              status 7:0
 *   RSI   pid                                  unchanged
 *   RDX   mtd 31:0                             unchanged
 *   RCX   -                                    address behind SYSCALL
 *   R11   -                                    0x202
 *   RIP                                        address behind SYSCALL
 *   RAX, RBX, RBP, RSP, R8 to R10, R12 to R15: unchanged
 * @endcode
 *
 * @section nova_ctrl_pt_flags Flags
 *
 * None.
 *
 * @section nova_ctrl_pt_perm Permissions
 *
 * - pt: portal with CTRL
 *
 * @section nova_ctrl_pt_effect Effect
 *
 * From now on, whoever serves the portal finds pid in RDI; and events that go through it transfer the state
 * that mtd selects (@ref nova_message "nova_message(2)"). Calls do not use mtd.
 *
 * @section nova_ctrl_pt_status Status
 *
 * - **SUCCESS**: done.
 * - **BAD_CAP**: pt is no portal, or lacks CTRL.
 *
 * @section nova_ctrl_pt_cpu Threads and CPUs
 *
 * From any CPU. A call or event at the same moment on another CPU may see the new value of one and the old
 * value of the other.
 *
 * @section nova_ctrl_pt_spec Specification
 *
 * 5.4.4
 *
 * @section nova_ctrl_pt_example Example
 *
 * @code{.c}
 * struct regs r = {
 *     .rdi = NOVA_HYPERCALL(NOVA_CTRL_PT, 0UL, pt),
 *     .rsi = client_number,
 *     .rdx = NOVA_MTD_RIP | NOVA_MTD_QUAL,
 * };
 * status = hypercall(&r);
 * @endcode
 */

/**
 * @page nova_ctrl_sm ctrl_sm: up and down
 *
 * @section nova_ctrl_sm_synopsis Synopsis
 *
 * status = ctrl_sm (sm, deadline, flags)
 *
 * @section nova_ctrl_sm_regs Registers
 *
 * @code{.unparsed}
 *         before                               afterwards
 *   RDI   sm 63:8, flags 7:4, 0xb 3:0          status 7:0
 *   RSI   deadline, for down                   unchanged
 *   RCX   -                                    address behind SYSCALL
 *   R11   -                                    0x202
 *   RIP                                        address behind SYSCALL
 *   RDX, RAX, RBX, RBP, RSP, R8 to R10, R12 to R15: unchanged
 * @endcode
 *
 * @section nova_ctrl_sm_flags Flags
 *
 * - NOVA_SM_DOWN (D): down. Without D: up.
 * - NOVA_SM_ZERO (Z): down sets the counter to 0 instead of counting down by 1. Without meaning for up.
 *
 * @section nova_ctrl_sm_perm Permissions
 *
 * - sm: semaphore with CTRL_UP for up, CTRL_DN for down
 *
 * @section nova_ctrl_sm_effect Effect
 *
 * Up releases the EC that has been blocked for longest, if there is one, with SUCCESS; otherwise it counts
 * up.
 *
 * Down counts down if the counter is not 0. Otherwise the caller is blocked, until an up releases it or the
 * TSC reaches deadline. A deadline of 0 never comes; one that is past gives TIMEOUT at once. While the caller
 * is blocked, scheduling contexts that help it wait with it.
 *
 * Interrupts do an up on their semaphores (@ref nova_assign_int "nova_assign_int(2)"). A down on the
 * semaphore of a level-triggered interrupt tells the microhypervisor that the last one has been handled: it
 * unmasks the pin.
 *
 * @section nova_ctrl_sm_status Status
 *
 * - **SUCCESS**: done; for down: the counter was not 0, or an up has come.
 * - **TIMEOUT**: down, and the deadline has come first.
 * - **OVRFLOW**: up, and the counter is 2^64 - 1.
 * - **BAD_CAP**: sm is no semaphore, or lacks the permission, or has just died.
 * - **BAD_CPU**: down on the semaphore of an interrupt that is not routed to the caller's CPU.
 *
 * @section nova_ctrl_sm_cpu Threads and CPUs
 *
 * From any CPU, except for down on the semaphore of an interrupt: only from the CPU that gets the interrupt.
 *
 * @section nova_ctrl_sm_spec Specification
 *
 * 5.4.5
 *
 * @section nova_ctrl_sm_example Example
 *
 * @code{.c}
 * // Wait for at most one second.
 * struct regs r = {
 *     .rdi = NOVA_HYPERCALL(NOVA_CTRL_SM, (uint64_t)NOVA_SM_DOWN, sm),
 *     .rsi = __builtin_ia32_rdtsc() + hip->stc_frequency,
 * };
 * in_time = hypercall(&r) == NOVA_SUCCESS;
 * @endcode
 */

/**
 * @page nova_ctrl_hw ctrl_hw: reset and power-off
 *
 * @section nova_ctrl_hw_synopsis Synopsis
 *
 * status = ctrl_hw (desc, op)
 *
 * @section nova_ctrl_hw_regs Registers
 *
 * @code{.unparsed}
 *         before                               afterwards
 *   RDI   desc 63:8, op 7:4, 0xc 3:0           status 7:0
 *   RCX   -                                    address behind SYSCALL
 *   R11   -                                    0x202
 *   RIP                                        address behind SYSCALL
 *   RSI, RDX, RAX, RBX, RBP, RSP, R8 to R10, R12 to R15: unchanged
 * @endcode
 *
 * @section nova_ctrl_hw_flags Operations
 *
 * - NOVA_HW_SLEEP (0): desc is B in bits 8:6, A in bits 5:3, S in bits 2:0. S = 0 resets the platform; S = 5
 *   switches it off, with A and B the first two values of the ACPI package _S5. Other S are not supported.
 * - NOVA_HW_QOS (4), NOVA_HW_L3 (5), NOVA_HW_L2 (6), NOVA_HW_MBA (7): not supported.
 *
 * @section nova_ctrl_hw_perm Permissions
 *
 * The caller must belong to the root protection domain.
 *
 * @section nova_ctrl_hw_effect Effect
 *
 * The platform is reset or switched off at once: the other CPUs are not asked, and nothing is saved. A reset
 * tries the ACPI reset register if it is a port, then port 0xcf9, the keyboard controller, and a triple
 * fault.
 *
 * @section nova_ctrl_hw_status Status
 *
 * - **BAD_HYP**: the caller is not in the root protection domain.
 * - **BAD_PAR**: no such operation, or S is 6 or 7.
 * - **BAD_FTR**: S is 1 to 4; power-off without a usable register; the platform did not react; operations 4
 *   to 7.
 * - **ABORTED**: another CPU is doing the same.
 *
 * There is no SUCCESS: when it works, it does not return.
 *
 * @section nova_ctrl_hw_cpu Threads and CPUs
 *
 * From any CPU.
 *
 * @section nova_ctrl_hw_spec Specification
 *
 * 5.5.1
 *
 * @section nova_ctrl_hw_example Example
 *
 * @code{.c}
 * struct regs r = {
 *     .rdi = NOVA_HYPERCALL(NOVA_CTRL_HW, (uint64_t)NOVA_HW_SLEEP, 5UL | s5_a << 3 | s5_b << 6),
 * };
 * status = hypercall(&r);
 * @endcode
 */

/**
 * @page nova_assign_int assign_int: configure an interrupt
 *
 * @section nova_assign_int_synopsis Synopsis
 *
 * status = assign_int (sm, cpu, dev, flags, msi_addr, msi_data)
 *
 * @section nova_assign_int_regs Registers
 *
 * @code{.unparsed}
 *         before                               afterwards
 *   RDI   sm 63:8, flags 7:4, 0xd 3:0          status 7:0
 *   RSI   cpu                                  msi_addr 31:0; unchanged without SUCCESS
 *   RDX   dev: bus, device, function 15:0      msi_data 15:0; unchanged without SUCCESS
 *   RCX   -                                    address behind SYSCALL
 *   R11   -                                    0x202
 *   RIP                                        address behind SYSCALL
 *   RAX, RBX, RBP, RSP, R8 to R10, R12 to R15: unchanged
 * @endcode
 *
 * @section nova_assign_int_flags Flags
 *
 * - NOVA_INT_MASK (M): masked: it does not come through.
 * - NOVA_INT_LEVEL (T): level-triggered, else edge-triggered. Pins only.
 * - NOVA_INT_LOW (P): active low, else active high. Pins only.
 * - NOVA_INT_GUEST (G): guest-owned. Without effect yet.
 *
 * @section nova_assign_int_perm Permissions
 *
 * - sm: semaphore of an interrupt with ASSIGN; the NOVA object space has them (@ref nova_boot_state
 *   "nova_boot_state(2)" "nova_boot_state(2)")
 *
 * @section nova_assign_int_effect Effect
 *
 * The semaphore names the interrupt: numbers below nova_hip::int_pin are pins (global system interrupts of
 * ACPI), the nova_hip::int_msi numbers behind are messages. From now on it goes to CPU cpu, where each one is
 * an up on the semaphore. For a message, the driver writes msi_addr and msi_data into the device's MSI or
 * MSI-X registers:
 *
 * @code{.unparsed}
 *   msi_addr  = 0xfee00000 | APIC ID of the CPU << 12
 *   msi_data  = vector, edge, fixed delivery
 * @endcode
 *
 * For a pin, both are 0. A level-triggered interrupt is masked when it arrives, until the next down (@ref
 * nova_ctrl_sm "nova_ctrl_sm(2)"). A message that comes while it is masked is lost. Before the first
 * assign_int an interrupt is masked.
 *
 * dev is ignored: without interrupt remapping nothing keeps a device from sending another device's message.
 *
 * @section nova_assign_int_status Status
 *
 * - **SUCCESS**: configured.
 * - **BAD_CAP**: sm is no semaphore, lacks ASSIGN, or is not that of an interrupt.
 * - **BAD_CPU**: cpu is not below nova_hip::cpu_num, or has an APIC ID above 255, which interrupts do not
 *   reach.
 *
 * @section nova_assign_int_cpu Threads and CPUs
 *
 * From any CPU, for any CPU. An interrupt that is under way to the old CPU still comes through.
 *
 * @section nova_assign_int_spec Specification
 *
 * 5.5.2
 *
 * @section nova_assign_int_example Example
 *
 * @code{.c}
 * // A PCI pin to CPU 0; the driver runs there.
 * struct regs r = {
 *     .rdi = NOVA_HYPERCALL(NOVA_ASSIGN_INT, (uint64_t)NOVA_INT_LEVEL | NOVA_INT_LOW, sm),
 *     .rsi = 0,
 * };
 * status = hypercall(&r);
 * while (status == NOVA_SUCCESS) {
 *     r.rdi = NOVA_HYPERCALL(NOVA_CTRL_SM, (uint64_t)NOVA_SM_DOWN, sm);
 *     r.rsi = 0;
 *     status = hypercall(&r);
 *     serve_device();
 * }
 * @endcode
 */

/**
 * @page nova_assign_dev assign_dev: assign a device to a DMA space
 *
 * @section nova_assign_dev_synopsis Synopsis
 *
 * status = assign_dev (dma, iommu, dad)
 *
 * @section nova_assign_dev_regs Registers
 *
 * @code{.unparsed}
 *         before                               afterwards
 *   RDI   dma 63:8, 0 7:4, 0xe 3:0             status 7:0
 *   RSI   physical page number of the IOMMU    unchanged
 *         63:12
 *   RDX   dad: segment 31:16, bus 15:8,        unchanged
 *         device 7:3, function 2:0
 *   RCX   -                                    address behind SYSCALL
 *   R11   -                                    0x202
 *   RIP                                        address behind SYSCALL
 *   RAX, RBX, RBP, RSP, R8 to R10, R12 to R15: unchanged
 * @endcode
 *
 * @section nova_assign_dev_flags Flags
 *
 * None.
 *
 * @section nova_assign_dev_perm Permissions
 *
 * The caller must belong to the root protection domain.
 *
 * @section nova_assign_dev_effect Effect
 *
 * None yet: IOMMUs are not supported, and nova_hip::features says so.
 *
 * @section nova_assign_dev_status Status
 *
 * - **BAD_HYP**: the caller is not in the root protection domain.
 * - **BAD_FTR**: always, for the root protection domain.
 *
 * @section nova_assign_dev_cpu Threads and CPUs
 *
 * From any CPU.
 *
 * @section nova_assign_dev_spec Specification
 *
 * 5.5.3, 8.7.6
 *
 * @section nova_assign_dev_example Example
 *
 * @code{.c}
 * struct regs r = {
 *     .rdi = NOVA_HYPERCALL(NOVA_ASSIGN_DEV, 0UL, dma_space),
 *     .rsi = iommu_address,
 *     .rdx = segment << 16 | bus << 8 | device << 3 | function,
 * };
 * status = hypercall(&r);
 * @endcode
 */
