/*
 * Reading and writing in pieces: what is there is enough for a read, whatever room there is left.
 * SPDX-License-Identifier: MIT
 */
#include "check.h"
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

int main(void)
{
    char a[4], b[4];
    struct iovec pieces[2] = {{a, 4}, {b, 4}};
    int fds[2], fd;

    /* A pipe holds as much as the first piece takes: waiting for more would be for ever. */
    CHECK(!pipe(fds) && write(fds[1], "abcd", 4) == 4);
    CHECK(readv(fds[0], pieces, 2) == 4 && !memcmp(a, "abcd", 4));
    CHECK(write(fds[1], "abcdefg", 7) == 7 && readv(fds[0], pieces, 2) == 7 && !memcmp(b, "efg", 3));
    CHECK(writev(fds[1], pieces, 2) == 8 && readv(fds[0], pieces, 2) == 8);
    CHECK(!fcntl(fds[0], F_SETFL, O_NONBLOCK));
    CHECK_ERROR(readv(fds[0], pieces, 2), EAGAIN);
    CHECK(!close(fds[1]) && readv(fds[0], pieces, 2) == 0 && !close(fds[0]));
    /* A file gives all of it. */
    fd = open("/tmp/pieces", O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && writev(fd, pieces, 2) == 8 && !lseek(fd, 0, SEEK_SET) && readv(fd, pieces, 2) == 8);
    CHECK(!close(fd) && readv(fd, pieces, 2) == -1 && errno == EBADF);
    return check_end();
}
