/*
 * For the tests of nova-run: prints its arguments. --status N is the exit status, --wait never ends, --read
 * reads a line, --tap prints a protocol that is complete.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/log.h>
#include <nova/program.h>
#include <nova/string.h>
#include <nova/time.h>

int nova_main(int argc, char **argv)
{
    int status = 0;

    if (argc > 1 && !strcmp(argv[1], "--tap")) {
        nova_print("ok 1 - the first\nok 2 - the second\n1..2\n");
        return 0;
    }
    nova_print("hello\n");
    for (int i = 1; i < argc; i++) {
        nova_print("argument %d: %s\n", i, argv[i]);
        if (!strcmp(argv[i], "--status") && i + 1 < argc)
            status = argv[i + 1][0] - '0';
        if (!strcmp(argv[i], "--wait"))
            nova_sleep_until(NOVA_NEVER);
        if (!strcmp(argv[i], "--read")) {
            char text[100];
            long bytes = nova_log_read(text, sizeof(text) - 1, nova_now() + 60 * NOVA_S);

            if (bytes < 0)
                return 1;
            text[bytes] = '\0';
            nova_print("read: %s", text);
        }
    }
    return status;
}
