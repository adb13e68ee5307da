# Included by vmm/Makefile.am: one name per line, alphabetical, relative to vmm/.
#
# SPDX-License-Identifier: MIT

virtio_sources =
virtio_headers =
