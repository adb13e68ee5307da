/*
 * files: a domain has a read-only tree of files, which the system file names (a tar archive in the boot
 * image), and a temporary folder /tmp, which lives in its own memory. Nobody else sees either.
 *
 * SPDX-License-Identifier: MIT
 */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void show(const char *path)
{
    char line[128];
    FILE *file = fopen(path, "r");

    if (!file) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    while (fgets(line, sizeof(line), file))
        printf("%s: %s", path, line);
    fclose(file);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void list(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, visible, alphasort);

    printf("%s has %d entries:", path, count);
    for (int i = 0; i < count; i++) {
        printf(" %s", entries[i]->d_name);
        free(entries[i]);
    }
    putchar('\n');
    if (count >= 0)
        free(entries);
}

int main(void)
{
    struct stat status;

    show("/etc/motd");
    list("/poems");
    show("/poems/blake");
    show("/poems/keats");
    printf("blake has %ld bytes\n", stat("/poems/blake", &status) == 0 ? (long)status.st_size : -1L);
    if (!fopen("/etc/motd", "w"))
        printf("writing /etc/motd: %s\n", strerror(errno));

    FILE *file = fopen("/tmp/notes", "w+");
    if (!file || mkdir("/tmp/done", 0700) != 0) {
        printf("/tmp: %s\n", strerror(errno));
        return 1;
    }
    fputs("buy milk\nfeed the cat\n", file);
    fseek(file, 4, SEEK_SET);
    fputs("beer", file);
    fclose(file);
    rename("/tmp/notes", "/tmp/done/today");
    show("/tmp/notes");
    show("/tmp/done/today");
    chdir("/tmp");
    list("done");
    return unlink("done/today") || rmdir("done");
}
