/*
 * ELF images: a good one is accepted; directed mistakes are named; with any bit flipped, wrong numbers in the
 * headers, or cut off anywhere, an image is refused or harmless, and never read beyond its end.
 *
 * Sources: elf.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "elf.h"
#include "memory.h"
#include "tap.h"

#include <elf.h>
#include <nova/abi/cap.h>
#include <nova/start.h>
#include <stdlib.h>
#include <string.h>

#define FILE_SIZE 0x3100

static struct file {
    Elf64_Ehdr header;
    Elf64_Phdr p[5];
    Elf64_Nhdr note;
    char name[4];
    uint8_t id[20];
} * file;
static uint8_t bytes[FILE_SIZE] __attribute__((aligned(8)));

/* Headers, text, data with .bss, notes, stack. */
static void make(void)
{
    memset(bytes, 0x5a, sizeof(bytes));
    file = (struct file *)(void *)bytes;
    memset(file, 0, sizeof(*file));
    memcpy(file->header.e_ident, ELFMAG, SELFMAG);
    file->header.e_ident[EI_CLASS] = ELFCLASS64;
    file->header.e_ident[EI_DATA] = ELFDATA2LSB;
    file->header.e_ident[EI_VERSION] = EV_CURRENT;
    file->header.e_type = ET_EXEC;
    file->header.e_machine = EM_X86_64;
    file->header.e_version = EV_CURRENT;
    file->header.e_entry = 0x401010;
    file->header.e_phoff = offsetof(struct file, p);
    file->header.e_ehsize = sizeof(Elf64_Ehdr);
    file->header.e_phentsize = sizeof(Elf64_Phdr);
    file->header.e_phnum = 5;
    file->p[0] = (Elf64_Phdr){PT_LOAD, PF_R, 0, 0x400000, 0, 0x300, 0x300, 4096};
    file->p[1] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0x1000, 0x401000, 0, 0xf00, 0xf00, 4096};
    file->p[2] = (Elf64_Phdr){PT_LOAD, PF_R | PF_W, 0x2f80, 0x402f80, 0, 0x180, 0x2000, 4096};
    file->p[3] = (Elf64_Phdr){PT_NOTE, PF_R, offsetof(struct file, note), 0, 0, 36, 36, 4};
    file->p[4] = (Elf64_Phdr){PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16};
    file->note = (Elf64_Nhdr){4, 20, NT_GNU_BUILD_ID};
    memcpy(file->name, "GNU", 4);
    for (unsigned i = 0; i < 20; i++)
        file->id[i] = (uint8_t)i;
}

static const char *check(size_t size, struct image *image)
{
    uint8_t *copy = malloc(size ? size : 1);
    const char *error;

    if (!copy)
        abort();
    memcpy(copy, bytes, size);
    error = image_check(copy, size, image);
    free(copy);
    return error;
}

/* All that root relies on. */
static void check_harmless(const struct image *image, size_t size)
{
    uint64_t at = NOVA_IMAGE_ADDR, data = 0;
    bool entry = false;

    CHECK(image->segments >= 1 && image->segments <= IMAGE_SEGMENTS && image->build_id_size <= 32);
    for (unsigned i = 0; i < image->segments; i++) {
        const struct image_segment *s = &image->segment[i];
        bool write = s->perm & NOVA_MEM_W;

        CHECK(s->start % PAGE_SIZE == 0 && s->offset % PAGE_SIZE == 0 && s->start >= at && s->pages);
        CHECK(s->pages <= (NOVA_IMAGE_END - s->start) / PAGE_SIZE);
        CHECK(s->skip < PAGE_SIZE && s->skip + s->size <= s->pages * PAGE_SIZE);
        CHECK(s->offset <= size && s->skip + s->size <= size - s->offset);
        CHECK(s->perm & NOVA_MEM_R && !(write && s->perm & NOVA_MEM_XU));
        /* What is mapped from the file ends with the file's last page. */
        CHECK(write || s->offset + s->pages * PAGE_SIZE < size + PAGE_SIZE);
        at = s->start + s->pages * PAGE_SIZE;
        data += write ? s->pages : 0;
        entry |= s->perm & NOVA_MEM_XU && image->entry >= s->start && image->entry < at;
    }
    CHECK(entry && image->end == at && image->data_pages == data);
    CHECK(!image->phdr ||
          (image->phdr >= NOVA_IMAGE_ADDR && image->phdr + image->phnum * sizeof(Elf64_Phdr) <= at));
}

static void test_good(void)
{
    struct image image;
    const char *error;

    make();
    error = check(FILE_SIZE, &image);
    ok(!error, "a good image is accepted%s%s", error ? ": " : "", error ? error : "");
    ok(image.segments == 3 && image.segment[1].perm == (NOVA_MEM_R | NOVA_MEM_XU) &&
           image.segment[2].start == 0x402000 && image.segment[2].skip == 0xf80 &&
           image.segment[2].pages == 3 && image.data_pages == 3,
       "its segments are found");
    ok(image.phdr == 0x400040 && image.phnum == 5 && image.entry == 0x401010 && image.end == 0x405000,
       "its addresses");
    ok(image.build_id_size == 20 && image.build_id[19] == 19, "its build id");
    check_harmless(&image, FILE_SIZE);
    ok_checks("it is what root relies on");
}

static void test_flips(void)
{
    unsigned accepted = 0, refused = 0;
    struct image image;

    for (size_t at = 0; at < sizeof(struct file); at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            make();
            bytes[at] ^= (uint8_t)(1U << bit);
            if (check(FILE_SIZE, &image)) {
                refused++;
            } else {
                accepted++;
                check_harmless(&image, FILE_SIZE);
            }
        }
    ok_checks("every bit flipped: %u refused, %u harmless", refused, accepted);
}

static void test_cut_off(void)
{
    struct image image;

    make();
    for (size_t size = 0; size < FILE_SIZE; size++)
        CHECK(check(size, &image));
    ok_checks("cut off anywhere, it is refused");
}

static void test_numbers(void)
{
    static const uint64_t number[] = {0,
                                      1,
                                      4,
                                      0xfff,
                                      0x1000,
                                      0x2000,
                                      0x3000,
                                      0x3100,
                                      0x3101,
                                      0x400000,
                                      0x401000,
                                      0x402000,
                                      0x1ffff000,
                                      0x20000000,
                                      0x7fffffff,
                                      0xffffffff,
                                      0x7fffffffffffffff,
                                      0x8000000000000000,
                                      UINT64_MAX - 0xfff,
                                      UINT64_MAX};
    unsigned accepted = 0;
    uint64_t state = 1;
    struct image image;

    for (unsigned i = 0; i < 500000; i++) {
        make();
        for (uint64_t n = 1 + tap_random(&state) % 3; n; n--)
            memcpy(bytes + 24 + tap_random(&state) % ((sizeof(struct file) - 24) / 8) * 8,
                   &number[tap_random(&state) % (sizeof(number) / 8)], tap_random(&state) % 2 ? 8 : 4);
        if (!check(FILE_SIZE, &image)) {
            accepted++;
            check_harmless(&image, FILE_SIZE);
        }
    }
    ok_checks("wrong numbers are refused or harmless (%u)", accepted);
}

#define MISTAKE(change, message)                                                                             \
    do {                                                                                                     \
        struct image image;                                                                                  \
        const char *error;                                                                                   \
        make();                                                                                              \
        change;                                                                                              \
        error = check(FILE_SIZE, &image);                                                                    \
        ok(error &&strstr(error, message), "%s: %s", #change, error ? error : "accepted");                   \
    } while (0)

static void test_mistakes(void)
{
    MISTAKE(bytes[0] = 0, "not an ELF");
    MISTAKE(file->header.e_machine = EM_386, "x86-64");
    MISTAKE(file->header.e_ident[EI_CLASS] = ELFCLASS32, "x86-64");
    MISTAKE(file->header.e_ident[EI_DATA] = ELFDATA2MSB, "x86-64");
    MISTAKE(file->header.e_type = ET_DYN, "static executable");
    MISTAKE(file->p[4].p_type = PT_INTERP, "static executable");
    MISTAKE(file->p[4].p_type = PT_DYNAMIC, "static executable");
    MISTAKE(file->p[4].p_flags |= PF_X, "executable stack");
    MISTAKE(file->header.e_phnum = 0, "program headers");
    MISTAKE(file->header.e_phoff = FILE_SIZE - 200, "program headers");
    MISTAKE(file->header.e_phoff = UINT64_MAX, "program headers");
    MISTAKE(file->header.e_phentsize = 8, "program headers");
    MISTAKE(file->p[1].p_flags |= PF_W, "writable and executable");
    MISTAKE(file->p[1].p_flags = PF_X, "not readable");
    MISTAKE(file->p[1].p_vaddr = 0x400000, "overlap");
    MISTAKE(file->p[2].p_vaddr = 0x401f80, "overlap");
    MISTAKE(file->p[1].p_vaddr = 0x3ff000, "range");
    MISTAKE(file->p[2].p_vaddr = NOVA_IMAGE_END + 0xf80, "range");
    MISTAKE(file->p[2].p_memsz = 0x20000000, "range");
    MISTAKE(file->p[2].p_memsz = UINT64_MAX, "range");
    MISTAKE(file->p[2].p_filesz = 0x181, "not in the file");
    MISTAKE(file->p[2].p_offset = UINT64_MAX - 0x7f, "not in the file");
    MISTAKE(file->p[2].p_memsz = 0x17f, "not in the file");
    MISTAKE(file->p[1].p_memsz++, "not in the file as a whole");
    MISTAKE(file->p[2].p_offset = 0x2f70, "aligned");
    MISTAKE(file->header.e_entry = 0x400040, "entry point");
    MISTAKE(file->header.e_entry = 0x401f00, "entry point");
    MISTAKE(file->header.e_entry = 0, "entry point");
}

/* Notes are read with care; without a proper one there is no build id. */
static void test_notes(void)
{
    static const uint32_t sizes[] = {0, 1, 3, 5, 33, 100, 0x7fffffff, UINT32_MAX - 2, UINT32_MAX};
    struct image image;

    for (unsigned i = 0; i < sizeof(sizes) / 4; i++) {
        make();
        file->note.n_namesz = sizes[i];
        CHECK(!check(FILE_SIZE, &image) && !image.build_id_size);
        make();
        file->note.n_descsz = sizes[i];
        CHECK(!check(FILE_SIZE, &image) && image.build_id_size <= 32);
        make();
        file->p[3].p_filesz = sizes[i];
        CHECK(!check(FILE_SIZE, &image) && (image.build_id_size == 0 || image.build_id_size == 20));
        make();
        file->p[3].p_offset = FILE_SIZE - 36 + sizes[i];
        CHECK(!check(FILE_SIZE, &image) && !image.build_id_size);
    }
    ok_checks("broken notes do no harm");
}

int main(void)
{
    test_good();
    test_flips();
    test_cut_off();
    test_numbers();
    test_mistakes();
    test_notes();
    return tap_done();
}
