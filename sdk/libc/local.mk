# The C library: musl with our overlay. Included by sdk/Makefile.am.
#
# sysroot/ in the build tree is a small SDK of its own (bin/nova-cc, x86_64-nova-elf/): what is built in this tree uses it.
#
# SPDX-License-Identifier: MIT

libc_overlay = \
	libc/overlay/arch/x86_64/syscall_arch.h \
	libc/overlay/src/process/x86_64/vfork.s \
	libc/overlay/src/signal/x86_64/restore.s \
	libc/overlay/src/thread/x86_64/__set_thread_area.s \
	libc/overlay/src/thread/x86_64/__unmapself.s \
	libc/overlay/src/thread/x86_64/clone.s \
	libc/overlay/src/thread/x86_64/syscall_cp.s
libc_inputs = libc/build-musl libc/families libc/unsupported $(libc_overlay)

target_sysroot = sysroot/x86_64-nova-elf

libc/musl.stamp: $(libc_inputs)
	@$(MKDIR_P) libc $(target_sysroot)
	@echo "  MUSL     $(target_sysroot)"
	@CC='$(CC)' AR='$(AR)' RANLIB='$(RANLIB)' LD='$(LD)' OBJDUMP='$(OBJDUMP)' $(SHELL) $(srcdir)/libc/build-musl \
		'$(MUSL_TARBALL)' $(srcdir)/libc libc/musl $(target_sysroot) '$(MAKE)'
	@touch $@

# What was installed is listed, so that it can be removed again. Nothing is written here: tests install at the same time.
libc_manifest = $(DESTDIR)$(sysrootdir)/lib/libc.files

install-libc: libc/musl.stamp
	@$(MKDIR_P) '$(DESTDIR)$(sysrootdir)/include' '$(DESTDIR)$(sysrootdir)/lib'
	@(cd $(target_sysroot) && { find include -type f ! -path 'include/nova/*'; \
		find lib -type f \( -name 'lib*.a' ! -name 'libnova*' -o -name 'crt[in].o' \); }) | \
		LC_ALL=C sort >'$(libc_manifest)'
	@echo " installing libc in '$(DESTDIR)$(sysrootdir)'"
	@while read -r file; do \
		$(MKDIR_P) "$(DESTDIR)$(sysrootdir)/$${file%/*}" && \
		$(INSTALL_DATA) "$(target_sysroot)/$$file" "$(DESTDIR)$(sysrootdir)/$$file" || exit 1; done <'$(libc_manifest)'

uninstall-libc:
	@test ! -f '$(libc_manifest)' || { \
		while read -r file; do rm -f "$(DESTDIR)$(sysrootdir)/$$file"; done <'$(libc_manifest)'; \
		rm -f '$(libc_manifest)'; \
		find '$(DESTDIR)$(sysrootdir)/include' -depth -type d -exec rmdir {} + 2>/dev/null || :; }

clean-libc:
	rm -rf libc/musl sysroot
	rm -f libc/musl.stamp

.PHONY: install-libc uninstall-libc clean-libc

EXTRA_DIST += libc/fetch-musl $(libc_inputs)
