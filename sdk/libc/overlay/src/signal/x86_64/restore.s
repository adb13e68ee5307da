/* Return from a signal handler; the POSIX layer calls handlers as functions. SPDX-License-Identifier: MIT */
.text
.global __restore_rt
.hidden __restore_rt
.type __restore_rt,@function
__restore_rt:
	jmp __nova_sigreturn
