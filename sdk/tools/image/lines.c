/*
 * Counts code lines: those that hold more than blanks and comments, in C and assembly.
 *
 * SPDX-License-Identifier: MIT
 */

#include "code.h"

#include <string.h>

/* In assembly, lines with # are comments too; as are those for the preprocessor: so counts cloc. */
uint64_t count_lines(const char *path, const char *text, size_t size)
{
    const char *dot = strrchr(path, '.'), *end = text + size;
    bool hash = dot && (!strcmp(dot, ".s") || !strcmp(dot, ".S")), comment = false, line = false,
         code = false;
    char quote = 0;
    uint64_t count = 0;

    for (const char *p = text; p < end; p++) {
        char next = p + 1 < end ? p[1] : 0;

        if (*p == '\n') {
            count += code;
            code = line = false;
            quote = 0;
        } else if (comment) {
            if (*p == '*' && next == '/') {
                comment = false;
                p++;
            }
        } else if (line) {
            continue;
        } else if (quote) {
            p += *p == '\\' && next != '\n';
            quote = p < end && *p == quote ? 0 : quote;
        } else if (*p == '/' && next == '*') {
            comment = true;
            p++;
        } else if ((*p == '/' && next == '/') || (hash && *p == '#')) {
            line = true;
        } else if (*p != ' ' && *p != '\t' && *p != '\r' && *p != '\f') {
            code = true;
            quote = *p == '"' || *p == '\'' ? *p : 0;
        }
    }
    return count + code;
}

bool print_lines(char *const *path, FILE *out)
{
    for (; *path; path++) {
        struct arena arena = {NULL};
        const struct file *file = read_file(&arena, *path);

        if (file->error)
            fprintf(stderr, "nova-image: %s: %s\n", *path, file->error);
        else
            fprintf(out, "%llu\t%s\n",
                    (unsigned long long)count_lines(*path, (const char *)file->data, file->size), *path);
        bool bad = file->error;
        arena_free(&arena);
        if (bad)
            return false;
    }
    return true;
}
