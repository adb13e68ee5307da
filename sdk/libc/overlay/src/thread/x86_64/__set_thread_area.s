/* Sets the FS base, and before the first time the POSIX layer. SPDX-License-Identifier: MIT */
.text
.global __set_thread_area
.hidden __set_thread_area
.type __set_thread_area,@function
__set_thread_area:
	jmp __nova_set_tp
