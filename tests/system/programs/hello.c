/*
 * For the tests of nova-run and nova-host: prints its arguments. --status N is the exit status, --wait never ends,
 * --read reads a line, --read-all all until the end of input, --numbers makes hypercalls with all values of RAX that
 * are system calls elsewhere, --tap prints a protocol that is complete.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/abi/hypercall.h>
#include <nova/error.h>
#include <nova/log.h>
#include <nova/program.h>
#include <nova/string.h>
#include <nova/time.h>

/* Bytes up to the end of input; -1: something else came instead. */
static long read_all(void)
{
    uint64_t deadline = nova_now() + 60 * NOVA_S;
    long n, sum = 0;
    char text[64];

    while ((n = nova_log_read(text, sizeof(text), deadline)) > 0)
        sum += n;
    return n == NOVA_ERR_ABSENT && nova_log_read(text, sizeof(text), deadline) == NOVA_ERR_ABSENT ? sum : -1;
}

/* The hypercall that does not exist, with each of these values in RAX. Returns how many were not refused. */
static unsigned call_numbers(void)
{
    unsigned strange = 0;

    for (uint64_t number = 0; number < 1024; number++) {
        uint64_t rax = number, rdi = 0xf;

        __asm__ volatile("syscall"
                         : "+a"(rax), "+D"(rdi)
                         :
                         : "rcx", "r11", "rsi", "rdx", "r8", "r9", "r10", "memory");
        strange += (rdi & 0xff) != NOVA_BAD_HYP;
    }
    return strange;
}

int nova_main(int argc, char **argv)
{
    int status = 0;

    if (argc > 1 && !strcmp(argv[1], "--tap")) {
        nova_print("ok 1 - the first\nok 2 - the second\n1..2\n");
        return 0;
    }
    nova_print("hello\nname: %s\n", argc > 0 ? argv[0] : "");
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
        if (!strcmp(argv[i], "--read-all"))
            nova_print("%ld bytes\n", read_all());
        if (!strcmp(argv[i], "--numbers"))
            nova_print("%u strange answers\n", call_numbers());
    }
    return status;
}
