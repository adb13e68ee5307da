/*
 * Makes the images and archives that the system files of these tests name: one good image, and one for each
 * way in which an image can be bad.
 *
 *   make_elf FOLDER
 *
 * The good image has three segments (code, read-only data, data and BSS) and a build id, and nothing else.
 *
 * SPDX-License-Identifier: MIT
 */

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE 0x400000UL
#define FILE_SIZE 0x3010UL
#define HEADERS 5

struct program {
    Elf64_Ehdr header;
    Elf64_Phdr segment[20];
    uint8_t file[FILE_SIZE];
    size_t size;
};

enum { HEAD, CODE, DATA, NOTE, STACK };

static void make_good(struct program *p)
{
    static const uint8_t note[] = {4,   0,   0,   0, 8,    0,    0,    0,    3, 0, 0, 0,
                                   'G', 'N', 'U', 0, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4};

    memset(p, 0, sizeof(*p));
    p->size = FILE_SIZE;
    p->header = (Elf64_Ehdr){
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_entry = BASE + 0x1000,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = HEADERS,
    };
    p->segment[HEAD] = (Elf64_Phdr){PT_LOAD, PF_R, 0, BASE, BASE, 0x800, 0x800, 4096};
    p->segment[CODE] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0x1000, BASE + 0x1000, BASE + 0x1000, 16, 16, 4096};
    p->segment[DATA] =
        (Elf64_Phdr){PT_LOAD, PF_R | PF_W, 0x3000, BASE + 0x3000, BASE + 0x3000, 16, 0x2000, 4096};
    p->segment[NOTE] =
        (Elf64_Phdr){PT_NOTE, PF_R, 0x700, BASE + 0x700, BASE + 0x700, sizeof(note), sizeof(note), 4};
    p->segment[STACK] = (Elf64_Phdr){PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16};
    memcpy(p->file + 0x700, note, sizeof(note));
    memcpy(p->file + 0x1000, "\xf3\x90\xeb\xfc", 4); /* pause; jmp */
}

static void write_all(const char *folder, const char *name, const void *data, size_t size)
{
    char path[4096];
    FILE *out;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    out = fopen(path, "wb");
    if (!out || fwrite(data, 1, size, out) != size || fclose(out)) {
        perror(path);
        exit(2);
    }
}

static void write_program(const char *folder, const char *name, struct program *p)
{
    memcpy(p->file, &p->header, sizeof(p->header));
    memcpy(p->file + sizeof(p->header), p->segment, sizeof(p->segment));
    write_all(folder, name, p->file, p->size);
}

/* One bad image each. */
static void bad_32_bit(struct program *p)
{
    p->header.e_ident[EI_CLASS] = ELFCLASS32;
}

static void bad_machine(struct program *p)
{
    p->header.e_machine = EM_AARCH64;
}

static void bad_pie(struct program *p)
{
    p->header.e_type = ET_DYN;
}

static void bad_object(struct program *p)
{
    p->header.e_type = ET_REL;
}

static void bad_no_headers(struct program *p)
{
    p->header.e_phnum = 0;
}

static void bad_many_headers(struct program *p)
{
    p->header.e_phnum = 17;
}

static void bad_headers_outside(struct program *p)
{
    p->header.e_phoff = UINT64_MAX - 7;
}

static void bad_interpreter(struct program *p)
{
    p->segment[NOTE].p_type = PT_INTERP;
}

static void bad_stack(struct program *p)
{
    p->segment[STACK].p_flags |= PF_X;
}

static void bad_tls(struct program *p)
{
    p->segment[NOTE] = (Elf64_Phdr){PT_TLS, PF_R, 0x700, BASE + 0x700, BASE + 0x700, 16, 16, 3};
}

static void bad_write_execute(struct program *p)
{
    p->segment[DATA].p_flags |= PF_X;
}

static void bad_unreadable(struct program *p)
{
    p->segment[DATA].p_flags = PF_W;
}

static void bad_larger_in_file(struct program *p)
{
    p->segment[DATA].p_memsz = 8;
}

static void bad_truncated(struct program *p)
{
    p->size = 0x3000;
}

static void bad_offset(struct program *p)
{
    p->segment[DATA].p_offset = UINT64_MAX - 0xfff;
}

static void bad_too_low(struct program *p)
{
    p->segment[HEAD].p_vaddr = 0x3ff000;
}

static void bad_too_high(struct program *p)
{
    p->segment[DATA].p_vaddr = 0x20000000;
}

static void bad_huge(struct program *p)
{
    p->segment[DATA].p_memsz = UINT64_MAX - 0xfff;
}

static void bad_alignment(struct program *p)
{
    p->segment[DATA].p_vaddr += 16;
}

static void bad_read_only_bss(struct program *p)
{
    p->segment[HEAD].p_memsz = 0x900;
}

static void bad_shared_page(struct program *p)
{
    p->segment[CODE].p_vaddr = BASE + 0x0;
    p->header.e_entry = BASE;
}

static void bad_order(struct program *p)
{
    p->segment[CODE].p_vaddr = BASE + 0x8000;
    p->header.e_entry = BASE + 0x8000;
}

static void bad_entry(struct program *p)
{
    p->header.e_entry = BASE + 0x3000;
}

static void bad_nothing(struct program *p)
{
    p->header.e_phnum = 1;
    p->segment[HEAD].p_type = PT_NULL;
}

static void big(struct program *p)
{
    p->segment[DATA].p_memsz = 8 << 20;
}

static void bad_many_segments(struct program *p)
{
    p->header.e_phnum = 9;
    for (unsigned i = 0; i < 9; i++)
        p->segment[i] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0x1000, BASE + i * 0x1000, BASE, 16, 16, 4096};
    p->header.e_entry = BASE;
}

static const struct {
    const char *name;
    void (*spoil)(struct program *p);
} images[] = {
    {"32-bit.elf", bad_32_bit},
    {"machine.elf", bad_machine},
    {"pie.elf", bad_pie},
    {"object.elf", bad_object},
    {"no-headers.elf", bad_no_headers},
    {"many-headers.elf", bad_many_headers},
    {"headers-outside.elf", bad_headers_outside},
    {"interpreter.elf", bad_interpreter},
    {"stack.elf", bad_stack},
    {"tls.elf", bad_tls},
    {"write-execute.elf", bad_write_execute},
    {"unreadable.elf", bad_unreadable},
    {"larger-in-file.elf", bad_larger_in_file},
    {"truncated.elf", bad_truncated},
    {"offset.elf", bad_offset},
    {"too-low.elf", bad_too_low},
    {"too-high.elf", bad_too_high},
    {"huge.elf", bad_huge},
    {"alignment.elf", bad_alignment},
    {"read-only-bss.elf", bad_read_only_bss},
    {"shared-page.elf", bad_shared_page},
    {"order.elf", bad_order},
    {"entry.elf", bad_entry},
    {"nothing.elf", bad_nothing},
    {"many-segments.elf", bad_many_segments},
    {"big.elf", big},
};

/* A tar archive of one file with 5 bytes, in the ustar format. */
static void make_archive(uint8_t *tar)
{
    unsigned sum = 0;

    memset(tar, 0, 2048);
    memcpy(tar, "hello.txt", 9);
    memcpy(tar + 100, "0000644", 7);
    memcpy(tar + 108, "0000000", 7);
    memcpy(tar + 116, "0000000", 7);
    memcpy(tar + 124, "00000000005", 11);
    memcpy(tar + 136, "00000000000", 11);
    memcpy(tar + 148, "        ", 8);
    tar[156] = '0';
    memcpy(tar + 257, "ustar", 6);
    memcpy(tar + 263, "00", 2);
    for (unsigned i = 0; i < 512; i++)
        sum += tar[i];
    snprintf((char *)tar + 148, 8, "%06o", sum);
    tar[155] = ' ';
    memcpy(tar + 512, "hello", 5);
}

/* Kernels of guests, as far as one looks at them: Linux, Multiboot, and one whose checksum is wrong. */
static void write_kernels(const char *folder)
{
    const uint32_t multiboot[] = {0x1badb002, 3, 0U - 0x1badb002 - 3};
    uint8_t kernel[8192] = {0};

    memcpy(kernel + 0x202, "HdrS", 4);
    write_all(folder, "vmlinuz", kernel, sizeof(kernel));
    kernel[0x202] = 0;
    memcpy(kernel + 8192 - sizeof(multiboot), multiboot, sizeof(multiboot));
    write_all(folder, "multiboot.img", kernel, sizeof(kernel));
    kernel[8191] ^= 1;
    write_all(folder, "broken.img", kernel, sizeof(kernel));
}

int main(int argc, char **argv)
{
    static struct program p;
    uint8_t tar[2048];

    if (argc != 2) {
        fprintf(stderr, "usage: make_elf FOLDER\n");
        return 2;
    }
    make_good(&p);
    write_program(argv[1], "good.elf", &p);
    write_program(argv[1], "vmm.elf", &p);
    write_kernels(argv[1]);
    for (size_t i = 0; i < sizeof(images) / sizeof(*images); i++) {
        make_good(&p);
        images[i].spoil(&p);
        write_program(argv[1], images[i].name, &p);
    }
    write_all(argv[1], "text.elf", "#!/bin/sh\n", 10);
    write_all(argv[1], "empty.elf", "", 0);
    make_archive(tar);
    write_all(argv[1], "good.tar", tar, sizeof(tar));
    write_all(argv[1], "truncated.tar", tar, 512);
    write_all(argv[1], "odd.tar", tar, 700);
    tar[0] ^= 1;
    write_all(argv[1], "checksum.tar", tar, sizeof(tar));
    tar[257] = 'x';
    write_all(argv[1], "old.tar", tar, sizeof(tar));
    return 0;
}
