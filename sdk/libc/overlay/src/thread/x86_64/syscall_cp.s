/* Cancellation point: (flag, number, six arguments). A thread that is to be cancelled does not begin the call; one that
   is in the call is woken, which then returns -EINTR, and __syscall_cp_c cancels it. SPDX-License-Identifier: MIT */
.text
.global __cp_begin
.hidden __cp_begin
.global __cp_end
.hidden __cp_end
.global __cp_cancel
.hidden __cp_cancel
.hidden __cancel
.global __syscall_cp_asm
.hidden __syscall_cp_asm
.type __syscall_cp_asm,@function
__syscall_cp_asm:
__cp_begin:
	mov (%rdi),%eax
	test %eax,%eax
	jnz __cp_cancel
__cp_end:
	mov %rsi,%rdi
	mov %rdx,%rsi
	mov %rcx,%rdx
	mov %r8,%rcx
	mov %r9,%r8
	mov 8(%rsp),%r9
	mov 16(%rsp),%rax
	push %rax
	call __nova_syscall
	add $8,%rsp
	ret
__cp_cancel:
	jmp __cancel
