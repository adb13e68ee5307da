/*
 * Images and archives, looked at as root and the boot loader will use them.
 *
 * The image is a hostile file: every offset is checked against its size before use, sums cannot overflow.
 * Root never looks at it: it gets a table of segments (nova/manifest.h), maps read-only ones straight from the
 * module and copies the others.
 *
 * SPDX-License-Identifier: MIT
 */

#include "image.h"

#include <elf.h>
#include <nova/abi/cap.h>
#include <string.h>

#define HEADERS_MAX 16

static uint64_t down(uint64_t address)
{
    return address & ~(uint64_t)(PAGE - 1);
}

static uint64_t up(uint64_t address)
{
    return down(address + PAGE - 1);
}

/* Is the table or segment inside of the file? */
static bool inside(const struct file *file, uint64_t offset, uint64_t size)
{
    return offset <= file->size && size <= file->size - offset;
}

static const char *check_header(const struct file *file, Elf64_Ehdr *header)
{
    if (file->size < sizeof(*header) || memcmp(file->data, ELFMAG, SELFMAG))
        return "not an ELF file";
    memcpy(header, file->data, sizeof(*header));
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
        header->e_ident[EI_VERSION] != EV_CURRENT || header->e_version != EV_CURRENT)
        return "not a little-endian 64-bit ELF file of version 1";
    if (header->e_machine != EM_X86_64)
        return "not for x86-64";
    if (header->e_type == ET_DYN)
        return "position-independent; link it with -static -no-pie (nova-cc does)";
    if (header->e_type != ET_EXEC)
        return "not an executable program";
    if (header->e_ehsize != sizeof(*header) || header->e_phentsize != sizeof(Elf64_Phdr) || !header->e_phnum)
        return "the program headers are missing or damaged";
    if (header->e_phnum > HEADERS_MAX)
        return "more than 16 program headers";
    if (!inside(file, header->e_phoff, (uint64_t)header->e_phnum * sizeof(Elf64_Phdr)) || header->e_phoff % 8)
        return "the program headers are not inside of the file";
    return NULL;
}

static const char *check_segment(const struct file *file, const Elf64_Phdr *p)
{
    if (p->p_filesz > p->p_memsz)
        return "a segment is larger in the file than in memory";
    if (!inside(file, p->p_offset, p->p_filesz))
        return "a segment is not inside of the file (truncated?)";
    if (p->p_vaddr < NOVA_IMAGE_ADDR || p->p_vaddr >= NOVA_IMAGE_END ||
        p->p_memsz > NOVA_IMAGE_END - p->p_vaddr)
        return "a segment is outside of the addresses from 0x400000 to 0x20000000; link it with nova-cc";
    if ((p->p_flags & PF_W) && (p->p_flags & PF_X))
        return "a segment is writable and executable";
    if (!(p->p_flags & PF_R))
        return "a segment is not readable";
    if ((p->p_vaddr - p->p_offset) % PAGE)
        return "a segment is not aligned to pages; link it with -z max-page-size=4096";
    if (!(p->p_flags & PF_W) && p->p_filesz != p->p_memsz)
        return "a read-only segment is larger in memory than in the file";
    return NULL;
}

static void add_segment(struct file *file, const Elf64_Phdr *p)
{
    uint64_t skip = p->p_vaddr % PAGE, pages = (up(p->p_vaddr + p->p_memsz) - down(p->p_vaddr)) / PAGE;
    bool write = p->p_flags & PF_W;

    file->segment[file->segments++] = (struct nova_manifest_resource){
        .address = down(p->p_vaddr),
        .first = (p->p_offset - skip) / PAGE,
        .count = pages,
        .contents = (uint32_t)(p->p_offset - skip),
        .size = (uint32_t)(p->p_filesz ? skip + p->p_filesz : 0),
        .flags = (uint16_t)(NOVA_MEM_R | (write ? NOVA_MEM_W : 0) | (p->p_flags & PF_X ? NOVA_MEM_XU : 0)),
    };
    file->written_pages += write ? pages : 0;
}

/* All loadable segments: each by itself, none on a page of another, ascending; the entry is in code. */
static const char *check_segments(struct file *file, const Elf64_Ehdr *header, const Elf64_Phdr *table)
{
    uint64_t end = 0, headers = header->e_phnum * sizeof(*table);

    for (unsigned i = 0; i < header->e_phnum; i++) {
        const Elf64_Phdr *p = &table[i];
        const char *error;

        if (p->p_type == PT_INTERP || p->p_type == PT_DYNAMIC)
            return "dynamically linked; link it with -static (nova-cc does)";
        if (p->p_type == PT_GNU_STACK && (p->p_flags & PF_X))
            return "wants an executable stack; link it with -z noexecstack";
        if (p->p_type == PT_TLS && (p->p_filesz > p->p_memsz || !inside(file, p->p_offset, p->p_filesz) ||
                                    (p->p_align & (p->p_align - 1)) || p->p_align > PAGE))
            return "the template of thread-local storage is damaged";
        if (p->p_type != PT_LOAD || !p->p_memsz)
            continue;
        error = check_segment(file, p);
        if (error)
            return error;
        if (file->segments == SEGMENTS_MAX)
            return "more than 8 segments";
        if (down(p->p_vaddr) < end)
            return "segments overlap or share a page; link it with -z separate-code";
        end = up(p->p_vaddr + p->p_memsz);
        file->low = file->low ? file->low : down(p->p_vaddr);
        file->high = end;
        add_segment(file, p);
        if ((p->p_flags & PF_X) && header->e_entry - p->p_vaddr < p->p_filesz)
            file->entry = header->e_entry;
        if (!file->phdr && header->e_phoff >= p->p_offset && header->e_phoff - p->p_offset <= p->p_filesz &&
            headers <= p->p_filesz - (header->e_phoff - p->p_offset)) {
            file->phdr = p->p_vaddr + (header->e_phoff - p->p_offset);
            file->phnum = header->e_phnum;
        }
    }
    if (!end)
        return "nothing to load";
    return file->entry ? NULL : "the entry point is not in code";
}

/* Notes: name size, descriptor size, type, name, descriptor, each padded to 4 bytes. */
static void find_build_id(struct file *file, const Elf64_Phdr *p)
{
    uint64_t at = p->p_offset, end = p->p_offset + p->p_filesz;
    Elf64_Nhdr note;

    if (p->p_type != PT_NOTE || !inside(file, p->p_offset, p->p_filesz))
        return;
    while (end - at >= sizeof(note)) {
        uint64_t name, size;

        memcpy(&note, file->data + at, sizeof(note));
        at += sizeof(note);
        name = ((uint64_t)note.n_namesz + 3) & ~UINT64_C(3);
        size = ((uint64_t)note.n_descsz + 3) & ~UINT64_C(3);
        if (name > end - at || size > end - at - name)
            return;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && !memcmp(file->data + at, "GNU", 4) &&
            note.n_descsz <= sizeof(file->build_id)) {
            memcpy(file->build_id, file->data + at + name, note.n_descsz);
            file->build_id_size = note.n_descsz;
        }
        at += name + size;
    }
}

void check_image(struct arena *arena, struct file *file)
{
    Elf64_Ehdr header;
    const char *error = check_header(file, &header);
    Elf64_Phdr table[HEADERS_MAX];

    file->low = file->high = file->written_pages = file->segments = 0;
    if (!error) {
        memcpy(table, file->data + header.e_phoff, header.e_phnum * sizeof(*table));
        error = check_segments(file, &header, table);
    }
    if (error) {
        file->error = arena_text(arena, error, strlen(error));
        return;
    }
    for (unsigned i = 0; i < header.e_phnum; i++)
        find_build_id(file, &table[i]);
    file->is_image = true;
}

/* Blocks of 512 bytes; a header has the magic "ustar" and a checksum; two empty blocks end it. */
void check_archive(struct arena *arena, struct file *file)
{
    const char *error = !file->size        ? "the tar archive is empty"
                        : file->size % 512 ? "not a tar archive: the size is no multiple of 512"
                                           : NULL;
    uint64_t at = 0;

    while (!error && at < file->size && file->data[at]) {
        const uint8_t *block = file->data + at;
        uint64_t sum = 0, stored = 0, size = 0;

        for (unsigned i = 0; i < 512; i++)
            sum += i >= 148 && i < 156 ? ' ' : block[i];
        for (unsigned i = 148; i < 156 && block[i] != 0; i++)
            stored = block[i] == ' ' ? stored : stored * 8 + (uint64_t)(block[i] & 7);
        for (unsigned i = 124; i < 136 && block[i] >= '0' && block[i] <= '7'; i++)
            size = size * 8 + (uint64_t)(block[i] - '0');
        if (memcmp(block + 257, "ustar", 5))
            error = "not a tar archive of the ustar format; make it with tar --format=ustar";
        else if (sum != stored)
            error = "a checksum in the tar archive is wrong";
        else if (strchr("xgLKS", block[156]) && block[156])
            error = "the tar archive has extensions beyond ustar; make it with tar --format=ustar";
        else if (size > file->size - at - 512)
            error = "the tar archive is truncated";
        at += 512 + ((size + 511) & ~UINT64_C(511));
    }
    if (error)
        file->error = arena_text(arena, error, strlen(error));
    else
        file->is_archive = true;
}
