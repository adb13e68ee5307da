/* NAME: an application in a protection domain of its own. */

#include <stdio.h>

int main(int argc, char **argv)
{
    printf("hello from %s\n", argc > 0 ? argv[0] : "NAME");
    return 0;
}
