# The compiler driver and what build systems want to know. Included by sdk/Makefile.am.
#
# SPDX-License-Identifier: MIT

# x86_64-nova-elf-NAME, all of them the same script.
target_tools = addr2line ar as c++filt cc clang gcc ld nm objcopy objdump pkg-config ranlib readelf size strings strip

driver_scripts = cc/nova-cc cc/nova-tool cc/nova-undefined
cc_data = cc/nova.specs

bin_SCRIPTS = cc/nova-cc
dist_man_MANS += cc/nova-cc.1
aclocaldir = $(datadir)/aclocal
aclocal_DATA = cc/nova.m4
cmakedir = $(datadir)/nova/cmake
cmake_DATA = cc/nova-toolchain.cmake
sysrootpkgconfigdir = $(sysrootdir)/lib/pkgconfig
sysrootpkgconfig_DATA = cc/nova.pc

cc/nova.pc: cc/nova.pc.in Makefile
	@$(MKDIR_P) cc
	$(AM_V_GEN)sed -e 's|@''VERSION@|$(PACKAGE_VERSION)|g' $< >$@

# The sysroot of the build tree: the same layout as the installed one.
libnova_parts = ../libnova/crt0.o ../libnova/libnova.a ../libnova/libnova-string.a
staged_inputs = $(posix_libraries) $(libnova_parts) $(cc_data) $(driver_scripts) libc/musl.stamp

sysroot.stamp: $(staged_inputs)
	@$(MKDIR_P) sysroot/bin $(target_sysroot)/include/nova/abi
	@for part in $(posix_libraries) $(libnova_parts); do cp -f $$part $(target_sysroot)/lib/ || exit 1; done
	@cp -f $(srcdir)/cc/nova.specs $(srcdir)/cc/nova-undefined $(srcdir)/libc/unsupported $(target_sysroot)/lib/
	@cp -f $(top_srcdir)/libnova/include/nova/*.h $(target_sysroot)/include/nova/
	@cp -f $(top_srcdir)/libnova/include/nova/abi/*.h $(target_sysroot)/include/nova/abi/
	@cp -f $(srcdir)/cc/nova-cc $(srcdir)/cc/nova-tool sysroot/bin/
	@chmod -R u+w sysroot && chmod +x sysroot/bin/nova-cc sysroot/bin/nova-tool $(target_sysroot)/lib/nova-undefined
	@for tool in $(target_tools); do ln -sf nova-tool sysroot/bin/x86_64-nova-elf-$$tool || exit 1; done
	@echo "  SYSROOT  sysroot"
	@touch $@

install-cc: sysroot.stamp
	@$(MKDIR_P) '$(DESTDIR)$(bindir)' '$(DESTDIR)$(sysrootdir)/lib'
	@for tool in $(target_tools); do \
		$(INSTALL_SCRIPT) $(srcdir)/cc/nova-tool "$(DESTDIR)$(bindir)/x86_64-nova-elf-$$tool" || exit 1; done
	@for part in $(posix_libraries); do $(INSTALL_DATA) $$part '$(DESTDIR)$(sysrootdir)/lib/' || exit 1; done
	@$(INSTALL_DATA) $(srcdir)/cc/nova.specs $(srcdir)/libc/unsupported '$(DESTDIR)$(sysrootdir)/lib/'
	@$(INSTALL_SCRIPT) $(srcdir)/cc/nova-undefined '$(DESTDIR)$(sysrootdir)/lib/'

uninstall-cc:
	@for tool in $(target_tools); do rm -f "$(DESTDIR)$(bindir)/x86_64-nova-elf-$$tool"; done
	@for part in $(posix_libraries); do rm -f "$(DESTDIR)$(sysrootdir)/lib/$${part##*/}"; done
	@for file in nova.specs nova-undefined unsupported; do rm -f "$(DESTDIR)$(sysrootdir)/lib/$$file"; done

.PHONY: install-cc uninstall-cc

EXTRA_DIST += $(driver_scripts) $(cc_data) cc/nova.m4 cc/nova-toolchain.cmake cc/nova.pc.in
CLEANFILES += cc/nova.pc sysroot.stamp
