/*
 * Reads lines from the console and writes them back, until one says "quit".
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/error.h>
#include <nova/log.h>
#include <nova/program.h>
#include <nova/string.h>
#include <nova/time.h>

int nova_main(int argc, char **argv)
{
    (void)argc;
    for (;;) {
        char text[100];
        long n;

        nova_print("%s> ", argv[0]);
        n = nova_log_read(text, sizeof(text) - 1, nova_now() + 60 * NOVA_S);
        if (n < 0) {
            nova_print("read: %s\n", nova_error_text((int)n));
            return 1;
        }
        text[n] = '\0';
        nova_print("got %ld bytes: %s", n, text);
        if (!strcmp(text, "quit\n"))
            return 0;
    }
}
