/*
 * look: a program of the build machine. Looks for byte strings in a dump of a machine's physical memory, and for the entries
 * of page tables that let user mode, or a guest, at the pages they are in.
 *
 *   look DUMP SHARED SECRET...     in hexadecimal digits
 *
 * SHARED has to be somewhere in a page of two domains, and the first SECRET in a page of one: else the search itself would be in
 * doubt. No SECRET may be in a page of more than one.
 *
 * SPDX-License-Identifier: MIT
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE 4096UL
#define LARGE 0x200000UL
#define ADDRESS 0xffffffffff000UL
#define MANY 4U

static const uint8_t *dump;
static size_t size;

/* An entry of a table: present is bit 0, user mode bit 2; a page of 2 MiB has bit 7. */
static bool leads(size_t i, size_t page, bool large)
{
    uint64_t entry = ((const uint64_t *)dump)[i];

    return (entry & 5) == 5 && (large ? (entry & 0x80) && (entry & ADDRESS & -LARGE) == (page & -LARGE)
                                      : (entry & ADDRESS) == page);
}

/* The table that has an entry of another one; none: the end of the memory. */
static size_t above(size_t table)
{
    size_t i = 0;

    while (i < size / 8 && !leads(i, table, false))
        i++;
    return i * 8 & -PAGE;
}

/*
 * How many domains have a page. All of a domain's memory is within 512 GiB: under one table of the third level, which stands
 * for it, however often it has the page. What is under none is no entry, but looks like one: a copy on a stack of the kernel.
 */
static unsigned domains(size_t page)
{
    size_t domain[MANY] = {0};
    unsigned count = 0;

    for (size_t i = 0; i < size / 8; i++) {
        bool large = leads(i, page, true);
        if (!large && !leads(i, page, false))
            continue;
        size_t table = i * 8 & -PAGE, third = above(large ? table : above(table));
        unsigned n = 0;
        while (n < count && domain[n] != third)
            n++;
        if (n == count && count < MANY - 1 && third < size)
            domain[count++] = third;
    }
    return count;
}

/* Counts the places of a string by the number of domains that have their page. */
static void find(const char *hex, unsigned places[MANY])
{
    uint8_t bytes[64];
    size_t length = 0, last = 1;
    unsigned count = 0;

    for (; length < sizeof(bytes) && sscanf(hex + 2 * length, "%2hhx", &bytes[length]) == 1; length++)
        ;
    for (const uint8_t *at = dump; (at = memmem(at, size - (size_t)(at - dump), bytes, length)); at++) {
        size_t page = (size_t)(at - dump) & -PAGE;
        count = page == last ? count : domains(page);
        last = page;
        places[count]++;
    }
    printf("%.16s...: in pages of no domain %u, of one %u, of two %u, of more %u\n", hex, places[0],
           places[1], places[2], places[3]);
}

int main(int argc, char **argv)
{
    int file = argc > 3 ? open(argv[1], O_RDONLY) : -1, wrong = 0;
    struct stat state;

    if (file < 0 || fstat(file, &state))
        return 2;
    size = (size_t)state.st_size;
    dump = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (dump == MAP_FAILED)
        return 2;
    for (int i = 2; i < argc; i++) {
        unsigned places[MANY] = {0};
        find(argv[i], places);
        wrong |= (i == 2 && !places[2]) || (i == 3 && !places[1]) || (i > 2 && (places[2] || places[3]));
    }
    puts(wrong ? "not ok" : "ok");
    return wrong;
}
