/*
 * The names of sources in the debug information of an image: file tables of .debug_line (DWARF 5, 6.2.4); and those of all
 * that was compiled for it, with debug information or without, in its symbols.
 *
 * The image is a hostile file: a reader never leaves its section, and stays at the end once it has met nonsense.
 *
 * SPDX-License-Identifier: MIT
 */

#include "code.h"

#include <elf.h>
#include <string.h>

/* Content types and forms (DWARF 5, 7.22 and 7.5.6). */
enum { LNCT_PATH = 1, LNCT_DIRECTORY = 2 };
enum {
    FORM_DATA2 = 0x05,
    FORM_DATA4 = 0x06,
    FORM_DATA8 = 0x07,
    FORM_STRING = 0x08,
    FORM_DATA1 = 0x0b,
    FORM_STRP = 0x0e,
    FORM_UDATA = 0x0f,
    FORM_DATA16 = 0x1e,
    FORM_LINE_STRP = 0x1f
};
#define FORMATS_MAX 8

struct reader {
    const uint8_t *at, *end;
    bool bad;
};

struct sections {
    struct reader line, str, line_str;
};

struct entry {
    const char *name;
    uint64_t directory;
};

struct entries {
    struct entry *entry;
    uint64_t count;
};

static const uint8_t *take(struct reader *r, uint64_t size)
{
    const uint8_t *at = r->at;

    if (r->bad || size > (uint64_t)(r->end - r->at)) {
        r->bad = true;
        return NULL;
    }
    r->at += size;
    return at;
}

static uint64_t number(struct reader *r, unsigned size)
{
    const uint8_t *p = take(r, size);
    uint64_t value = 0;

    for (unsigned i = size; p && i--;)
        value = value << 8 | p[i];
    return value;
}

static uint64_t leb(struct reader *r)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 63; shift += 7) {
        uint64_t byte = number(r, 1);

        value |= (byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    r->bad = true;
    return 0;
}

static const char *string(struct reader *r)
{
    const char *text = (const char *)r->at;
    const uint8_t *end = r->bad ? NULL : memchr(r->at, 0, (size_t)(r->end - r->at));

    if (!end || !take(r, (uint64_t)(end - r->at) + 1)) {
        r->bad = true;
        return "";
    }
    return text;
}

static const char *string_at(struct reader section, uint64_t offset)
{
    take(&section, offset);
    return string(&section);
}

static void read_value(struct reader *r, const struct sections *s, uint64_t type, uint64_t form,
                       struct entry *entry)
{
    const char *text = "";
    uint64_t value = 0;

    switch (form) {
    case FORM_STRING:
        text = string(r);
        break;
    case FORM_STRP:
        text = string_at(s->str, number(r, 4));
        break;
    case FORM_LINE_STRP:
        text = string_at(s->line_str, number(r, 4));
        break;
    case FORM_UDATA:
        value = leb(r);
        break;
    case FORM_DATA1:
        value = number(r, 1);
        break;
    case FORM_DATA2:
        value = number(r, 2);
        break;
    case FORM_DATA4:
        value = number(r, 4);
        break;
    case FORM_DATA8:
        value = number(r, 8);
        break;
    case FORM_DATA16:
        take(r, 16);
        break;
    default:
        r->bad = true;
    }
    if (type == LNCT_PATH)
        entry->name = text;
    else if (type == LNCT_DIRECTORY)
        entry->directory = value;
}

/* A table of directories or files: its format, then its entries. Each takes at least a byte. */
static struct entries read_entries(struct arena *arena, struct reader *r, const struct sections *s)
{
    uint64_t type[FORMATS_MAX], form[FORMATS_MAX], formats = number(r, 1);
    struct entries list = {NULL, 0};

    if (formats > FORMATS_MAX)
        r->bad = true;
    for (unsigned i = 0; i < formats && !r->bad; i++) {
        type[i] = leb(r);
        form[i] = leb(r);
    }
    list.count = leb(r);
    if (r->bad || list.count > (uint64_t)(r->end - r->at) || (list.count && !formats)) {
        r->bad = true;
        return (struct entries){NULL, 0};
    }
    list.entry = arena_get(arena, list.count * sizeof(*list.entry));
    for (uint64_t n = 0; n < list.count && !r->bad; n++) {
        list.entry[n].name = "";
        for (unsigned i = 0; i < formats; i++)
            read_value(r, s, type[i], form[i], &list.entry[n]);
    }
    return list;
}

/* Without `.' and `..'; those that lead out of a relative path stay out. */
static char *normal(struct arena *arena, const char *path)
{
    char *result = arena_get(arena, strlen(path) + 2), *out = result;

    if (*path == '/')
        *out++ = '/';
    for (char *first = out; *path;) {
        size_t length = strcspn(path, "/");

        if (length == 2 && !memcmp(path, "..", 2)) {
            while (out > first && *--out != '/')
                ;
        } else if (length && (length > 1 || *path != '.')) {
            if (out > first)
                *out++ = '/';
            memcpy(out, path, length);
            out += length;
        }
        path += length + (path[length] == '/');
        *out = 0;
    }
    return result;
}

static bool read_unit(struct arena *arena, struct reader *r, const struct sections *s,
                      void (*name)(void *context, const char *path), void *context)
{
    uint64_t length = number(r, 4);
    const uint8_t *start = take(r, length);
    struct reader unit = {start, start ? start + length : NULL, !start};
    struct entries folders, files;

    if (number(&unit, 2) != 5) /* the version */
        return false;
    take(&unit, 2 + 4 + 5); /* sizes; the header's length; how the line programs are encoded */
    take(&unit, number(&unit, 1) - 1);
    folders = read_entries(arena, &unit, s);
    files = read_entries(arena, &unit, s);
    for (uint64_t i = 0; i < files.count && !unit.bad; i++) {
        const struct entry *file = &files.entry[i];

        if (file->directory >= folders.count)
            return false;
        const char *folder = folders.entry[file->directory].name, *base = folders.entry[0].name;

        if (*file->name == '/' || *file->name == '<')
            folder = base = "";
        else if (*folder == '/' || (*folder == '.' && *base == '.') || !file->directory)
            base = ""; /* paths of the SDK itself begin with "./", its top */
        name(context, normal(arena, arena_print(arena, "%s%s%s%s%s", base, *base ? "/" : "", folder,
                                                *folder ? "/" : "", file->name)));
    }
    return !unit.bad;
}

/* A section of this type that is not compressed, or nothing. */
static struct reader find_section(const struct file *elf, const char *name, uint32_t type)
{
    struct reader all = {elf->data, elf->data + elf->size, false}, names = all;
    Elf64_Ehdr header;
    Elf64_Shdr table;

    if (elf->size < sizeof(header))
        return (struct reader){NULL, NULL, true};
    memcpy(&header, elf->data, sizeof(header));
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_shentsize != sizeof(table) || header.e_shstrndx >= header.e_shnum ||
        header.e_shoff > elf->size || elf->size - header.e_shoff < header.e_shnum * sizeof(table))
        return (struct reader){NULL, NULL, true};
    memcpy(&table, elf->data + header.e_shoff + header.e_shstrndx * sizeof(table), sizeof(table));
    take(&names, table.sh_offset);
    for (unsigned i = 0; i < header.e_shnum; i++) {
        memcpy(&table, elf->data + header.e_shoff + i * sizeof(table), sizeof(table));
        if (table.sh_type != type || (table.sh_flags & SHF_COMPRESSED) ||
            strcmp(string_at(names, table.sh_name), name) != 0)
            continue;
        take(&all, table.sh_offset);
        const uint8_t *start = take(&all, table.sh_size);
        return (struct reader){start, start ? start + table.sh_size : NULL, !start};
    }
    return (struct reader){NULL, NULL, true};
}

bool name_sources(struct arena *arena, const struct file *elf, void (*name)(void *context, const char *path),
                  void *context)
{
    struct sections s = {
        .line = find_section(elf, ".debug_line", SHT_PROGBITS),
        .str = find_section(elf, ".debug_str", SHT_PROGBITS),
        .line_str = find_section(elf, ".debug_line_str", SHT_PROGBITS),
    };
    bool good = !s.line.bad && s.line.at < s.line.end;

    while (good && s.line.at < s.line.end)
        good = read_unit(arena, &s.line, &s, name, context);
    return good;
}

bool name_objects(const struct file *elf, void (*name)(void *context, const char *base), void *context)
{
    struct reader symbols = find_section(elf, ".symtab", SHT_SYMTAB);
    struct reader names = find_section(elf, ".strtab", SHT_STRTAB);
    Elf64_Sym symbol;

    if (symbols.bad || names.bad)
        return false;
    for (const uint8_t *p; (p = take(&symbols, sizeof(symbol)));) {
        memcpy(&symbol, p, sizeof(symbol));
        if (ELF64_ST_TYPE(symbol.st_info) == STT_FILE)
            name(context, string_at(names, symbol.st_name));
    }
    return true;
}
