/*
 * Values of a system file: words, numbers, sizes, times, sets of CPUs, names.
 *
 * Pure functions of text. Each says in words what is wrong, or NULL; nothing is guessed, rounded or cut.
 *
 * SPDX-License-Identifier: MIT
 */

#include "image.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Quotes as the shell has them: the state after character c. */
struct quotes {
    char open;    /* ' or " or 0 */
    bool escaped; /* the next character stands for itself */
};

static bool quote_step(struct quotes *q, char c)
{
    if (q->escaped) {
        q->escaped = false;
        return false;
    }
    if (c == '\\' && q->open != '\'') {
        q->escaped = true;
        return true;
    }
    if (q->open ? c == q->open : (c == '\'' || c == '"')) {
        q->open = q->open ? 0 : c;
        return true;
    }
    return false;
}

/* Where the comment begins: at a # at the beginning of a word, outside of quotes. */
size_t comment_start(const char *text, size_t length)
{
    struct quotes q = {0};

    for (size_t i = 0; i < length; i++) {
        bool plain = !q.open && !q.escaped;

        if (plain && text[i] == '#' && (i == 0 || is_blank(text[i - 1])))
            return i;
        quote_step(&q, text[i]);
    }
    return length;
}

/*
 * Words between blanks, and commas if wished; an empty word needs quotes. A comma needs a word on its left
 * and right.
 */
const char *split_words(struct arena *arena, const char *text, bool commas, struct words *words)
{
    struct words result = {0};
    char *word = arena_get(arena, strlen(text) + 1);
    size_t length = 0;
    struct quotes q = {0};
    bool inside = false, after_comma = false;

    for (const char *p = text;; p++) {
        bool plain = !q.open && !q.escaped;
        bool comma = plain && commas && *p == ',';

        if (!*p || (plain && is_blank(*p)) || comma) {
            if (!*p && q.escaped)
                return "a backslash at the end";
            if (!*p && q.open)
                return "a quote that is not closed";
            if (inside) {
                result.word = arena_grow(arena, result.word, result.count, sizeof(*result.word));
                result.word[result.count++] = arena_text(arena, word, length);
                length = 0;
                inside = after_comma = false;
            }
            if (comma && (!result.count || after_comma))
                return "a comma without a word before it";
            after_comma |= comma;
            if (!*p)
                break;
            continue;
        }
        inside = true;
        if (q.escaped && q.open == '"' && *p != '"' && *p != '\\')
            return "in double quotes, a backslash stands before \" or \\ only";
        if (!quote_step(&q, *p))
            word[length++] = *p;
    }
    if (after_comma)
        return "a comma without a word behind it";
    *words = result;
    return NULL;
}

static int digit_of(char c, unsigned base)
{
    int digit = is_digit(c)            ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : 16;

    return digit < (int)base ? digit : -1;
}

/* Reads as many digits as there are; returns what follows, or NULL. */
static const char *digits(const char *text, uint64_t *value, const char **error)
{
    unsigned base = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10;
    const char *p = base == 16 ? text + 2 : text;
    uint64_t result = 0;

    if (digit_of(*p, base) < 0) {
        *error = "not a number";
        return NULL;
    }
    if (base == 10 && p[0] == '0' && is_digit(p[1])) {
        *error = "a number does not begin with 0 (octal is not supported)";
        return NULL;
    }
    for (; digit_of(*p, base) >= 0; p++) {
        uint64_t digit = (uint64_t)digit_of(*p, base);

        if (result > (UINT64_MAX - digit) / base) {
            *error = "number too large";
            return NULL;
        }
        result = result * base + digit;
    }
    *value = result;
    return p;
}

const char *parse_number(const char *text, uint64_t *value)
{
    const char *error = NULL;
    uint64_t result;
    const char *end = digits(text, &result, &error);

    if (!end)
        return error;
    if (*end)
        return "not a number";
    *value = result;
    return NULL;
}

const char *parse_size(const char *text, uint64_t *bytes)
{
    const char *error = NULL, *units = "KMG", *unit;
    uint64_t result;
    const char *end = digits(text, &result, &error);
    unsigned shift = 0;

    if (!end)
        return error;
    if (*end) {
        unit = strchr(units, *end);
        if (!unit || end[1])
            return "not a size: a number and K, M or G";
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (result > UINT64_MAX >> shift)
        return "number too large";
    *bytes = result << shift;
    return NULL;
}

const char *parse_time(const char *text, uint64_t *ms)
{
    const char *error = NULL;
    uint64_t result;
    const char *end = digits(text, &result, &error);

    if (!end)
        return error;
    if (!strcmp(end, "s") && result <= UINT64_MAX / 1000)
        result *= 1000;
    else if (strcmp(end, "ms"))
        return "not a time: a number and ms or s";
    *ms = result;
    return NULL;
}

const char *parse_cpus(const struct words *words, uint64_t *cpus, bool *all)
{
    uint64_t set = 0;

    if (words->count == 1 && !strcmp(words->word[0], "all")) {
        *all = true;
        return NULL;
    }
    for (size_t i = 0; i < words->count; i++) {
        const char *error = NULL;
        uint64_t first, last;
        const char *end = digits(words->word[i], &first, &error);

        if (!end || (*end && *end != '-')) {
            return !strcmp(words->word[i], "all") ? "`all' stands alone"
                                                  : "neither `all' nor CPUs and ranges of them";
        }
        last = first;
        if (*end) {
            error = parse_number(end + 1, &last);
            if (error)
                return error;
        }
        if (last < first)
            return "the range of CPUs goes backwards";
        if (last >= NOVA_CPUS_MAX)
            return "CPUs have the numbers 0 to 63";
        for (uint64_t cpu = first; cpu <= last; cpu++) {
            if (set >> cpu & 1)
                return "a CPU is there twice";
            set |= UINT64_C(1) << cpu;
        }
    }
    *cpus = set;
    *all = false;
    return NULL;
}

const char *parse_name(const char *text)
{
    size_t length = strlen(text);

    if (!is_letter(text[0]))
        return "a name begins with a letter";
    for (size_t i = 0; i < length; i++)
        if (!is_letter(text[i]) && !is_digit(text[i]) && text[i] != '_' && text[i] != '-')
            return "a name has letters, digits, _ and - only";
    if (length >= NOVA_NAME_MAX)
        return "a name has at most 31 characters";
    return NULL;
}

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool is_utf8(const char *text, size_t length)
{
    const uint8_t *p = (const uint8_t *)text;

    for (size_t i = 0; i < length;) {
        uint8_t c = p[i++];
        unsigned more = c < 0x80                ? 0
                        : c >= 0xc2 && c < 0xe0 ? 1
                        : c >= 0xe0 && c < 0xf0 ? 2
                        : c >= 0xf0 && c < 0xf5 ? 3
                                                : 4;
        uint8_t low = c == 0xe0   ? 0xa0
                      : c == 0xf0 ? 0x90
                                  : 0x80,
                high = c == 0xed   ? 0x9f
                       : c == 0xf4 ? 0x8f
                                   : 0xbf;

        if (more == 4 || length - i < more)
            return false;
        for (; more; more--, low = 0x80, high = 0xbf) {
            if (p[i] < low || p[i] > high)
                return false;
            i++;
        }
    }
    return true;
}
