/*
 * The syntax of system files: lines, sections and keys. The values are for keys.c.
 *
 *   file    = { line }
 *   line    = [ section | key "=" value ] [ "#" comment ]
 *   section = "[system]" | "[app" name "]" | "[driver" name "]" | "[vm" name "]"
 *
 * Works on any bytes; every deviation is a message with its line, and reading goes on behind it. Whether
 * names exist, files are good and sums fit is for check.c.
 *
 * SPDX-License-Identifier: MIT
 */

#include "parse.h"

#include <string.h>

static void key_line(struct parser *p, char *text)
{
    char *equals = strchr(text, '='), *end = equals;
    struct words words = {0};
    const char *error;
    unsigned key = 0;

    if (!equals) {
        complain(p->s, p->line, "neither a [section] nor `key = value'");
        return;
    }
    while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    p->key = arena_text(&p->s->arena, text, (size_t)(end - text));
    if (!*p->key) {
        complain(p->s, p->line, "the name of the key is missing");
        return;
    }
    if (!p->in_any) {
        complain(p->s, p->line, "`%s' before the first section", p->key);
        return;
    }
    if (p->skip)
        return;
    if (!p->in_system)
        key = find_key(p->key);
    if (key == KEYS) {
        complain(p->s, p->line, "unknown key `%s' in [%s ...]", p->key, kind_name(p->domain));
        return;
    }
    error = split_words(&p->s->arena, equals + 1, !p->in_system && key_has_commas(key), &words);
    if (error) {
        complain(p->s, p->line, "%s: %s", p->key, error);
        if (!p->in_system && !p->domain->given[key])
            p->domain->given[key] = p->line;
    } else if (p->in_system) {
        system_key(p, &words);
    } else {
        domain_key(p, key, &words);
    }
}

static struct domain fresh_domain(enum kind kind, const char *name, unsigned line)
{
    return (struct domain){
        .name = name,
        .line = line,
        .kind = kind,
        .vm = {.vcpus = 1},
        .memory = 1U << 20,
        .stack = 64U << 10,
        .cpus = 1,
        .priority = kind == KIND_DRIVER ? 40
                    : kind == KIND_VM   ? 10
                                        : 20,
        .threads = 16,
        .restarts = 5,
        .backoff_ms = 100,
        .policy = NOVA_POLICY_STOP,
        .fpu = kind != KIND_VM,
        .keyboard = kind == KIND_VM,
    };
}

/* A domain, or a place for its keys if there can be no such domain. */
static void begin_domain(struct parser *p, enum kind kind, const char *name)
{
    struct system *s = p->s;
    const char *error = parse_name(name);

    p->skip = false;
    p->ignored = fresh_domain(kind, "", p->line);
    p->domain = &p->ignored;
    if (error) {
        complain(s, p->line, "`%s': %s", name, error);
        return;
    }
    if (!strcmp(name, "root")) {
        complain(s, p->line, "the name `root' is taken");
        return;
    }
    for (size_t i = 0; i < s->domain_count; i++) {
        if (!strcmp(s->domains[i].name, name)) {
            complain(s, p->line, "`%s' is there in line %u already", name, s->domains[i].line);
            return;
        }
    }
    s->domains = arena_grow(&s->arena, s->domains, s->domain_count, sizeof(*s->domains));
    p->domain = &s->domains[s->domain_count++];
    *p->domain = fresh_domain(kind, name, p->line);
}

static void section_line(struct parser *p, char *text)
{
    static const struct {
        const char *name;
        enum kind kind;
    } kinds[] = {{"app", KIND_APP}, {"driver", KIND_DRIVER}, {"vm", KIND_VM}, {NULL, 0}};
    unsigned kind = 0;
    size_t length = strlen(text);
    struct words words = {0};
    const char *error;

    p->in_any = true;
    p->in_system = false;
    p->skip = true;
    p->domain = NULL;
    if (text[length - 1] != ']') {
        complain(p->s, p->line, "the section does not end with ]");
        return;
    }
    text[length - 1] = 0;
    error = split_words(&p->s->arena, text + 1, false, &words);
    if (error) {
        complain(p->s, p->line, "%s", error);
    } else if (!words.count) {
        complain(p->s, p->line, "the section has no name");
    } else if (!strcmp(words.word[0], "system")) {
        p->in_system = true;
        p->skip = false;
        if (words.count != 1)
            complain(p->s, p->line, "[system] has no name");
        else if (p->s->line)
            complain(p->s, p->line, "[system] is there in line %u already", p->s->line);
        else
            p->s->line = p->line;
    } else {
        while (kinds[kind].name && strcmp(words.word[0], kinds[kind].name))
            kind++;
        if (!kinds[kind].name)
            complain(p->s, p->line,
                     "unknown section [%s]; there are [system], [app NAME], [driver NAME], [vm NAME]",
                     words.word[0]);
        else if (words.count != 2)
            complain(p->s, p->line, "[%s NAME] has one name", words.word[0]);
        else
            begin_domain(p, kinds[kind].kind, words.word[1]);
    }
}

/* A line without its end. */
static void one_line(struct parser *p, const char *line, size_t length)
{
    char *text;

    p->line++;
    if (length && line[length - 1] == '\r')
        length--;
    if (length > LINE_BYTES) {
        complain(p->s, p->line, "the line is longer than %u bytes", LINE_BYTES);
        return;
    }
    for (size_t i = 0; i < length; i++) {
        if (((uint8_t)line[i] < ' ' && line[i] != '\t') || line[i] == 0x7f) {
            complain(p->s, p->line, "the line has a control character (0x%02x at column %zu)",
                     (uint8_t)line[i], i + 1);
            return;
        }
    }
    if (!is_utf8(line, length)) {
        complain(p->s, p->line, "the line is not UTF-8");
        return;
    }
    if (p->line == 1 && length >= 3 && !memcmp(line, "\xef\xbb\xbf", 3)) {
        complain(p->s, p->line, "the file begins with a byte order mark");
        line += 3;
        length -= 3;
    }
    length = comment_start(line, length);
    for (; length && (*line == ' ' || *line == '\t'); length--)
        line++;
    while (length && (line[length - 1] == ' ' || line[length - 1] == '\t'))
        length--;
    if (!length)
        return;
    text = arena_text(&p->s->arena, line, length);
    if (*text == '[')
        section_line(p, text);
    else
        key_line(p, text);
}

void parse_system(struct system *s, const char *text, size_t length)
{
    struct parser p = {.s = s};

    s->until_domain = s->console_domain = NONE;
    if (length > FILE_BYTES) {
        complain(s, 1, "the file is larger than %u KiB", FILE_BYTES >> 10);
        return;
    }
    for (size_t at = 0; at < length;) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t bytes = end ? (size_t)(end - (text + at)) : length - at;

        one_line(&p, text + at, bytes);
        at += bytes + (end != NULL);
    }
}
