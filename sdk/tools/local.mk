# Host tools: nova-image and the scripts around it, templates, man pages, completion. Included by
# sdk/Makefile.am.
#
# SPDX-License-Identifier: MIT

tool_CFLAGS = -std=c17 -Wall -Wextra -Werror -Wconversion -Wshadow $(AM_CFLAGS)

toolsdir = $(bindir)
toolsdatadir = $(datadir)/nova
toolslibdir = $(libdir)/nova
completiondir = $(datadir)/bash-completion/completions

# From the folder of the tools to the rest, so that the installed SDK can be moved.
to_prefix = `realpath -ms --relative-to='$(bindir)' '$(exec_prefix)'`
to_libdir = `realpath -ms --relative-to='$(bindir)' '$(libdir)/nova'`
to_datadir = `realpath -ms --relative-to='$(bindir)' '$(toolsdatadir)'`

tools_PROGRAMS = tools/nova-image
toolslib_PROGRAMS = tools/nova-terminal
tools_nova_image_SOURCES = \
	tools/image/check.c \
	tools/image/code.c \
	tools/image/code.h \
	tools/image/dwarf.c \
	tools/image/elf.c \
	tools/image/files.c \
	tools/image/image.h \
	tools/image/iso.c \
	tools/image/keys.c \
	tools/image/layout.c \
	tools/image/lines.c \
	tools/image/main.c \
	tools/image/manifest.c \
	tools/image/names.c \
	tools/image/parse.c \
	tools/image/parse.h \
	tools/image/report.c \
	tools/image/stack.c \
	tools/image/support.c \
	tools/image/value.c \
	tools/image/vm.c
tools_nova_image_CPPFLAGS = -D_DEFAULT_SOURCE -DRELATIVE_LIBDIR=\"$(to_libdir)\" \
	-I$(top_srcdir)/libnova/include
tools_nova_image_CFLAGS = $(tool_CFLAGS)

if NOVA_LIBC
libc_stamp = libc/musl.stamp
endif

# The code lines of all sources that images of the SDK are made of, for reports.
toolslib_DATA = tools/code-lines
sdk_folders = kernel libnova root drivers vmm sdk/posix
code_lines = $(abs_builddir)/tools/nova-image --count-lines
find_code = find $(1) -path include/nova -prune -o -name '*.[chsS]' -exec $(code_lines) {} +
from_musl = (cd $(1) && $(call find_code,$(2))) | sed 's|\t|&musl/|'

sdk_sources = $(foreach folder,$(sdk_folders),$(wildcard $(addprefix $(top_srcdir)/$(folder)/,*.[chS] */*.[chS] */*/*.[chS] */*/*/*.[chS])))

tools/code-lines: tools/nova-image $(libc_stamp) $(sdk_sources)
	$(AM_V_GEN){ (cd $(top_srcdir) && $(call find_code,$(sdk_folders))) && if test -d libc/musl; then \
		$(call from_musl,libc/musl,src arch crt obj); $(call from_musl,$(target_sysroot),include); fi; } | \
		LC_ALL=C sort -k 2 >$@.new && mv -f $@.new $@

# The part of nova-run that is no shell script.
tools_nova_terminal_SOURCES = tools/terminal/terminal.c
tools_nova_terminal_CPPFLAGS = -D_DEFAULT_SOURCE
tools_nova_terminal_CFLAGS = $(tool_CFLAGS)

nova_scripts = \
	tools/nova-config \
	tools/nova-gdb \
	tools/nova-new \
	tools/nova-run \
	tools/nova-symbolize
tools_SCRIPTS = $(nova_scripts)
toolsdata_DATA = tools/nova-env

$(nova_scripts) tools/nova-env: %: %.in Makefile
	@$(MKDIR_P) $(@D)
	$(AM_V_GEN)sed -e 's|@''VERSION@|$(PACKAGE_VERSION)|g' -e "s|@""TO_PREFIX@|$(to_prefix)|g" \
		-e "s|@""TO_LIBDIR@|$(to_libdir)|g" -e "s|@""TO_DATADIR@|$(to_datadir)|g" $< >$@.new
	@case $@ in */nova-env) ;; *) chmod +x $@.new ;; esac
	@mv -f $@.new $@

# Shells look for one file for each command.
completions = $(nova_scripts:tools/%=tools/completion/%) tools/completion/nova-image
completion_DATA = $(completions)

$(completions): tools/completion.bash
	@$(MKDIR_P) $(@D)
	$(AM_V_GEN)cp $(srcdir)/tools/completion.bash $@ && chmod u+w $@

nova_templates = \
	templates/app/NAME.nova \
	templates/app/README.md \
	templates/app/dot.gitignore \
	templates/app/tests/NAME.t \
	templates/libc/Makefile \
	templates/libc/NAME.c \
	templates/libc-service/Makefile \
	templates/libc-service/NAME-client.c \
	templates/libc-service/NAME.c \
	templates/libc-service/tests/unit.c \
	templates/none/Makefile \
	templates/none/NAME.c \
	templates/none-service/Makefile \
	templates/none-service/NAME-client.c \
	templates/none-service/NAME.c \
	templates/none-service/tests/unit.c \
	templates/service/NAME.h \
	templates/service/NAME.nova \
	templates/service/README.md \
	templates/service/dot.gitignore \
	templates/service/tests/NAME.t
nobase_dist_toolsdata_DATA = $(nova_templates)

dist_man_MANS = \
	man/nova-config.1 \
	man/nova-gdb.1 \
	man/nova-image.1 \
	man/nova-new.1 \
	man/nova-run.1 \
	man/nova-symbolize.1 \
	man/nova-system.5

EXTRA_DIST += tools/completion.bash tools/nova-env.in $(nova_scripts:=.in)
CLEANFILES += $(nova_scripts) tools/code-lines tools/nova-env $(completions)
