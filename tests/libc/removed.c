/*
 * Directories that are removed while they are in use: what is above them stays, nothing new comes into them.
 * SPDX-License-Identifier: MIT
 */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* New nodes, which take the memory that has become free. */
static void fill(void)
{
    char name[32];
    int fd;

    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "/tmp/fill%d", i);
        fd = open(name, O_RDWR | O_CREAT, 0600);
        CHECK(fd >= 0 && write(fd, "x", 1) == 1 && !close(fd));
    }
}

static void parents(void)
{
    struct stat above, dot;
    char text[64];
    DIR *directory;

    CHECK(!mkdir("/tmp/a", 0755) && !mkdir("/tmp/a/b", 0755) && !stat("/tmp/a", &above) &&
          !chdir("/tmp/a/b"));
    CHECK((directory = opendir(".")));
    CHECK(!rmdir("/tmp/a/b") && !rmdir("/tmp/a"));
    fill();
    CHECK(!stat("..", &dot) && S_ISDIR(dot.st_mode) && dot.st_ino == above.st_ino);
    CHECK(!stat("../..", &dot) && S_ISDIR(dot.st_mode) && !stat("/tmp", &above) &&
          dot.st_ino == above.st_ino);
    CHECK_ERROR(getcwd(text, sizeof(text)) ? 0 : -1, ENOENT);
    for (struct dirent *e; directory && (e = readdir(directory));)
        CHECK(e->d_type == DT_DIR && e->d_name[0] == '.');
    CHECK(directory && !closedir(directory) && !chdir("/"));
}

static void additions(void)
{
    int fd;

    CHECK(!mkdir("/tmp/c", 0755) && !chdir("/tmp/c") && !rmdir("/tmp/c"));
    CHECK((fd = open("/tmp/kept", O_RDWR | O_CREAT, 0600)) >= 0 && !close(fd));
    CHECK_ERROR(open("new", O_RDWR | O_CREAT, 0600), ENOENT);
    CHECK_ERROR(mkdir("new", 0700), ENOENT);
    CHECK_ERROR(symlink("/tmp", "new"), ENOENT);
    CHECK_ERROR(link("/tmp/kept", "new"), ENOENT);
    CHECK_ERROR(rename("/tmp/kept", "new"), ENOENT);
    CHECK(!access("/tmp/kept", F_OK) && !unlink("/tmp/kept") && !chdir("/"));
}

/* A directory that is moved has another one above it; the old one can be removed, and made again. */
static void moves(void)
{
    struct stat above, dot;

    CHECK(!mkdir("/tmp/e", 0755) && !mkdir("/tmp/f", 0755) && !mkdir("/tmp/e/x", 0755) && !chdir("/tmp/e/x"));
    CHECK(!rename("/tmp/e/x", "/tmp/f/x") && !rmdir("/tmp/e"));
    fill();
    CHECK(!stat("..", &dot) && !stat("/tmp/f", &above) && dot.st_ino == above.st_ino);
    CHECK(!rename("../x", "../y") && !rmdir("/tmp/f/y") && !rmdir("/tmp/f") && !mkdir("/tmp/f", 0755));
    CHECK(!stat("..", &dot) && S_ISDIR(dot.st_mode) && dot.st_ino == above.st_ino);
    CHECK(!chdir("/") && !rmdir("/tmp/f"));
}

/* No memory is lost on the way. */
static void many(void)
{
    for (int i = 0; i < 30000; i++)
        if (mkdir("/tmp/g", 0755) || mkdir("/tmp/g/h", 0755) || chdir("/tmp/g/h") || rmdir("/tmp/g/h") ||
            rmdir("/tmp/g") || chdir("/")) {
            CHECK(!"directories can be made again and again");
            return;
        }
}

int main(void)
{
    parents();
    additions();
    moves();
    many();
    return check_end();
}
