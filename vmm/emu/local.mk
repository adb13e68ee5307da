# Instruction emulation. Included by vmm/Makefile.am.
#
# SPDX-License-Identifier: MIT

emu_sources = \
	emu/cache.c \
	emu/decode.c \
	emu/execute.c \
	emu/memory.c \
	emu/string.c \
	emu/walk.c

emu_headers = \
	emu/emu.h \
	emu/internal.h
