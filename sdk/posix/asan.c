/*
 * AddressSanitizer for programs of domains (nova-cc -fsanitize=address), the same on the machine and under nova-host. The
 * compiler calls one of the __asan functions before each access; the linker (--wrap) leads malloc and what copies memory
 * here. Found are accesses beyond blocks of the heap and global variables, after free(), and wrong pointers to free();
 * not those beyond variables on the stack. What is found ends the program with a crash record.
 *
 * A byte of the shadow describes 8 bytes of memory: 0 all of them may be used; 1 to 7 the first ones; else none, and why.
 * The shadow is there only for pages where something may not be used.
 *
 * Tables and the list of freed blocks are under one lock; the shadow is read without.
 *
 * SPDX-License-Identifier: MIT
 */

#include <errno.h>
#include <malloc.h>
#include <nova/program.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096UL
#define TABLE                                                                                                \
    4096UL /* entries of the upper two tables: 12 bits of an address; a page has 12, the lowest table 11 */
#define CALLERS 4U
#define ALIVE 0x6576696c61U /* what a block says about itself */
#define FREED 0x6465657266U
#define REDZONE 32UL
#define SEARCH_MAX 65536U      /* units of 16 bytes before an address where its block may begin */
#define KEPT_MAX (256UL << 10) /* bytes of freed blocks that are not used again */

/* What may not be used, and why. */
enum { HEAP = 0xfa, AFTER_FREE = 0xfd, GLOBAL = 0xf9 };

typedef uint8_t leaf[PAGE / 8];
typedef leaf *_Atomic to_leaf;
typedef to_leaf leaves[TABLE / 2];
typedef leaves *_Atomic to_leaves;
typedef to_leaves middle[TABLE];
typedef middle *_Atomic to_middle;

/* In front of each block of the heap. */
struct header {
    uint64_t state;
    size_t size;
    void *base; /* of malloc */
    struct header *next;
    const void *allocated[CALLERS], *freed[CALLERS];
};

_Static_assert(sizeof(struct header) % 16 == 0, "blocks are aligned");

/* What compilers tell about a global variable. */
struct global {
    uintptr_t start;
    size_t size, size_with_redzone;
    const char *name, *module;
    uintptr_t dynamic_init, location, odr_indicator;
};

void *__real_malloc(size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void __real_free(void *block);
void *__real_memcpy(void *to, const void *from, size_t size);
void *__real_memmove(void *to, const void *from, size_t size);
void *__real_memset(void *to, int byte, size_t size);
size_t __real_strlen(const char *text);
size_t __real_strnlen(const char *text, size_t most);
void *__real_memchr(const void *memory, int byte, size_t size);
int __real_memcmp(const void *a, const void *b, size_t size);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static to_middle table[TABLE];
static char *chunk; /* memory for tables and shadows */
static size_t chunk_left;
static struct header *kept_first, **kept_last = &kept_first;
static size_t kept;

/* -- The shadow -- */

static void *take(size_t size)
{
    void *memory;

    if (chunk_left < size) {
        chunk = mmap(NULL, 64 << 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        chunk_left = chunk == MAP_FAILED ? 0 : 64 << 10;
        if (!chunk_left)
            return NULL;
    }
    memory = chunk;
    chunk += size;
    chunk_left -= size;
    return memory;
}

/* The byte of an address, or null: all may be used. With `make', under the lock, null means that there is no memory. */
static uint8_t *shadow(uintptr_t address, bool make)
{
    to_middle *upper = &table[address >> 35 & (TABLE - 1)];
    to_leaves *at;
    to_leaf *lowest;

    if (address >> 47)
        return NULL;
    if (!*upper && make)
        *upper = take(sizeof(middle));
    if (!*upper)
        return NULL;
    at = &(**upper)[address >> 23 & (TABLE - 1)];
    if (!*at && make)
        *at = take(sizeof(leaves));
    if (!*at)
        return NULL;
    lowest = &(**at)[address >> 12 & (TABLE / 2 - 1)];
    if (!*lowest && make)
        *lowest = take(sizeof(leaf));
    if (!*lowest)
        return NULL;
    return &(**lowest)[address % PAGE / 8];
}

/* Says of whole units of 8 bytes why they may not be used, or that they may. Without memory for a shadow they may be. */
static void paint(uintptr_t address, size_t size, uint8_t why)
{
    for (uintptr_t end = address + size; address < end; address += 8) {
        uint8_t *byte = shadow(address, why);

        if (byte)
            *byte = why;
    }
}

/* Of an object and what is behind it. */
static void paint_object(uintptr_t address, size_t size, size_t with_redzone, uint8_t why)
{
    size_t whole = size & ~7UL;
    uint8_t *byte;

    paint(address, whole, 0);
    paint(address + whole, with_redzone - whole, why);
    byte = size % 8 ? shadow(address + whole, true) : NULL;
    if (byte)
        *byte = size % 8;
}

/* The first byte that may not be used, or 0. */
static uintptr_t find_bad(uintptr_t address, size_t size)
{
    uintptr_t end = address + size;

    while (address < end) {
        const uint8_t *byte = shadow(address, false);
        unsigned usable = !byte || !*byte ? 8 : *byte < 8 ? *byte : 0;
        uintptr_t next = (address | 7) + 1;

        if (usable < 8 && (next < end ? next : end) - (address & ~7UL) > usable)
            return address % 8 < usable ? (address & ~7UL) + usable : address;
        address = next;
    }
    return 0;
}

/* -- What is said -- */

/* Return addresses, from a frame on; the outermost frame is 0. */
static void callers(const void **list, const uintptr_t *frame)
{
    for (unsigned n = 0; n < CALLERS && frame; n++, frame = (const uintptr_t *)frame[0])
        list[n] = (const void *)frame[1];
}

static void say_callers(const char *what, const void *const *list)
{
    dprintf(2, "asan: %s, build=%s trace", what, nova_info()->build_id);
    for (unsigned n = 0; n < CALLERS && list[n]; n++)
        dprintf(2, " %p", list[n]);
    dprintf(2, "\n");
}

/* The block of the heap that an address is in, or near, or null. */
static const struct header *block_of(uintptr_t address)
{
    address &= ~15UL;
    for (unsigned n = 0; n < SEARCH_MAX; n++, address -= 16) {
        const uint8_t *byte = shadow(address, false);
        const struct header *h = (const struct header *)address;

        if (byte && *byte == HEAP && (h->state == ALIVE || h->state == FREED))
            return h;
    }
    return NULL;
}

static void say_block(const struct header *h, uintptr_t address)
{
    uintptr_t begin = (uintptr_t)(h + 1), end = begin + h->size;

    if (address < begin)
        dprintf(2, "asan: that is %lu bytes before a block of %zu bytes\n", begin - address, h->size);
    else if (address < end)
        dprintf(2, "asan: that is byte %lu of a block of %zu bytes\n", address - begin, h->size);
    else
        dprintf(2, "asan: that is %lu bytes behind the end of a block of %zu bytes\n", address - end,
                h->size);
    say_callers("it was allocated", h->allocated);
    if (h->state == FREED)
        say_callers("it was freed", h->freed);
}

static _Noreturn void report(uintptr_t bad, size_t size, const char *what)
{
    const uint8_t *byte = shadow(bad, false);
    const struct header *h = NULL;

    if (byte && *byte < 8) /* the last bytes of something whose size is no multiple of 8 */
        byte = shadow((bad | 7) + 1, false);
    if (byte && *byte != GLOBAL)
        h = block_of(bad);
    dprintf(2, "asan: %s: %s %zu byte%s at %#lx\n",
            byte && *byte == AFTER_FREE ? "use after free"
            : byte && *byte == GLOBAL   ? "beyond a global variable"
                                        : "beyond a block of the heap",
            what, size, size == 1 ? "" : "s", bad);
    if (h)
        say_block(h, bad);
    __builtin_trap();
}

static void check(uintptr_t address, size_t size, const char *what)
{
    uintptr_t bad = find_bad(address, size);

    if (bad)
        report(bad, size, what);
}

/* -- What compilers call -- */

#define ACCESS(name, size, what)                                                                             \
    void __asan_##name##size##_noabort(uintptr_t address)                                                    \
    {                                                                                                        \
        check(address, size, what);                                                                          \
    }

ACCESS(load, 1, "reading")
ACCESS(load, 2, "reading")
ACCESS(load, 4, "reading")
ACCESS(load, 8, "reading")
ACCESS(load, 16, "reading")
ACCESS(store, 1, "writing")
ACCESS(store, 2, "writing")
ACCESS(store, 4, "writing")
ACCESS(store, 8, "writing")
ACCESS(store, 16, "writing")

void __asan_loadN_noabort(uintptr_t address, size_t size)
{
    check(address, size, "reading");
}

void __asan_storeN_noabort(uintptr_t address, size_t size)
{
    check(address, size, "writing");
}

void __asan_handle_no_return(void)
{
}

void __asan_register_globals(const struct global *global, size_t count)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count; i++)
        paint_object(global[i].start, global[i].size, global[i].size_with_redzone, GLOBAL);
    pthread_mutex_unlock(&lock);
}

void __asan_unregister_globals(const struct global *global, size_t count)
{
    (void)global;
    (void)count;
}

void *__asan_memcpy(void *to, const void *from, size_t size) __attribute__((alias("__wrap_memcpy")));
void *__asan_memmove(void *to, const void *from, size_t size) __attribute__((alias("__wrap_memmove")));
void *__asan_memset(void *to, int byte, size_t size) __attribute__((alias("__wrap_memset")));

/* -- The heap -- */

/* Gives the oldest freed blocks back, until at most so many bytes of them are left. Locked. */
static void give_back(size_t most)
{
    while (kept > most) {
        struct header *h = kept_first;
        char *end = (char *)(h + 1) + ((h->size + 7) & ~7UL) + REDZONE;

        kept_first = h->next;
        kept_last = kept_first ? kept_last : &kept_first;
        kept -= h->size + sizeof(*h) + REDZONE;
        paint((uintptr_t)h, (size_t)(end - (char *)h), 0);
        h->state = 0;
        __real_free(h->base);
    }
}

static void *allocate(size_t align, size_t size, const uintptr_t *frame)
{
    size_t before = align > sizeof(struct header) ? align : (sizeof(struct header) + align - 1) & -align;
    size_t total = before + ((size + 7) & ~7UL) + REDZONE;
    struct header *h;
    char *base;

    if (total < size) {
        errno = ENOMEM;
        return NULL;
    }
    total = (total + align - 1) & -align;
    pthread_mutex_lock(&lock);
    base = align > 16 ? __real_aligned_alloc(align, total) : __real_malloc(total);
    if (!base && kept) {
        give_back(0);
        base = align > 16 ? __real_aligned_alloc(align, total) : __real_malloc(total);
    }
    if (base) {
        h = (struct header *)(base + before) - 1;
        *h = (struct header){.state = ALIVE, .size = size, .base = base};
        callers(h->allocated, frame);
        paint((uintptr_t)h, sizeof(*h), HEAP);
        paint_object((uintptr_t)(h + 1), size, ((size + 7) & ~7UL) + REDZONE, HEAP);
    }
    pthread_mutex_unlock(&lock);
    return base ? base + before : NULL;
}

/* The header of what somebody takes for a block that is there. */
static struct header *header_of(void *block, const char *what)
{
    struct header *h = (struct header *)block - 1;
    const uint8_t *byte = (uintptr_t)block % 16 ? NULL : shadow((uintptr_t)h, false);

    if (!byte || *byte != HEAP || (h->state != ALIVE && h->state != FREED)) {
        dprintf(2, "asan: %s of %p, which is no block of the heap\n", what, block);
        __builtin_trap();
    }
    if (h->state == FREED) {
        dprintf(2, "asan: %s of %p, which was freed before\n", what, block);
        say_callers("it was allocated", h->allocated);
        say_callers("it was freed", h->freed);
        __builtin_trap();
    }
    return h;
}

void *__wrap_malloc(size_t size)
{
    return allocate(16, size, __builtin_frame_address(0));
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *block = NULL;

    if (__builtin_mul_overflow(count, size, &size))
        errno = ENOMEM;
    else
        block = allocate(16, size, __builtin_frame_address(0));
    return block ? __real_memset(block, 0, size) : NULL;
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    if (!align || align & (align - 1)) {
        errno = EINVAL;
        return NULL;
    }
    return allocate(align < 16 ? 16 : align, size, __builtin_frame_address(0));
}

static void release(void *block, const uintptr_t *frame)
{
    int error = errno;
    struct header *h;

    if (!block)
        return;
    pthread_mutex_lock(&lock);
    h = header_of(block, "free");
    h->state = FREED;
    callers(h->freed, frame);
    paint((uintptr_t)block, (h->size + 7) & ~7UL, AFTER_FREE);
    *kept_last = h;
    kept_last = &h->next;
    kept += h->size + sizeof(*h) + REDZONE;
    give_back(KEPT_MAX);
    pthread_mutex_unlock(&lock);
    errno = error;
}

void __wrap_free(void *block)
{
    release(block, __builtin_frame_address(0));
}

void *__wrap_realloc(void *block, size_t size)
{
    void *other = allocate(16, size, __builtin_frame_address(0));
    size_t old;

    if (block && other) {
        old = header_of(block, "realloc")->size;
        __real_memcpy(other, block, old < size ? old : size);
        release(block, __builtin_frame_address(0));
    }
    return other;
}

size_t __wrap_malloc_usable_size(void *block)
{
    return block ? header_of(block, "malloc_usable_size")->size : 0;
}

/* -- What copies memory, for the C library's own functions too -- */

void *__wrap_memcpy(void *to, const void *from, size_t size)
{
    check((uintptr_t)from, size, "reading");
    check((uintptr_t)to, size, "writing");
    return __real_memcpy(to, from, size);
}

void *__wrap_memmove(void *to, const void *from, size_t size)
{
    check((uintptr_t)from, size, "reading");
    check((uintptr_t)to, size, "writing");
    return __real_memmove(to, from, size);
}

void *__wrap_memset(void *to, int byte, size_t size)
{
    check((uintptr_t)to, size, "writing");
    return __real_memset(to, byte, size);
}

size_t __wrap_strlen(const char *text)
{
    size_t length = __real_strlen(text);

    check((uintptr_t)text, length + 1, "reading");
    return length;
}

size_t __wrap_strnlen(const char *text, size_t most)
{
    size_t length = __real_strnlen(text, most);

    check((uintptr_t)text, length < most ? length + 1 : most, "reading");
    return length;
}

void *__wrap_memchr(const void *memory, int byte, size_t size)
{
    const char *found = __real_memchr(memory, byte, size);

    check((uintptr_t)memory, found ? (size_t)(found - (const char *)memory) + 1 : size, "reading");
    return (void *)(uintptr_t)found;
}

int __wrap_memcmp(const void *a, const void *b, size_t size)
{
    check((uintptr_t)a, size, "reading");
    check((uintptr_t)b, size, "reading");
    return __real_memcmp(a, b, size);
}

static char *copy_text(char *to, const char *from)
{
    __wrap_memcpy(to, from, __wrap_strlen(from) + 1);
    return to;
}

char *__wrap_strcpy(char *to, const char *from)
{
    return copy_text(to, from);
}

char *__wrap_strcat(char *to, const char *from)
{
    copy_text(to + __wrap_strlen(to), from);
    return to;
}
