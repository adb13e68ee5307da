/* Environment, constructors, atexit, random numbers, names and limits. SPDX-License-Identifier: MIT */
#include "check.h"
#include <stdint.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <unistd.h>

static int constructed;

__attribute__((constructor)) static void construct(void)
{
    constructed++;
}

static void bye(void)
{
    if (check_failed)
        _exit(1);
}

int main(int argc, char **argv)
{
    struct utsname name;
    uint64_t a = 0;
    uint64_t b = 0;

    (void)argc;
    CHECK(constructed == 1 && argv[0][0]);
    CHECK(!setenv("NAME", "value", 1) && !strcmp(getenv("NAME"), "value") && !unsetenv("NAME") &&
          !getenv("NAME"));
    CHECK(!getentropy(&a, sizeof(a)) && getrandom(&b, sizeof(b), 0) == sizeof(b) && a != b && a && b);
    CHECK(!uname(&name) && !strcmp(name.machine, "x86_64"));
    CHECK(getpid() == 1 && !getuid() && geteuid() == getuid());
    CHECK(sysconf(_SC_PAGESIZE) == 4096 && sysconf(_SC_NPROCESSORS_ONLN) >= 1 &&
          sysconf(_SC_PHYS_PAGES) > 16);
    CHECK(!atexit(bye));
    exit(check_end());
}
