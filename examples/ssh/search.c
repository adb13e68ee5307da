/*
 * search: looks for the secrets of the agent's example key (../agent/example-key) in all memory of the machine that it runs on, a
 * Linux: its RAM (/proc/kcore), and files that are named, device memory among them. Prints how often it found them, and how
 * often a canary that it has put into its own memory.
 *
 * What it looks for stands here inverted, so that it does not find itself. Halves of the secrets count.
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HALF 16
#define CHUNK 65536

/* RFC 8032, 5.1.5: the seed, and what SHA-512 makes of it: scalar and prefix. The last line is the canary. */
static const uint8_t inverted[][HALF] = {
    {0xa4, 0x0d, 0xd0, 0x15, 0x64, 0x7c, 0x2c, 0x88, 0x9a, 0x0c, 0x19, 0x33, 0xd8, 0x1b, 0xf2, 0x30},
    {0x06, 0x29, 0x77, 0x52, 0xff, 0xaa, 0x51, 0xfe, 0xe1, 0xbc, 0xb8, 0x1e, 0xa1, 0x3b, 0xae, 0x1d},
    {0x0f, 0xd4, 0xf4, 0x3a, 0x28, 0xd6, 0x56, 0x82, 0x4a, 0xe2, 0xc9, 0xfd, 0x37, 0xe5, 0xc6, 0x46},
    {0x8c, 0x63, 0x4f, 0x3f, 0xe3, 0xc9, 0x1d, 0xb5, 0xef, 0x9b, 0xe0, 0x5c, 0xbc, 0x97, 0xd9, 0xb1},
    {0x34, 0x8c, 0xab, 0xac, 0x17, 0x68, 0x4b, 0x53, 0xf0, 0xce, 0xe2, 0xe5, 0xb9, 0xc9, 0x64, 0xfc},
    {0x51, 0x59, 0xcb, 0x07, 0x2e, 0xcf, 0x16, 0xcc, 0x80, 0xd2, 0x76, 0x92, 0x79, 0x34, 0xc0, 0x95},
    {0x9c, 0x9e, 0x91, 0x9e, 0x8d, 0x86, 0xdf, 0x96, 0x91, 0xdf, 0x9e, 0xdf, 0x9c, 0x90, 0x9e, 0x93},
};
#define CANARY (sizeof(inverted) / sizeof(*inverted) - 1)

static unsigned secrets, canaries;
static unsigned long long bytes;

static void search(const uint8_t *memory, size_t size)
{
    for (size_t i = 0; i + HALF <= size; i++) {
        for (size_t n = 0; n <= CANARY; n++) {
            size_t same = 0;

            while (same < HALF && (memory[i + same] ^ inverted[n][same]) == 0xff)
                same++;
            if (same == HALF)
                (*(n == CANARY ? &canaries : &secrets))++;
        }
    }
}

/* A part of a file, or all of it. Pieces overlap, so that nothing falls between two of them. */
static void search_file(int fd, off_t at, uint64_t size)
{
    static uint8_t buffer[CHUNK];

    while (size) {
        size_t piece = size < CHUNK ? (size_t)size : CHUNK;
        ssize_t got = pread(fd, buffer, piece, at);

        if (got <= 0)
            return;
        search(buffer, (size_t)got);
        bytes += (uint64_t)got;
        if ((uint64_t)got == size || got < HALF)
            return;
        at += got - (HALF - 1);
        size -= (uint64_t)got - (HALF - 1);
    }
}

/* Memory of a device, read in words as devices want it. */
static int search_device(int fd, size_t size)
{
    static uint32_t copy[CHUNK / 4];
    const volatile uint32_t *device = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

    if (device == MAP_FAILED)
        return 0;
    for (size_t i = 0; i < size / 4 && i < CHUNK / 4; i++)
        copy[i] = device[i];
    search((const uint8_t *)copy, size < CHUNK ? size : CHUNK);
    bytes += size;
    return 1;
}

/* RAM is what has a physical address. */
static int search_ram(void)
{
    int fd = open("/proc/kcore", O_RDONLY);
    Elf64_Ehdr header;
    Elf64_Phdr segment;

    if (fd < 0 || pread(fd, &header, sizeof(header), 0) != sizeof(header))
        return 0;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        if (pread(fd, &segment, sizeof(segment), (off_t)(header.e_phoff + i * sizeof(segment))) !=
            sizeof(segment))
            return 0;
        if (segment.p_type == PT_LOAD && segment.p_paddr != (uint64_t)-1)
            search_file(fd, (off_t)segment.p_offset, segment.p_filesz);
    }
    close(fd);
    return 1;
}

int main(int argc, char **argv)
{
    static uint8_t canary[HALF];

    for (size_t i = 0; i < HALF; i++)
        ((volatile uint8_t *)canary)[i] = inverted[CANARY][i] ^ 0xff;
    if (argc == 1 && !search_ram()) {
        perror("search: /proc/kcore");
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        struct stat info;
        int fd = open(argv[i], O_RDONLY);

        if (fd < 0 || fstat(fd, &info) ||
            (strncmp(argv[i], "/sys/", 5) ? (search_file(fd, 0, (uint64_t)info.st_size), 0)
                                          : !search_device(fd, (size_t)info.st_size))) {
            perror(argv[i]);
            return 1;
        }
        close(fd);
    }
    printf("search: %llu KiB, %u secrets, %s\n", bytes >> 10, secrets, canaries ? "the canary" : "no canary");
    return 0;
}
