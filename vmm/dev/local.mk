# Included by vmm/Makefile.am: one name per line, alphabetical, relative to vmm/.
#
# SPDX-License-Identifier: MIT

dev_sources = \
	dev/bus.c \
	dev/ioapic.c \
	dev/irq.c \
	dev/lapic.c \
	dev/lapic_timer.c \
	dev/machine.c \
	dev/msix.c \
	dev/pci.c \
	dev/power.c \
	dev/rtc.c \
	dev/uart.c

dev_headers = \
	dev/bus.h \
	dev/irq.h \
	dev/lapic.h \
	dev/lapic_timer.h \
	dev/machine.h \
	dev/msix.h \
	dev/pci.h \
	dev/power.h \
	dev/rtc.h \
	dev/uart.h
