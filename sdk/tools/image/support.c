/*
 * Memory and messages of a system.
 *
 * All memory of a system is in its arena, freed at once. There is no way to go on without memory: the program
 * ends.
 *
 * SPDX-License-Identifier: MIT
 */

#include "image.h"

#include <stdlib.h>
#include <string.h>

struct block {
    struct block *next;
    _Alignas(max_align_t) uint8_t data[];
};

static void *check(void *memory)
{
    if (!memory) {
        fputs("nova-image: out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

void *arena_get(struct arena *arena, size_t size)
{
    struct block *block = check(calloc(1, sizeof(struct block) + size));

    block->next = arena->blocks;
    arena->blocks = block;
    return block->data;
}

char *arena_text(struct arena *arena, const char *text, size_t length)
{
    char *copy = arena_get(arena, length + 1);

    if (length)
        memcpy(copy, text, length);
    return copy;
}

/* Arrays double when their count is a power of two. */
void *arena_grow(struct arena *arena, void *array, size_t count, size_t size)
{
    void *bigger;

    if (count & (count - 1))
        return array;
    bigger = arena_get(arena, (count ? 2 * count : 1) * size);
    if (count)
        memcpy(bigger, array, count * size);
    return bigger;
}

void arena_free(struct arena *arena)
{
    for (struct block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    arena->blocks = NULL;
}

__attribute__((format(printf, 2, 0), nonnull)) static char *print_args(struct arena *arena,
                                                                       const char *format, va_list args)
{
    va_list again;
    char *text;
    int size;

    va_copy(again, args);
    size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (size < 0)
        return arena_text(arena, "?", 1);
    text = arena_get(arena, (size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, args);
    return text;
}

char *arena_print(struct arena *arena, const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    text = print_args(arena, format, args);
    va_end(args);
    return text;
}

static void add_issue(struct system *s, unsigned line, bool warning, char *text)
{
    s->issues = arena_grow(&s->arena, s->issues, s->issue_count, sizeof(*s->issues));
    s->issues[s->issue_count++] = (struct issue){line ? line : 1, warning, text};
    s->errors += !warning;
}

void complain(struct system *s, unsigned line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_issue(s, line, false, print_args(&s->arena, format, args));
    va_end(args);
}

void warn(struct system *s, unsigned line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_issue(s, line, true, print_args(&s->arena, format, args));
    va_end(args);
}

/* By line; messages about one line stay in the order in which they came. */
void print_issues(struct system *s, FILE *out)
{
    for (size_t i = 1; i < s->issue_count; i++) {
        struct issue issue = s->issues[i];
        size_t at = i;

        for (; at && s->issues[at - 1].line > issue.line; at--)
            s->issues[at] = s->issues[at - 1];
        s->issues[at] = issue;
    }
    for (size_t i = 0; i < s->issue_count; i++) {
        fprintf(out, "%s:%u: %s%s\n", s->name, s->issues[i].line, s->issues[i].warning ? "warning: " : "",
                s->issues[i].text);
    }
}

void system_free(struct system *s)
{
    arena_free(&s->arena);
}
