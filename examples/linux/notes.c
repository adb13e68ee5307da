/*
 * notes: keeps lines that are typed, in memory that no other domain has. An empty line shows them.
 *
 * SPDX-License-Identifier: MIT
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOTES 16

int main(void)
{
    static char note[NOTES][80];
    static char line[80];
    unsigned count = 0;

    sleep(1); /* the keyboard goes to whom wants it first: that shall be the virtual machine */
    printf("type a line, and I shall keep it; an empty one shows them all\n");
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (*line && count < NOTES) {
            strcpy(note[count++], line);
            printf("%u kept\n", count);
        } else if (*line) {
            printf("there is no room for more\n");
        }
        for (unsigned i = 0; !*line && i < count; i++)
            printf("%u: %s\n", i + 1, note[i]);
    }
    return 0;
}
