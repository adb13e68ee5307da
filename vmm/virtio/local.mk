# Included by vmm/Makefile.am: one name per line, alphabetical, relative to vmm/.
#
# SPDX-License-Identifier: MIT

virtio_sources = \
	virtio/console.c \
	virtio/echo.c \
	virtio/pci.c \
	virtio/queue.c \
	virtio/rng.c \
	virtio/vsock.c

virtio_headers = \
	virtio/console.h \
	virtio/queue.h \
	virtio/rng.h \
	virtio/virtio.h \
	virtio/vsock.h
