/*
 * ELF images of domains: strict checks. Nothing is loaded here.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef ROOT_ELF_H
#define ROOT_ELF_H

#include <stddef.h>
#include <stdint.h>

#define IMAGE_SEGMENTS 8

/* A loadable segment. Its pages do not overlap those of others. */
struct image_segment {
    uint64_t start;      /* address, page-aligned */
    uint64_t pages;      /* with all that is not in the file */
    uint64_t offset;     /* of the first page in the file, page-aligned */
    uint64_t skip, size; /* bytes of the first page before the contents, and of the contents */
    unsigned perm;       /* NOVA_MEM_R and others; never W and X */
};

struct image {
    struct image_segment segment[IMAGE_SEGMENTS]; /* sorted */
    unsigned segments;
    uint64_t entry; /* in an executable segment */
    uint64_t phdr;  /* address of the program headers, or 0 if they are not in a segment */
    uint64_t phnum;
    uint64_t end;        /* end of the last segment, page-aligned */
    uint64_t data_pages; /* of the writable segments */
    uint8_t build_id[32];
    uint32_t build_id_size;
};

/* Null if the file is fine, else what is wrong with it. */
const char *image_check(const void *file, size_t size, struct image *image);

#endif
