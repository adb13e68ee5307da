/*
 * Code lines: how much source is in the images of a system, as their debug information names it.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include "image.h"

/* Where a source belongs; what the SDK does not know is the application's own. */
enum part { PART_KERNEL, PART_ROOT, PART_LIBNOVA, PART_LIBC, PART_OWN, PARTS };

struct source {
    const char *path;
    uint64_t lines;
    enum part part;
    bool common;      /* in the kernel or in root */
    uint64_t domains; /* whose images have it, a bit for each */
};

struct code {
    struct arena *arena;
    const char *table; /* lines of the SDK's sources: COUNT, tab, path; or NULL */
    struct source *sources;
    size_t count;
    bool common_unknown;
    uint64_t unknown;    /* domains whose images cannot be counted */
    const char *missing; /* the first source that is nowhere, or NULL */
};

/* code.c: counts kernel, root and all domains. `table' is the file with the lines of the SDK's sources. */
void count_code(struct system *s, struct code *code, const char *kernel, const char *root, const char *table);
/* Lines that these domains have to trust, by part, with kernel and root; their sum, or 0 if it is not known. */
uint64_t code_lines(const struct code *code, uint64_t domains, uint64_t lines[PARTS]);
/* The domains that one depends on: those that it has sessions with, those that these have, and so on. */
uint64_t servers_of(const struct system *s, size_t domain);

/* lines.c: lines of a source that are neither blank nor comment. */
uint64_t count_lines(const char *path, const char *text, size_t size);
/* For each file: the count, a tab, the path. */
bool print_lines(char *const *path, FILE *out);

/* dwarf.c: calls `name' for each source that the debug information names; false if there is none that can be read. */
bool name_sources(struct arena *arena, const struct file *elf, void (*name)(void *context, const char *path),
                  void *context);
/* Calls `name' for each source that was compiled into the image, without its folder; false if it is stripped. */
bool name_objects(const struct file *elf, void (*name)(void *context, const char *base), void *context);
