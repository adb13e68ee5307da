# The POSIX layer below the C library, one archive for each kind of authority. Included by sdk/Makefile.am.
#
# SPDX-License-Identifier: MIT

# One name per line, alphabetical. tcb.c sees the C library's internal headers.
posix_core_sources = \
	posix/asan.c \
	posix/cancel.c \
	posix/console.c \
	posix/core.c \
	posix/dispatch.c \
	posix/facts.c \
	posix/futex.c \
	posix/input.c \
	posix/memory.c \
	posix/owned.c \
	posix/random.c \
	posix/signals.c \
	posix/threads.c
posix_time_sources = \
	posix/clock.c
posix_files_sources = \
	posix/files.c \
	posix/names.c \
	posix/nscd.c \
	posix/poll.c \
	posix/status.c \
	posix/transfer.c \
	posix/tree.c
posix_headers = \
	posix/files.h \
	posix/posix.h

posix_core_objects = $(posix_core_sources:.c=.o) posix/tcb.o
posix_time_objects = $(posix_time_sources:.c=.o)
posix_files_objects = $(posix_files_sources:.c=.o)
posix_plain_objects = $(posix_core_sources:.c=.o) $(posix_time_objects) $(posix_files_objects)
posix_libraries = posix/libnova-posix.a posix/libnova-time.a posix/libnova-files.a posix/crt1.o

posix_root = $(abspath $(top_srcdir))
POSIX_FLAGS = -Os -g -nostdinc -fno-pie -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
	-fno-omit-frame-pointer -ffunction-sections -fdata-sections -fno-common -D__nova__ \
	-ffile-prefix-map=$(posix_root)=. -ffile-prefix-map=$(abspath $(top_builddir))=.
POSIX_WARNINGS = -Wall -Wextra -Werror -Wconversion -Wshadow
posix_includes = -isystem $(target_sysroot)/include -isystem `$(CC) -print-file-name=include` \
	-I$(posix_root)/libnova/include
# musl's own code is not made for our warnings.
musl_includes = -Ilibc/musl/arch/x86_64 -Ilibc/musl/arch/generic -Ilibc/musl/obj/src/internal -Ilibc/musl/src/include \
	-Ilibc/musl/src/internal -Ilibc/musl/obj/include -Ilibc/musl/include

$(posix_plain_objects): posix/%.o: posix/%.c libc/musl.stamp
	@$(MKDIR_P) posix
	@echo "  CC       $@"
	@$(CC) -std=gnu17 -D_GNU_SOURCE $(POSIX_FLAGS) $(POSIX_WARNINGS) $(posix_includes) -MMD -MP -c -o $@ $(abspath $<)

posix/tcb.o: posix/tcb.c libc/musl.stamp
	@$(MKDIR_P) posix
	@echo "  CC       $@"
	@$(CC) -std=c99 -D_XOPEN_SOURCE=700 -ffreestanding $(POSIX_FLAGS) $(musl_includes) -w -c -o $@ $(abspath $<)

posix/crt1.o: posix/crt1.S
	@$(MKDIR_P) posix
	@echo "  CC       $@"
	@$(CC) -c -o $@ $(abspath $<)

posix/libnova-posix.a: $(posix_core_objects)
	$(AM_V_GEN)rm -f $@ && $(AR) crD $@ $(posix_core_objects)

posix/libnova-time.a: $(posix_time_objects)
	$(AM_V_GEN)rm -f $@ && $(AR) crD $@ $(posix_time_objects)

posix/libnova-files.a: $(posix_files_objects)
	$(AM_V_GEN)rm -f $@ && $(AR) crD $@ $(posix_files_objects)

-include $(posix_plain_objects:.o=.d)

EXTRA_DIST += $(posix_core_sources) $(posix_time_sources) $(posix_files_sources) $(posix_headers) posix/crt1.S posix/tcb.c
CLEANFILES += $(posix_libraries) $(posix_core_objects) $(posix_time_objects) $(posix_files_objects) \
	$(posix_plain_objects:.o=.d)
