/*
 * Makes the boot image with grub-mkrescue: for BIOS and UEFI, from CD or USB stick.
 *
 * The same system gives the same bytes: all times are SOURCE_DATE_EPOCH (2000-01-01 if it is not set), which
 * the programs behind grub-mkrescue honour, and the identifier of the file system that GRUB searches for is
 * made from it. Nothing is left behind, and the result appears under its name only when it is complete.
 *
 * SPDX-License-Identifier: MIT
 */

#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_EPOCH "946684800"
#define FAT_EPOCH 315532800 /* 1980, before which FAT has no times */

/* A signal that is to end the program does so after the clean-up. */
static volatile sig_atomic_t ended_by;

static void on_signal(int number)
{
    ended_by = number;
}

static void handle_signals(void (*handler)(int))
{
    static const int numbers[] = {SIGHUP, SIGINT, SIGTERM};
    const struct sigaction action = {.sa_handler = handler};

    for (unsigned i = 0; i < 3; i++)
        sigaction(numbers[i], &action, NULL);
}

static bool fail(const char *what)
{
    fprintf(stderr, "nova-image: %s: %s\n", what, strerror(errno));
    return false;
}

bool write_file(const char *path, const void *data, size_t size)
{
    FILE *out = fopen(path, "wb");
    bool good = out && fwrite(data, 1, size, out) == size;

    if (out && fclose(out))
        good = false;
    return good || fail(path);
}

/* The name of a module in the boot image: its number and domain, for people who look at it. */
static const char *module_name(struct system *s, uint32_t module)
{
    for (size_t i = 0; i < s->domain_count; i++) {
        const struct domain *d = &s->domains[i];

        if (d->image_file->module == module)
            return arena_print(&s->arena, "%03u-%s", module, d->name);
        if (d->archive_file && d->archive_file->module == module)
            return arena_print(&s->arena, "%03u-%s.tar", module, d->name);
        if (d->vm.kernel_file && d->vm.kernel_file->module == module)
            return arena_print(&s->arena, "%03u-%s.kernel", module, d->name);
        if (d->vm.initrd_file && d->vm.initrd_file->module == module)
            return arena_print(&s->arena, "%03u-%s.initrd", module, d->name);
    }
    return arena_print(&s->arena, "%03u", module);
}

static const char *make_config(struct system *s)
{
    const char *text = "serial --unit=0 --speed=115200\n"
                       "terminal_output serial\n"
                       "set gfxpayload=text\n"
                       "echo 'nova: handing over'\n"
                       "multiboot2 /boot/hypervisor serial\n"
                       "module2 /boot/root root\n"
                       "module2 /boot/manifest manifest\n";

    for (uint32_t i = 0; i < s->file_count; i++) {
        const char *name = module_name(s, i);

        text = arena_print(&s->arena, "%smodule2 /boot/modules/%s %s\n", text, name, name);
    }
    return arena_print(&s->arena, "%sboot\n", text);
}

/* Fills the folder that becomes the boot image. */
static bool fill(struct system *s, const char *folder, const struct file *kernel, const struct file *root)
{
    struct arena *a = &s->arena;
    const char *const folders[] = {"", "/boot", "/boot/grub", "/boot/modules"};
    const char *config = make_config(s);
    size_t size;
    const uint8_t *manifest = make_manifest(s, &size);

    for (size_t i = 0; i < 4; i++) {
        const char *path = arena_print(a, "%s/image%s", folder, folders[i]);

        if (mkdir(path, 0755))
            return fail(path);
    }
    for (uint32_t i = 0; i < s->file_count; i++)
        if (!write_file(arena_print(a, "%s/image/boot/modules/%s", folder, module_name(s, i)),
                        s->files[i]->data, s->files[i]->size))
            return false;
    return manifest && write_file(arena_print(a, "%s/image/boot/manifest", folder), manifest, size) &&
           write_file(arena_print(a, "%s/image/boot/hypervisor", folder), kernel->data, kernel->size) &&
           write_file(arena_print(a, "%s/image/boot/root", folder), root->data, root->size) &&
           write_file(arena_print(a, "%s/image/boot/grub/grub.cfg", folder), config, strlen(config));
}

static void show(const char *path)
{
    FILE *in = fopen(path, "r");
    int c;

    while (in && (c = getc(in)) != EOF)
        putc(c, stderr);
    if (in)
        fclose(in);
}

/* Runs a program with its output in a file; shows that if it fails. */
static bool run(char *const argv[], const char *log)
{
    pid_t child = fork();
    int status;

    if (child < 0)
        return fail(argv[0]);
    if (!child) {
        setpgid(
            0, 0); /* it is done in a moment: no signal from the terminal, so that nothing is left half-way */
        int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0644);

        if (out >= 0 && dup2(out, 1) >= 0 && dup2(out, 2) >= 0)
            execvp(argv[0], argv);
        _exit(errno == ENOENT ? 127 : 126);
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return fail(argv[0]);
    if (WIFEXITED(status) && !WEXITSTATUS(status))
        return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        fprintf(stderr, "nova-image: %s is missing\n", argv[0]);
        return false;
    }
    fprintf(stderr, "nova-image: %s failed:\n", argv[0]);
    show(log);
    return false;
}

static bool remove_all(char *folder)
{
    char *const argv[] = {"rm", "-rf", folder, NULL};

    return run(argv, "/dev/null");
}

/* The time of everything, in the 16 digits that xorriso wants. GRUB searches for them as UUID. */
static char *image_date(struct system *s)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    uint64_t seconds = 0;
    time_t when;
    struct tm tm;

    if (!epoch || !*epoch) {
        epoch = DEFAULT_EPOCH;
        setenv("SOURCE_DATE_EPOCH", epoch, 1);
    }
    if (parse_number(epoch, &seconds) || seconds < FAT_EPOCH || seconds > UINT32_MAX) {
        fprintf(stderr, "nova-image: SOURCE_DATE_EPOCH is no time from 1980 to 2106: %s\n", epoch);
        return NULL;
    }
    when = (time_t)seconds;
    if (!gmtime_r(&when, &tm))
        return NULL;
    return arena_print(&s->arena, "%04d%02d%02d%02d%02d%02d00", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                       tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/*
 * mformat, which grub-mkrescue calls for the UEFI partition, makes up a serial number unless it is told one:
 * a script of the same name comes before it in the search path.
 */
static bool add_mformat(struct system *s, const char *folder)
{
    const char *path = getenv("PATH"),
               *script = "#!/bin/sh\nPATH=$NOVA_IMAGE_PATH exec mformat -N 4e4f5641 \"$@\"\n";
    const char *bin = arena_print(&s->arena, "%s/bin", folder),
               *file = arena_print(&s->arena, "%s/mformat", bin);

    path = path ? path : "/usr/bin:/bin";
    return (!mkdir(bin, 0700) || fail(bin)) && write_file(file, script, strlen(script)) &&
           (!chmod(file, 0700) || fail(file)) && !setenv("NOVA_IMAGE_PATH", path, 1) &&
           !setenv("PATH", arena_print(&s->arena, "%s:%s", bin, path), 1);
}

/* The temporary folder of grub-mkrescue is inside of ours. */
static bool mkrescue(struct system *s, const char *folder, const char *out)
{
    char *date = image_date(s), *temporary = arena_print(&s->arena, "%s/tmp", folder);
    char *argv[] = {
        "grub-mkrescue",
        "-o",
        arena_text(&s->arena, out, strlen(out)),
        "--locales=",
        "--fonts=",
        "--themes=",
        "--install-modules=echo fat iso9660 multiboot2 normal part_gpt part_msdos search search_fs_file "
        "search_fs_uuid serial terminal",
        arena_print(&s->arena, "--modification-date=%s", date ? date : ""),
        arena_print(&s->arena, "%s/image", folder),
        "--set_all_file_dates",
        date,
        NULL,
    };

    if (!date || !add_mformat(s, folder))
        return false;
    if (mkdir(temporary, 0700) || setenv("TMPDIR", temporary, 1))
        return fail(temporary);
    return run(argv, arena_print(&s->arena, "%s/log", folder));
}

bool make_iso(struct system *s, const char *kernel, const char *root, const char *out)
{
    const char *base = getenv("TMPDIR");
    char *folder = arena_print(&s->arena, "%s/nova-image.XXXXXX", base && *base ? base : "/tmp");
    char *partial = arena_print(&s->arena, "%s.partial", out);
    struct file *files[2] = {read_file(&s->arena, kernel), read_file(&s->arena, root)};
    bool good;

    for (unsigned i = 0; i < 2; i++) {
        if (files[i]->error) {
            fprintf(stderr, "nova-image: %s: %s\n", files[i]->path, files[i]->error);
            return false;
        }
    }
    handle_signals(on_signal);
    if (!mkdtemp(folder))
        return fail(folder);
    good = fill(s, folder, files[0], files[1]) && !ended_by && mkrescue(s, folder, partial) && !ended_by;
    if (good && rename(partial, out))
        good = fail(out);
    handle_signals(SIG_IGN);
    if (!good)
        unlink(partial);
    good &= remove_all(folder);
    handle_signals(SIG_DFL);
    if (ended_by)
        raise(ended_by);
    return good;
}
