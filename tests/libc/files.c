/*
 * Files in memory: the read-only root, /tmp, devices, directories, links, descriptors, pipes, poll.
 * SPDX-License-Identifier: MIT
 */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <unistd.h>

static void streams(void)
{
    FILE *f = fopen("/tmp/file", "w+");
    char text[64];

    CHECK(f && fprintf(f, "one\ntwo\nthree\n") == 14);
    rewind(f);
    CHECK(fgets(text, sizeof(text), f) && !strcmp(text, "one\n"));
    CHECK(!fseek(f, -6, SEEK_END) && fgets(text, sizeof(text), f) && !strcmp(text, "three\n"));
    CHECK(!fclose(f));
    f = fopen("/tmp/file", "a");
    CHECK(f && fputs("four\n", f) >= 0 && ftell(f) == 19 && !fclose(f));
    f = tmpfile();
    CHECK(f && fputc('x', f) == 'x' && !fclose(f));
    CHECK(!fopen("/absent", "r") && errno == ENOENT);
    CHECK(!fopen("/new", "w") && errno == EROFS);
}

static void names(void)
{
    struct stat a;
    struct stat b;
    char text[64];
    DIR *directory;
    unsigned found = 0;

    CHECK(!mkdir("/tmp/d", 0755) && !chdir("/tmp/d") && getcwd(text, sizeof(text)) &&
          !strcmp(text, "/tmp/d"));
    CHECK_ERROR(mkdir("/tmp/d", 0755), EEXIST);
    CHECK(!link("../file", "hard") && !stat("hard", &a) && !stat("/tmp/./d/../file", &b));
    CHECK(a.st_ino == b.st_ino && a.st_nlink == 2 && a.st_size == 19 && S_ISREG(a.st_mode));
    CHECK(!symlink("../file", "soft") && !lstat("soft", &a) && S_ISLNK(a.st_mode) && !stat("soft", &a) &&
          a.st_size == 19);
    CHECK(readlink("soft", text, sizeof(text)) == 7 && !memcmp(text, "../file", 7));
    CHECK(!symlink("loop", "loop"));
    CHECK_ERROR(open("loop", O_RDONLY), ELOOP);
    CHECK_ERROR(open("hard/x", O_RDONLY), ENOTDIR);
    CHECK_ERROR(open("soft", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_ERROR(rmdir("/tmp/d"), ENOTEMPTY);
    CHECK_ERROR(unlink("/tmp/d"), EISDIR);
    CHECK_ERROR(rename("/tmp/d", "/tmp/d/below"), EINVAL);
    CHECK(!rename("hard", "renamed") && access("hard", F_OK) && !access("renamed", R_OK | W_OK));
    directory = opendir(".");
    CHECK(directory != NULL);
    for (struct dirent *e; directory && (e = readdir(directory));)
        found += !strcmp(e->d_name, "renamed") || !strcmp(e->d_name, "soft") || !strcmp(e->d_name, "loop") ||
                         !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")
                     ? 1
                     : 100;
    CHECK(found == 5 && !closedir(directory));
    CHECK(!unlink("renamed") && !unlink("soft") && !unlink("loop") && !chdir("/") && !rmdir("/tmp/d"));
    CHECK_ERROR(unlink("/dev/null"), EROFS);
}

static void descriptors(void)
{
    int fd = open("/tmp/data", O_RDWR | O_CREAT | O_EXCL, 0600);
    struct rlimit files;
    char text[8] = "";
    int other;

    CHECK(fd >= 0 && write(fd, "abcdef", 6) == 6 && lseek(fd, 2, SEEK_SET) == 2 && read(fd, text, 2) == 2);
    CHECK(!strcmp(text, "cd") && pwrite(fd, "X", 1, 0) == 1 && pread(fd, text, 3, 0) == 3 &&
          !strcmp(text, "Xbc"));
    CHECK(!ftruncate(fd, 10000) && pread(fd, text, 1, 9999) == 1 && !text[0]);
    other = dup(fd);
    CHECK(other > fd && lseek(other, 0, SEEK_CUR) == 4 && dup2(fd, 77) == 77 && !close(77) && !close(other));
    CHECK(fcntl(fd, F_GETFL) == O_RDWR && !fcntl(fd, F_SETFD, FD_CLOEXEC) &&
          fcntl(fd, F_GETFD) == FD_CLOEXEC);
    CHECK_ERROR(open("/tmp/data", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    CHECK(!unlink("/tmp/data") && pread(fd, text, 1, 0) == 1 && text[0] == 'X');
    CHECK(!close(fd));
    CHECK_ERROR(read(fd, text, 1), EBADF);
    CHECK((fd = open("/dev/zero", O_RDONLY)) >= 0 && read(fd, text, 8) == 8 && !text[7] && !close(fd));
    CHECK((fd = open("/dev/null", O_RDWR)) >= 0 && write(fd, text, 8) == 8 && !read(fd, text, 8) &&
          !close(fd));
    CHECK(!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur >= 64);
}

static void *writer(void *argument)
{
    for (int i = 0; i < 1000; i++) {
        char block[100];

        memset(block, i, sizeof(block));
        if (write(*(int *)argument, block, sizeof(block)) != sizeof(block))
            return NULL;
    }
    close(*(int *)argument);
    return argument;
}

static void pipes(void)
{
    struct timeval short_time = {.tv_usec = 5000};
    struct pollfd poll_for;
    unsigned char byte;
    pthread_t thread;
    fd_set set;
    void *result;
    int fds[2];
    long count = 0;
    long sum = 0;

    CHECK(!pipe(fds));
    poll_for = (struct pollfd){.fd = fds[0], .events = POLLIN};
    CHECK(poll(&poll_for, 1, 5) == 0);
    FD_ZERO(&set);
    FD_SET(fds[0], &set);
    CHECK(select(fds[0] + 1, &set, NULL, NULL, &short_time) == 0 && !FD_ISSET(fds[0], &set));
    CHECK(!pthread_create(&thread, NULL, writer, &fds[1]));
    CHECK(poll(&poll_for, 1, 10000) == 1 && poll_for.revents & POLLIN);
    while (read(fds[0], &byte, 1) == 1) {
        count++;
        sum += byte;
    }
    CHECK(count == 100000 && sum == 12471600L);
    CHECK(!pthread_join(thread, &result) && result);
    CHECK(poll(&poll_for, 1, 0) == 1 && poll_for.revents & POLLHUP && !close(fds[0]));
    CHECK_ERROR(lseek(1, 0, SEEK_CUR), ESPIPE);
}

static void shared(void)
{
    sem_t *semaphore = sem_open("/named", O_CREAT, 0600, 1);
    int fd = shm_open("/memory", O_CREAT | O_RDWR, 0600);
    char *a;
    char *b;

    CHECK(semaphore != SEM_FAILED && !sem_wait(semaphore) && sem_open("/named", 0) == semaphore);
    CHECK_ERROR(sem_trywait(semaphore), EAGAIN);
    CHECK(!sem_close(semaphore) && !sem_close(semaphore) && !sem_unlink("/named"));
    CHECK(fd >= 0 && !ftruncate(fd, 8192));
    a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    b = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096);
    CHECK(a != MAP_FAILED && b != MAP_FAILED);
    a[4096] = 'x';
    CHECK(b[0] == 'x' && !munmap(a, 8192) && !munmap(b, 4096) && !close(fd) && !shm_unlink("/memory"));
}

/* Shared memory that is given back can be used again. */
static void shared_again(void)
{
    for (int i = 0; i < 5000; i++) {
        sem_t *semaphore = sem_open("/again", O_CREAT | O_EXCL, 0600, 0);
        int fd = shm_open("/again2", O_CREAT | O_EXCL | O_RDWR, 0600);
        char *memory = MAP_FAILED;

        if (fd >= 0 && !ftruncate(fd, 8192))
            memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (semaphore == SEM_FAILED || memory == MAP_FAILED) {
            CHECK(!"there is memory");
            return;
        }
        /* It stays as long as it is mapped, without a name and a descriptor. */
        if (close(fd) || shm_unlink("/again2") || sem_unlink("/again"))
            CHECK(!"what is mapped can be closed and removed");
        memory[8191] = 1;
        if (memory[0] || munmap(memory, 8192) || sem_post(semaphore) || sem_wait(semaphore) ||
            sem_close(semaphore))
            CHECK(!"it can be used all the same");
    }
}

int main(void)
{
    streams();
    names();
    descriptors();
    pipes();
    shared();
    shared_again();
    return check_end();
}
