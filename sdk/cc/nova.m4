# NOVA_SDK([ACTION-IF-FOUND], [ACTION-IF-NOT-FOUND]): looks for the NOVA SDK in PATH and in --with-nova=PREFIX; sets NOVA_PREFIX,
# NOVA_CC, NOVA_IMAGE, NOVA_RUN and NOVA_HOST, all of them empty if it is not there. To build everything for it, use
# configure --host=x86_64-nova-elf instead.
#
# SPDX-License-Identifier: MIT

AC_DEFUN([NOVA_SDK], [
AC_ARG_WITH([nova], [AS_HELP_STRING([--with-nova=PREFIX], [where the NOVA SDK is installed])])
nova_path=$PATH
AS_CASE([$with_nova], ['' | yes | no], [], [nova_path=$with_nova/bin])
AS_IF([test "x$with_nova" != xno], [
    AC_PATH_PROG([NOVA_CC], [nova-cc], [], [$nova_path])
    AC_PATH_PROG([NOVA_IMAGE], [nova-image], [], [$nova_path])
    AC_PATH_PROG([NOVA_RUN], [nova-run], [], [$nova_path])
    AC_PATH_PROG([NOVA_HOST], [nova-host], [], [$nova_path])
])
AS_IF([test -n "$NOVA_CC"],
    [NOVA_PREFIX=`dirname "$(dirname "$NOVA_CC")"`
     $1],
    [NOVA_PREFIX=
     $2])
AC_SUBST([NOVA_PREFIX])
])
