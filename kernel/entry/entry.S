/*
 * The doors of the kernel: hypercalls, exceptions, interrupts; and the ways back to user mode.
 *
 * All of them save registers straight into the current EC's frame (entry/frame.h). The EC is
 * found without a segment register: for SYSCALL through a stub for each CPU, otherwise because the CPU
 * itself loads RSP from TSS.RSP0, which points behind that frame.
 *
 * SPDX-License-Identifier: MIT
 */

#include "entry/frame.h"
#include "mem/layout.h"
#include "nova/abi/hypercall.h"

/* A field of the frame relative to the EC, and to the end of the frame. */
#define ECF(field) (EC_FRAME + (field))
#define ENDF(field) (ECF(field) - EC_END)

/* The registers that C functions preserve. */
#define PRESERVED rbx, rbp, r12, r13, r14, r15
#define ALL rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15

/* A field of the EC, relative to the end of the frame. */
#define END_EC(field) ((field) - EC_END)

/*
 * RSI: MTD, RBX: receiver, R11: end of the sender's frame. Transfers MTD[8:0] + 1 words. Destroys RAX, RCX, RDI, R8, R9,
 * R10.
 */
        .macro  COPY_WORDS
        mov     END_EC(EC_UTCB)(%r11), %r8
        mov     EC_UTCB(%rbx), %r9
        mov     (%r8), %rax
        mov     %rax, (%r9)
        test    $0x1ff, %esi
        jz      10f
        mov     %esi, %ecx
        and     $0x1ff, %ecx
        mov     %rsi, %r10
        lea     8(%r8), %rsi
        lea     8(%r9), %rdi
        rep movsq
        mov     %r10, %rsi
10:
        .endm

/*
 * RBX: EC that runs next, R11: end of the frame of the one that runs, RSP: CPU. core/switch.c does the same for all
 * cases. Destroys RAX, RCX, RDX, RDI, R8, R9. Preserves RSI, RBP.
 */
        .macro  SWITCH
        rdfsbase %rax
        mov     %rax, END_EC(EC_FS_BASE)(%r11)
        rdgsbase %rax
        mov     %rax, END_EC(EC_GS_BASE)(%r11)
        mov     EC_FS_BASE(%rbx), %rax
        wrfsbase %rax
        mov     EC_GS_BASE(%rbx), %rax
        wrgsbase %rax
        lea     EC_END(%rbx), %rax
        mov     %rax, CPU_RSP0(%rsp)
        mov     EC_CONTEXT(%rbx), %rax
        cmp     END_EC(EC_CONTEXT)(%r11), %rax
        jne     12f
        test    $1, %al
        jz      11f
10:     mov     END_EC(EC_FPU)(%r11), %r8
        mov     EC_FPU(%rbx), %r9
        mov     $-1, %eax
        mov     $-1, %edx
        xsave64 (%r8)
        xrstor64 (%r9)
        jmp     11f

        /* Another PD, another use of the FPU, or both. */
12:     cmpb    $0, CPU_SWITCH_SLOW(%rsp)
        jne     13f
        xor     END_EC(EC_CONTEXT)(%r11), %rax
        test    $1, %al
        jnz     13f
        mov     EC_HST(%rbx), %r8
        mov     %r8, CPU_SPACE(%rsp)
        mov     HST_ROOT(%r8), %r8
        mov     %r8, %cr3               /* orders CPU_SPACE and PIO_GRANTED: see switch_io_changed */
        mov     EC_PIO(%rbx), %r8
        mov     $IO_MAP_NONE, %ecx
        cmpb    $0, PIO_GRANTED(%r8)
        je      14f
        cmp     CPU_PIO_MAPPED(%rsp), %r8
        jne     13f
        mov     $IO_MAP_BITMAP, %ecx
14:     mov     %cx, CPU_IO_MAP(%rsp)
        cmpq    $0, EC_FPU(%rbx)
        je      11f
        jmp     10b
13:     mov     %rsp, %rdi
        push    %rsi
        lea     -EC_END(%r11), %rsi
        mov     %rbx, %rdx
        call    switch_rest
        pop     %rsi
11:
        .endm

        .text

/*
 * SYSCALL enters at the stub of its CPU with RCX = RIP, R11 = RFLAGS. R11 is of no interest: hypercalls return
 * with RFLAGS_USER.
 */
        .globl  syscall_stubs
        .balign 32
syscall_stubs:
        .set    i, 0
        .rept   CPU_MAX
        .balign 32
        mov     CPU_BASE + i * CPU_STRIDE + CPU_DATA + CPU_RSP0, %r11
        mov     %rsp, ENDF(F_RSP)(%r11)
        mov     $CPU_BASE + i * CPU_STRIDE + CPU_DATA, %rsp
        jmp     hypercall_entry
        .set    i, i + 1
        .endr

/*
 * Hypercalls. The C functions get RDI, RSI, RDX and R8 as the user set them, and the EC in R9. The registers that C
 * preserves by itself are saved only where another EC may run next; ipc_call and ipc_reply define RSI anew.
 */
        .balign 64
hypercall_entry:
        SAVE    ENDF(0), %r11, rax, rdx, r8, r9, r10
        mov     %rcx, ENDF(F_RIP)(%r11)
        cmpb    $NOVA_CTRL_SM, %dil
        je      1f
        cmpb    $NOVA_IPC_REPLY, %dil
        jb      hypercall_ipc_call
        je      hypercall_ipc_reply
        SAVE    ENDF(0), %r11, rsi
        lea     -EC_END(%r11), %r9
        call    hypercall
        cmp     $0xff, %eax
        ja      2f

        /* Back to the same EC; EAX is the status. */
hypercall_return:
        mov     CPU_RSP0(%rsp), %r11
        mov     %eax, %edi
        LOAD    ENDF(0), %r11, rax, rdx, rsi, r8, r9, r10
        mov     ENDF(F_RIP)(%r11), %rcx
        mov     ENDF(F_RSP)(%r11), %rsp
        mov     $RFLAGS_USER, %r11d
        sysretq

1:      SAVE    ENDF(0), %r11, rsi
        lea     -EC_END(%r11), %r9
        call    hypercall_sm_up
        cmp     $0xff, %eax
        jbe     hypercall_return

        /* The hypercall has not ended, or something else comes first. */
2:      mov     CPU_RSP0(%rsp), %r11
        SAVE    ENDF(0), %r11, PRESERVED
        lea     -EC_END(%r11), %rdi
        call    hypercall_suspend

/*
 * ipc_call, the fast path: the callee waits, is on the same CPU, and nothing else has to be done for either. What does
 * not fit goes to core/ipc.c, before anything is changed.
 *
 * RBX: callee, RBP: portal, RSP: CPU.
 */
        .balign 64
hypercall_ipc_call:
        SAVE    ENDF(0), %r11, PRESERVED
        mov     %rdi, %rax
        shr     $17, %rax
        cmp     $511, %rax
        ja      1f
        mov     END_EC(EC_CAPS)(%r11), %rdx
        mov     (%rdx, %rax, 8), %rdx
        mov     %edi, %eax
        shr     $8, %eax
        and     $511, %eax
        mov     (%rdx, %rax, 8), %rbp
        bt      $32 + CAP_RIGHT_CALL, %rbp
        jnc     1f
        movslq  %ebp, %rbp
        mov     PT_EC(%rbp), %rbx
        cmp     EC_CPU(%rbx), %rsp
        jne     1f
        cmpl    $0, EC_HAZARD(%rbx)
        jne     1f

        lea     -EC_END(%r11), %rax
        mov     %rax, EC_CALLER(%rbx)
        mov     %rbx, END_EC(EC_CALLEE)(%r11)
        movb    $1, EC_BUSY(%rbx)
        COPY_WORDS
        SWITCH
        mov     PT_IP(%rbp), %rcx
        mov     PT_PID(%rbp), %rdi
        mov     %esi, %esi
        jmp     exit_ipc

1:      LOAD    ENDF(0), %r11, rbx, rbp
        lea     -EC_END(%r11), %rdx
        call    ipc_call_slow           /* returns only with an error */
        jmp     hypercall_return

/*
 * ipc_reply, the fast path: there is a caller, it waits for a regular reply, and nothing else has to be done.
 *
 * RBX: caller, RSP: CPU.
 */
        .balign 64
hypercall_ipc_reply:
        SAVE    ENDF(0), %r11, PRESERVED
        mov     END_EC(EC_CALLER)(%r11), %rbx
        test    %rbx, %rbx
        jz      1f
        testl   $0xffff00ff, EC_HAZARD(%rbx) /* all but `busy` */
        jnz     1f

        movq    $0, EC_CALLEE(%rbx)
        movb    $0, END_EC(EC_BUSY)(%r11)
        COPY_WORDS
        SWITCH
        mov     ECF(F_RIP)(%rbx), %rcx
        xor     %edi, %edi              /* NOVA_SUCCESS */
        mov     %esi, %esi
        jmp     exit_ipc

1:      mov     %rsi, %rdi
        lea     -EC_END(%r11), %rsi
        call    ipc_reply_slow

/* RBX: EC; RDI, RSI, RCX: its RDI, RSI and RIP. */
exit_ipc:
        LOAD    EC_FRAME, %rbx, rax, rdx, rbp, r8, r9, r10, r12, r13, r14, r15
        mov     ECF(F_RSP)(%rbx), %rsp
        LOAD    EC_FRAME, %rbx, rbx
        mov     $RFLAGS_USER, %r11d
        sysretq

/* RDI: EC. Return from a hypercall into an EC. */
        .globl  exit_sysret, exit_with
exit_sysret:
        LOAD    EC_FRAME, %rdi, rsi
        mov     EC_FRAME + R_rdi(%rdi), %rdx
        mov     ECF(F_RIP)(%rdi), %rcx

/* The same, with RSI, RDI and RIP from RSI, RDX and RCX. */
exit_with:
        mov     %rdi, %rbx
        mov     %rdx, %rdi
        jmp     exit_ipc

/* RDI: EC. Return from an exception or interrupt into an EC. */
        .globl  exit_iret
exit_iret:
        LOAD    EC_FRAME, %rdi, rax, rcx, rdx, rbx, rbp, rsi, r8, r9, r10, r11, r12, r13, r14, r15
        lea     ECF(F_RIP)(%rdi), %rsp
        LOAD    EC_FRAME, %rdi, rdi
        iretq

/* RDI: CPU. Abandon the stack, then go on in core/sc.c. */
        .globl  schedule, reactivate, leave
schedule:
        mov     %rdi, %rsp
        call    schedule_next
reactivate:
        mov     %rdi, %rsp
        call    reactivate_sc
leave:                                  /* RSI: EC */
        mov     %rdi, %rsp
        call    leave_to

/*
 * Exceptions and interrupts, one stub a vector. Those with an error code have had it pushed; NMI, #DF and #MC
 * run on stacks of their own.
 */
        .globl  vector_stubs
        .balign 16
vector_stubs:
        .set    i, 0
        .rept   256
        .balign 16
        .if     !(i == 8 || (i >= 10 && i <= 14) || i == 17 || i == 21 || i == 29 || i == 30)
        pushq   $0
        .endif
        pushq   $i
        .if     i == 1
        jmp     vector_debug
        .elseif i == 2
        jmp     vector_nmi
        .elseif i == 8 || i == 18
        jmp     vector_kernel
        .else
        jmp     vector_entry
        .endif
        .set    i, i + 1
        .endr

/* RSP: `vector` in the EC's frame, or on the CPU's stack if the kernel was interrupted. */
vector_entry:
        testb   $3, F_CS - F_VECTOR(%rsp)
        jz      vector_kernel
        SAVE    -F_VECTOR, %rsp, ALL
        lea     -F_VECTOR - EC_FRAME(%rsp), %rdi
        mov     EC_CPU(%rdi), %rsp
        cld
        cmpb    $0, cpu_has_smap(%rip)
        je      1f
        clac                            /* the user may have set AC */
1:
        call    exception_user

/* The kernel was interrupted: idle, at a preemption point, or broken. */
vector_kernel:
        sub     $F_VECTOR, %rsp
        SAVE    0, %rsp, ALL
        mov     %rsp, %rdi
        cld
        call    exception_kernel

/* Bochs raises debug traps of guests in the host, too, right behind VMRUN (AMD APM volume 2, 15.8: they are lost there). */
vector_debug:
        cmpq    $svm_left, F_RIP - F_VECTOR(%rsp)
        jne     vector_entry
        jmp     1f

/* Nothing to do but to count: the kernel uses no NMIs. */
vector_nmi:
        lock incl nmi_count(%rip)
1:      add     $16, %rsp
        iretq

        .section .note.GNU-stack, "", @progbits
