/*
 * An application that does nothing. It reports the memory that the system file gives it: that it runs shows that this
 * is enough.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/log.h>
#include <nova/program.h>

int nova_main(int argc, char **argv)
{
    nova_print("# bench %s memory of an idle application, all of it, KiB\n", argc > 1 ? argv[1] : "?");
    return 0;
}
