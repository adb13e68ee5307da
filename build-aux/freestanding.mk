# Compiler flags and rules for code that runs without an operating system below it: the kernel, test
# images, benchmark images. Included by the Makefile.am of each. CFLAGS, CPPFLAGS and LDFLAGS belong
# to the user and stay out on purpose: a distribution's hardening flags would break this code.
#
# Sources and include paths are absolute and mapped to "." so that the result does not depend on
# where source and build trees are.
#
# SPDX-License-Identifier: MIT

source_root = $(abspath $(abs_top_srcdir))
build_root = $(abspath $(abs_top_builddir))

WARNINGS = -Wall -Wextra -Werror -Wconversion -Wshadow
FREESTANDING_CFLAGS = -std=c17 -ffreestanding -O2 -g -fno-pie -fno-stack-protector -fcf-protection=none \
	-fno-asynchronous-unwind-tables -fno-strict-aliasing -fno-common $(WARNINGS) \
	-ffile-prefix-map=$(source_root)=. -ffile-prefix-map=$(build_root)=. \
	-I$(source_root)/libnova/include
FREESTANDING_LINK = -nostdlib -static -Wl,--build-id=none -Wl,-z,max-page-size=0x1000 \
	-Wl,-z,noexecstack

TARGET_V_CC = $(target_v_cc_$(V))
target_v_cc_ = $(target_v_cc_$(AM_DEFAULT_VERBOSITY))
target_v_cc_0 = @echo "  CC       $@";
TARGET_V_LD = $(target_v_ld_$(V))
target_v_ld_ = $(target_v_ld_$(AM_DEFAULT_VERBOSITY))
target_v_ld_0 = @echo "  LD       $@";

# TARGET_CFLAGS is the including Makefile's choice on top of the common flags.
TARGET_COMPILE = $(CC) $(FREESTANDING_CFLAGS) $(TARGET_CFLAGS) -MMD -MP

%.o: %.c Makefile
	@$(MKDIR_P) $(@D)
	$(TARGET_V_CC)$(TARGET_COMPILE) -c -o $@ $(abspath $<)

%.o: %.S Makefile
	@$(MKDIR_P) $(@D)
	$(TARGET_V_CC)$(TARGET_COMPILE) -c -o $@ $(abspath $<)

# KERNEL=path on the command line, relative to the top of the build tree, boots another kernel.
kernel_option = $(if $(KERNEL),--kernel '$(if $(filter /%,$(KERNEL)),,$(abs_top_builddir)/)$(KERNEL)')
