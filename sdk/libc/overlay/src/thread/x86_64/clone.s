/* Makes a thread. SPDX-License-Identifier: MIT */
.text
.global __clone
.hidden __clone
.type __clone,@function
__clone:
	jmp __nova_clone
