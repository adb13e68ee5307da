# nova-host: runs programs for protection domains as Linux processes. Included by sdk/Makefile.am.
#
# SPDX-License-Identifier: MIT

bin_PROGRAMS = host/nova-host
host_nova_host_SOURCES = host/console.c host/crash.c host/host.c host/host.h host/kernel.c host/parent.c host/thread.c
host_nova_host_CPPFLAGS = -I$(top_srcdir)/libnova/include
# Code that runs on the program's FS base cannot look for a canary there.
host_nova_host_CFLAGS = -std=gnu17 -Wall -Wextra -Werror -Wconversion -Wshadow $(AM_CFLAGS) -pthread
host_nova_host_LDFLAGS = -pthread
host/host_nova_host-thread.$(OBJEXT): override CFLAGS += -fno-stack-protector
dist_man_MANS += host/nova-host.1
