/* NAME: an application in a protection domain of its own, without the C library. */

#include <nova/log.h>
#include <nova/program.h>

int nova_main(int argc, char **argv)
{
    nova_print("hello from %s\n", argc > 0 ? argv[0] : "NAME");
    return 0;
}
