/*
 * Finds and reads the images and archives of a system. The same file is read once and becomes one module.
 *
 * SPDX-License-Identifier: MIT
 */

#include "image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct file *read_file(struct arena *arena, const char *path)
{
    struct file *file = arena_get(arena, sizeof(*file));
    FILE *in = NULL;
    struct stat info;

    file->path = arena_text(arena, path, strlen(path));
    /* A pipe would not even open. */
    if (stat(path, &info) || (S_ISREG(info.st_mode) && !(in = fopen(path, "rb")))) {
        file->error = arena_print(arena, "%s", strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        file->error = arena_print(arena, "not a file");
    } else if ((uint64_t)info.st_size > UINT32_MAX) {
        file->error = arena_print(arena, "larger than 4 GiB");
    } else {
        file->size = (size_t)info.st_size;
        file->data = arena_get(arena, file->size + 1);
        if (fread(file->data, 1, file->size, in) != file->size)
            file->error = arena_print(arena, "cannot be read");
    }
    if (in)
        fclose(in);
    return file;
}

/* The first of the folders that has such a file; the folder of the system file comes first. */
static char *find_path(struct system *s, const char *name, const struct search *search)
{
    const char *slash = strrchr(s->name, '/');
    char *first = arena_print(&s->arena, "%.*s%s", slash ? (int)(slash - s->name) + 1 : 0, s->name, name);
    struct stat info;

    if (*name == '/')
        return arena_text(&s->arena, name, strlen(name));
    if (!stat(first, &info))
        return first;
    for (size_t i = 0; i < search->count; i++) {
        char *path = arena_print(&s->arena, "%s/%s", search->folders[i], name);

        if (!stat(path, &info))
            return path;
    }
    return NULL;
}

/* A file for the image; the same file is read once and becomes one module. */
struct file *get_file(struct system *s, unsigned line, const char *name, const struct search *search)
{
    char *path = find_path(s, name, search), *real;
    struct file *file;

    if (!path) {
        complain(s, line, "there is no file `%s', beside the system file nor in the folders to search", name);
        return NULL;
    }
    real = realpath(path, NULL);
    for (size_t i = 0; real && i < s->file_count; i++) {
        if (!strcmp(s->files[i]->path, real)) {
            free(real);
            return s->files[i];
        }
    }
    file = read_file(&s->arena, real ? real : path);
    free(real);
    if (file->error) {
        complain(s, line, "%s: %s", path, file->error);
        return NULL;
    }
    file->module = (uint32_t)s->file_count;
    s->files = arena_grow(&s->arena, s->files, s->file_count, sizeof(struct file *));
    s->files[s->file_count++] = file;
    return file;
}

void find_image(struct system *s, struct domain *d, const struct search *search)
{
    struct file *file;

    if (!d->image && d->kind == KIND_VM)
        d->image = "vmm.elf";
    else if (!d->given[KEY_IMAGE])
        complain(s, d->line, "`%s' has no image", d->name);
    if (!d->image)
        return;
    file = get_file(s, line_of(d, KEY_IMAGE), d->image, search);
    if (!file)
        return;
    if (!file->is_image && !file->error)
        check_image(&s->arena, file);
    if (!file->is_image) {
        complain(s, line_of(d, KEY_IMAGE), "%s: %s", d->image, file->error ? file->error : "not an ELF file");
        return;
    }
    d->image_file = file;
}

void find_archive(struct system *s, struct domain *d, const struct search *search)
{
    struct file *file = d->archive ? get_file(s, d->given[KEY_FILES], d->archive, search) : NULL;

    if (!file)
        return;
    if (!file->is_archive && !file->error)
        check_archive(&s->arena, file);
    if (!file->is_archive) {
        complain(s, d->given[KEY_FILES], "%s: %s", d->archive,
                 file->error ? file->error : "not a tar archive");
        return;
    }
    d->archive_file = file;
}
