# Virtual CPUs. Included by vmm/Makefile.am.
#
# SPDX-License-Identifier: MIT

cpu_sources = \
	cpu/access.c \
	cpu/cpuid.c \
	cpu/cr.c \
	cpu/exit.c \
	cpu/inject.c \
	cpu/insn.c \
	cpu/machine.c \
	cpu/msr.c \
	cpu/reset.c \
	cpu/svm.c \
	cpu/time.c \
	cpu/timer.c \
	cpu/vcpu.c \
	cpu/vmx.c

cpu_headers = \
	cpu/access.h \
	cpu/cpu.h \
	cpu/cpuid.h \
	cpu/machine.h \
	cpu/msr.h \
	cpu/time.h \
	cpu/vcpu.h \
	cpu/word.h
