/*
 * For the tests of nova-run and nova-host, with the C library: standard input without waiting, with poll(), and to
 * its end. Input must not begin at once.
 *
 * SPDX-License-Identifier: MIT
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static const char *look(int milliseconds)
{
    struct pollfd p = {.fd = 0, .events = POLLIN};

    return poll(&p, 1, milliseconds) == 1 && p.revents == POLLIN ? "something" : "nothing";
}

int main(void)
{
    char text[100];
    ssize_t n, sum = 0;

    printf("poll says: %s\n", look(0));
    fcntl(0, F_SETFL, O_NONBLOCK);
    n = read(0, text, sizeof(text));
    printf("without waiting: %zd, %s\n", n, n < 0 && errno == EAGAIN ? "EAGAIN" : "?");
    printf("poll says: %s\n", look(60000));
    n = read(0, text, 2);
    printf("without waiting: %zd\n", n);
    fcntl(0, F_SETFL, 0);
    while ((n = read(0, text, 7)) > 0)
        sum += n;
    printf("then %zd bytes, and the end: %zd\n", sum, n);
    printf("poll says: %s\n", look(60000));
    printf("at the end: %zd\n", read(0, text, sizeof(text)));
    return 0;
}
