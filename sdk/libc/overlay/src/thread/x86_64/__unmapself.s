/* Gives back the stack (base, size) that the thread runs on, and ends it. SPDX-License-Identifier: MIT */
.text
.global __unmapself
.type __unmapself,@function
__unmapself:
	jmp __nova_thread_exit
