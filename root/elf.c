/*
 * Strict reading of ELF executables: ET_EXEC for x86-64 within the range of images, no interpreter, nothing
 * both writable and executable. Every offset is checked against the size of the file before it is used.
 *
 * SPDX-License-Identifier: MIT
 */

#include "elf.h"

#include "memory.h"

#include <elf.h>
#include <nova/abi/cap.h>
#include <nova/start.h>

/* Whether [offset, offset + bytes) lies in the file. */
static bool within(uint64_t offset, uint64_t bytes, size_t size)
{
    return offset <= size && bytes <= size - offset;
}

static const char *add_segment(const Elf64_Ehdr *e, const Elf64_Phdr *p, size_t size, struct image *image)
{
    struct image_segment *s = &image->segment[image->segments];
    bool write = p->p_flags & PF_W, execute = p->p_flags & PF_X;
    uint64_t headers = e->e_phnum * sizeof(*p);

    if (image->segments == IMAGE_SEGMENTS)
        return "too many segments";
    if (!(p->p_flags & PF_R) || (write && execute))
        return "a segment is not readable, or both writable and executable";
    if (p->p_filesz > p->p_memsz || !within(p->p_offset, p->p_filesz, size) ||
        (!write && p->p_filesz != p->p_memsz))
        return "a segment is not in the file, or a read-only one not in the file as a whole";
    if (p->p_vaddr % PAGE_SIZE != p->p_offset % PAGE_SIZE)
        return "a segment is not aligned";
    if (p->p_vaddr < NOVA_IMAGE_ADDR || !within(p->p_vaddr, p->p_memsz, NOVA_IMAGE_END))
        return "a segment is outside of the range for images";

    s->skip = p->p_vaddr % PAGE_SIZE;
    s->start = p->p_vaddr - s->skip;
    s->pages = (s->skip + p->p_memsz + PAGE_SIZE - 1) / PAGE_SIZE;
    s->offset = p->p_offset - s->skip;
    s->size = p->p_filesz;
    s->perm = NOVA_MEM_R | (write ? NOVA_MEM_W : 0U) | (execute ? NOVA_MEM_XU : 0U);
    if (s->start < image->end)
        return "segments overlap or are not sorted";
    image->end = s->start + s->pages * PAGE_SIZE;
    image->data_pages += write ? s->pages : 0;
    image->segments++;
    if (execute && e->e_entry - p->p_vaddr < p->p_filesz)
        image->entry = e->e_entry;
    if (!image->phdr && e->e_phoff >= p->p_offset && within(e->e_phoff - p->p_offset, headers, p->p_filesz)) {
        image->phdr = p->p_vaddr + (e->e_phoff - p->p_offset);
        image->phnum = e->e_phnum;
    }
    return NULL;
}

/* Takes the build id from a segment of notes, if it is there and well-formed. */
static void find_build_id(const uint8_t *file, size_t size, const Elf64_Phdr *p, struct image *image)
{
    uint64_t at = p->p_offset, end = at + p->p_filesz, name, desc;
    Elf64_Nhdr n;

    if (!within(at, p->p_filesz, size))
        return;
    for (; end - at >= sizeof(n); at += desc) {
        __builtin_memcpy(&n, file + at, sizeof(n));
        name = (n.n_namesz + 3UL) & ~3UL;
        desc = (n.n_descsz + 3UL) & ~3UL;
        at += sizeof(n);
        if (name + desc > end - at)
            return;
        at += name;
        if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && !__builtin_memcmp(file + at - 4, "GNU", 4) &&
            n.n_descsz <= sizeof(image->build_id)) {
            __builtin_memcpy(image->build_id, file + at, n.n_descsz);
            image->build_id_size = n.n_descsz;
            return;
        }
    }
}

static const char *check_header(const Elf64_Ehdr *e, size_t size)
{
    static const uint8_t ident[] = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT};

    if (__builtin_memcmp(e->e_ident, ident, sizeof(ident)) || e->e_machine != EM_X86_64)
        return "not an ELF file for x86-64";
    if (e->e_version != EV_CURRENT || e->e_type != ET_EXEC)
        return "not a static executable";
    if (e->e_phentsize != sizeof(Elf64_Phdr) || !e->e_phnum ||
        !within(e->e_phoff, (uint64_t)e->e_phnum * sizeof(Elf64_Phdr), size))
        return "no program headers";
    return NULL;
}

const char *image_check(const void *file, size_t size, struct image *image)
{
    const char *error;
    Elf64_Ehdr e;

    *image = (struct image){.end = NOVA_IMAGE_ADDR};
    if (size < sizeof(e))
        return "not an ELF file";
    __builtin_memcpy(&e, file, sizeof(e));
    error = check_header(&e, size);
    for (unsigned i = 0; !error && i < e.e_phnum; i++) {
        Elf64_Phdr p;

        __builtin_memcpy(&p, (const uint8_t *)file + e.e_phoff + i * sizeof(p), sizeof(p));
        if (p.p_type == PT_LOAD && p.p_memsz)
            error = add_segment(&e, &p, size, image);
        else if (p.p_type == PT_INTERP || p.p_type == PT_DYNAMIC)
            error = "not a static executable";
        else if (p.p_type == PT_GNU_STACK && p.p_flags & PF_X)
            error = "wants an executable stack";
        else if (p.p_type == PT_NOTE && !image->build_id_size)
            find_build_id(file, size, &p, image);
    }
    return error || image->entry ? error : "the entry point is not in an executable segment";
}
