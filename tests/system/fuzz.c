/*
 * Damaged system files, images and archives: nova-image finds errors or makes a manifest that root accepts;
 * nothing else.
 *
 *   fuzz FOLDER SYSTEM.nova
 *
 * Built with AddressSanitizer and UBSan. Every byte of the system file is replaced in many ways, every length
 * and every line tried; then random changes, always the same ones. Prints TAP.
 *
 * SPDX-License-Identifier: MIT
 */

#include "../../sdk/tools/image/code.h"
#include "../unit/tap.h"
#include "root_view.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

static const char *folder;
static FILE *nowhere;
static unsigned accepted;

/* Root accepts what nova-image makes of a system. */
static void try_manifest(struct system *s, const struct machine *machine)
{
    size_t size, sizes[NOVA_MODULES_MAX];
    const uint8_t *manifest = make_manifest(s, &size);

    for (size_t i = 0; i < s->file_count; i++)
        sizes[i] = s->files[i]->size;
    CHECK(!root_manifest(manifest, size, machine->cpus, machine->memory - RESERVED_MEMORY, sizes,
                         (unsigned)s->file_count));
}

/* The text at an address of a domain's stack. */
static const char *text_at(const struct domain *d, uint64_t address)
{
    uint64_t offset = address - (d->image_file->high + PAGE + d->stack - d->contents_size);

    return CHECK(offset < d->contents_size - 16) ? (const char *)d->contents + offset : "";
}

/* Reads the stack as a program does. */
static void check_stack(const struct domain *d)
{
    const uint64_t *word = (const uint64_t *)(const void *)d->contents;
    uint64_t seen = 0;

    CHECK(d->contents_size % 16 == 0 && *word++ == d->args.count + 1 &&
          !strcmp(text_at(d, *word++), d->name));
    for (size_t i = 0; i < d->args.count; i++)
        CHECK(!strcmp(text_at(d, *word++), d->args.word[i]));
    CHECK(!*word++);
    for (size_t i = 0; i < d->env.count; i++)
        CHECK(!strcmp(text_at(d, *word++), d->env.word[i]));
    CHECK(!*word++);
    for (; *word != AT_NULL; word += 2) {
        seen |= *word < 64 ? UINT64_C(1) << *word : 0;
        CHECK(*word != AT_ENTRY || word[1] == d->image_file->entry);
        CHECK(*word != AT_EXECFN || !strcmp(text_at(d, word[1]), d->name));
        CHECK(*word != AT_RANDOM || word[1] == d->image_file->high + PAGE + d->stack - 16);
    }
    CHECK(seen == (1UL << AT_PHDR | 1UL << AT_PHENT | 1UL << AT_PHNUM | 1UL << AT_PAGESZ | 1UL << AT_ENTRY |
                   1UL << AT_SECURE | 1UL << AT_EXECFN | 1UL << AT_RANDOM));
}

/* One system file, through all that nova-image does but the boot image itself. */
static void try_text(const char *name, const char *text, size_t length)
{
    const struct machine machine = {.memory = 512U << 20, .cpus = 4};
    const struct search search = {.folders = &folder, .count = 1};
    const char *const forms[] = {"text", "dot", "json", "table"};
    struct code code;
    struct system s = {.name = name};
    size_t lines = 1;

    for (size_t i = 0; i < length; i++)
        lines += text[i] == '\n';
    parse_system(&s, text, length);
    check_system(&s, &machine, &search);
    for (size_t i = 0; i < s.issue_count; i++)
        CHECK(s.issues[i].line >= 1 && s.issues[i].line <= lines);
    print_issues(&s, nowhere);
    if (!s.errors) {
        accepted++;
        try_manifest(&s, &machine);
        for (size_t i = 0; i < s.domain_count; i++)
            check_stack(&s.domains[i]);
        count_code(&s, &code, NULL, NULL, NULL);
        for (unsigned i = 0; i < 4; i++)
            CHECK(print_report(&s, &machine, &code, forms[i], nowhere));
    }
    CHECK(s.errors || s.domain_count);
    system_free(&s);
}

static void replaced_bytes(const char *name, const struct file *file)
{
    static const char bytes[] = "\0\xff\n\r\t #=[]\"'\\*,-:+0xAz";
    char *text = malloc(file->size);

    for (size_t i = 0; i < file->size; i++) {
        memcpy(text, file->data, file->size);
        for (unsigned bit = 0; bit < 8; bit++) {
            text[i] = (char)(file->data[i] ^ 1 << bit);
            try_text(name, text, file->size);
        }
        for (size_t j = 0; j < sizeof(bytes) - 1; j++) {
            text[i] = bytes[j];
            try_text(name, text, file->size);
        }
    }
    free(text);
    ok_checks("every byte replaced: errors, or a manifest that root accepts");
}

/* The text ends where its memory does, so that reading on is found. */
static void lengths(const char *name, const struct file *file)
{
    for (size_t length = 0; length <= file->size; length++) {
        char *text = malloc(length ? length : 1);

        memcpy(text, file->data, length);
        try_text(name, text, length);
        free(text);
    }
    ok_checks("every length");
}

/* Each line is left out once, and is there twice once. */
static void lines(const char *name, const struct file *file)
{
    char *text = malloc(2 * file->size);
    const char *data = (const char *)file->data;

    for (size_t start = 0, end; start < file->size; start = end) {
        const char *newline = memchr(data + start, '\n', file->size - start);

        end = newline ? (size_t)(newline - data) + 1 : file->size;
        memcpy(text, data, start);
        memcpy(text + start, data + end, file->size - end);
        try_text(name, text, file->size - (end - start));
        memcpy(text, data, end);
        memcpy(text + end, data + start, file->size - start);
        try_text(name, text, file->size + (end - start));
    }
    free(text);
    ok_checks("every line left out, every line twice");
}

static uint64_t random_state = 0x9e3779b97f4a7c15U;

static size_t random_below(size_t limit)
{
    return (size_t)(tap_random(&random_state) % limit);
}

/* Pieces of the file are copied over other places, a few times each. */
static void random_changes(const char *name, const struct file *file)
{
    char *text = malloc(file->size);

    for (unsigned round = 0; round < 10000; round++) {
        memcpy(text, file->data, file->size);
        for (size_t changes = 1 + random_below(4); changes; changes--) {
            size_t length = 1 + random_below(24), from = random_below(file->size - length);

            memcpy(text + random_below(file->size - length), file->data + from, length);
        }
        try_text(name, text, file->size);
    }
    free(text);
    ok_checks("pieces copied over others");
}

/* A system with such an image: what nova-image accepts, root accepts. */
static void try_image(uint8_t *data, size_t size)
{
    static const char text[] = "[app a]\nimage = good.elf\n";
    const struct machine machine = {.memory = 512U << 20, .cpus = 4};
    const struct search search = {.folders = &folder, .count = 1};
    struct file file = {.data = data, .size = size}, *files = &file;
    struct system s = {.name = "image.nova"};

    parse_system(&s, text, sizeof(text) - 1);
    check_system(&s, &machine, &search);
    check_image(&s.arena, &file);
    CHECK(!s.errors && file.is_image == !file.error);
    /* check_system would say so if it does not fit. */
    if (file.is_image && file.written_pages <= (s.domains[0].memory - s.domains[0].stack) / PAGE) {
        s.domains[0].image_file = &file;
        s.files = &files;
        try_manifest(&s, &machine);
    }
    system_free(&s);
}

static void images(const struct file *file)
{
    for (size_t i = 0; i < 0x800; i++) {
        uint8_t *data = malloc(file->size);

        memcpy(data, file->data, file->size);
        for (unsigned bit = 0; bit < 8; bit++) {
            data[i] = (uint8_t)(file->data[i] ^ 1 << bit);
            try_image(data, file->size);
        }
        data[i] = 0xff;
        try_image(data, file->size);
        free(data);
    }
    for (size_t length = 0; length < 0x800; length++) {
        uint8_t *data = malloc(length ? length : 1);

        memcpy(data, file->data, length);
        try_image(data, length);
        free(data);
    }
    ok_checks("images: every byte of the headers, every length; what passes, root accepts");
}

static void archives(const struct file *file)
{
    for (size_t i = 0; i < file->size; i++) {
        struct arena arena = {0};
        struct file copy = {.data = malloc(file->size), .size = file->size};

        memcpy(copy.data, file->data, file->size);
        for (unsigned bit = 0; bit < 8; bit++) {
            copy.data[i] = (uint8_t)(file->data[i] ^ 1 << bit);
            copy.error = NULL;
            copy.is_archive = false;
            check_archive(&arena, &copy);
            CHECK(copy.is_archive == !copy.error);
            if (i < 512)
                CHECK(!copy.is_archive || i >= 148);
        }
        free(copy.data);
        arena_free(&arena);
    }
    ok_checks("archives: every byte");
}

static void count_name(void *context, const char *name)
{
    *(size_t *)context += strlen(name) + 1;
}

/* What `name_sources' and `name_objects' find in these bytes. */
static size_t try_debug(uint8_t *data, size_t size)
{
    struct arena arena = {0};
    const struct file file = {.data = data, .size = size};
    size_t found = 0;
    bool good = name_sources(&arena, &file, count_name, &found) && name_objects(&file, count_name, &found);

    arena_free(&arena);
    return good ? found : 0;
}

static void debug_information(const struct file *file)
{
    size_t found = try_debug(file->data, file->size), other = 0;

    for (unsigned round = 0; round < 20000; round++) {
        uint8_t *data = malloc(file->size);
        size_t size = round % 16 ? file->size : 1 + random_below(file->size);

        memcpy(data, file->data, size);
        for (size_t changes = 1 + random_below(200); changes; changes--)
            data[random_below(size)] = (uint8_t)random_below(256);
        /* The table of sections, so that it is found. */
        if (round % 2 && size == file->size)
            memcpy(data + size - 2048, file->data + size - 2048, 2048);
        if (round % 2)
            memcpy(data, file->data, size < 64 ? size : 64);
        other += try_debug(data, size) != found;
        free(data);
    }
    ok(found && other > 1000, "debug information: %u damaged files tell something else", (unsigned)other);
}

int main(int argc, char **argv)
{
    struct arena arena = {0};
    struct file *system, *image, *archive, *debug;

    if (argc != 3) {
        fprintf(stderr, "usage: fuzz FOLDER SYSTEM.nova\n");
        return 2;
    }
    folder = argv[1];
    nowhere = fopen("/dev/null", "w");
    system = read_file(&arena, argv[2]);
    image = read_file(&arena, arena_print(&arena, "%s/good.elf", folder));
    archive = read_file(&arena, arena_print(&arena, "%s/good.tar", folder));
    debug = read_file(&arena, arena_print(&arena, "%s/debug.elf", folder));
    if (!nowhere || system->error || image->error || archive->error || debug->error) {
        printf("Bail out! A file is missing.\n");
        return 2;
    }
    try_text(argv[2], (const char *)system->data, system->size);
    ok(accepted == 1, "the undamaged system file is accepted");
    try_image(image->data, image->size);
    ok_checks("the undamaged image is seen the same way by root");
    replaced_bytes(argv[2], system);
    lengths(argv[2], system);
    lines(argv[2], system);
    random_changes(argv[2], system);
    ok(accepted > 1000, "%u damaged files were still good", accepted);
    images(image);
    archives(archive);
    debug_information(debug);
    fclose(nowhere);
    arena_free(&arena);
    return tap_done();
}
