/*
 * A program begins in the directory that its environment says, if there is one.
 * SPDX-License-Identifier: MIT
 */
#include "check.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* As the system file would; files are not in use yet. */
static __attribute__((constructor)) void say_where(void)
{
    setenv("PWD", "/tmp/../dev/shm/", 1);
}

int main(void)
{
    char text[64];
    struct stat status;
    int fd;

    CHECK(getcwd(text, sizeof(text)) && !strcmp(text, "/dev/shm"));
    fd = open("here", O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && write(fd, "x", 1) == 1 && !close(fd));
    CHECK(!stat("/dev/shm/here", &status) && status.st_size == 1);
    CHECK(!chdir("/") && stat("here", &status));
    return check_end();
}
