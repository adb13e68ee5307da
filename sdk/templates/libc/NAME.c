/* NAME: an application in a protection domain of its own. */

#include <stdio.h>

int main(void)
{
    printf("hello from NAME\n");
    return 0;
}
