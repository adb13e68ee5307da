# Loaders of guests. Included by vmm/Makefile.am.
#
# SPDX-License-Identifier: MIT

boot_sources = \
	boot/linux.c \
	boot/load.c \
	boot/multiboot.c

boot_headers = \
	boot/boot.h \
	boot/layout.h
