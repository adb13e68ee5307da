# NOVA_MUSL: where the source of the C library is, and the tools that build it.
#
# Fetches Debian's source package into the user's cache if it is not there yet (sdk/libc/fetch-musl); make never fetches
# anything. --without-musl leaves the C library and all that needs it out.
#
# SPDX-License-Identifier: MIT

AC_DEFUN([NOVA_MUSL], [
AC_ARG_WITH([musl-tarball],
    [AS_HELP_STRING([--with-musl-tarball=FILE], [source of musl 1.2.3 (default: from the cache, or Debian's source package)])])
AC_ARG_WITH([musl], [AS_HELP_STRING([--without-musl], [no C library, only what needs none])])
AC_CHECK_TOOL([AR], [ar])
AC_CHECK_TOOL([RANLIB], [ranlib])
AC_CHECK_TOOL([LD], [ld])
AC_CHECK_TOOL([OBJDUMP], [objdump])
MUSL_TARBALL=
AS_IF([test "x$with_musl" != xno], [
    AC_MSG_CHECKING([for the source of musl])
    AS_IF([test -n "$with_musl_tarball"],
        [AS_IF([test -f "$with_musl_tarball"], [],
            [AC_MSG_ERROR([--with-musl-tarball: there is no $with_musl_tarball])])
         MUSL_TARBALL=`cd "$(dirname "$with_musl_tarball")" && pwd`/`basename "$with_musl_tarball"`],
        [MUSL_TARBALL=`$SHELL "$srcdir/sdk/libc/fetch-musl"`])
    AS_IF([test -n "$MUSL_TARBALL"], [],
        [AC_MSG_ERROR([no source of musl: see --with-musl-tarball and --without-musl])])
    AC_MSG_RESULT([$MUSL_TARBALL])
])
AC_SUBST([MUSL_TARBALL])
AM_CONDITIONAL([NOVA_LIBC], [test -n "$MUSL_TARBALL"])
])
