/* What a formatted number costs: the whole of printf.
 *
 * SPDX-License-Identifier: MIT
 */

#include <stdio.h>

int main(int argc, char **argv)
{
    printf("hello from %s, %d\n", argv[0], argc);
    return 0;
}
