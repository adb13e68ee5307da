/*
 * Memory: mmap and relatives on windows of libnova. A page without rights is really absent. Nothing is ever
 * executable.
 *
 * SPDX-License-Identifier: MIT
 */

#include "posix.h"
#include <string.h>
#include <sys/mman.h>

const char nova_link_memory __attribute__((used)) = 0;

/* Heap of the old kind: address space for all of the pool, filled from below. */
static struct nova_mutex lock;
static uintptr_t heap, heap_end, heap_limit;
uint64_t posix_data_limit = UINT64_MAX;

static size_t round_up(size_t size)
{
    return (size + NOVA_PAGE - 1) & ~(NOVA_PAGE - 1);
}

static int in_pool(const void *address)
{
    return (uintptr_t)address - nova_info()->pool_start < nova_info()->pool_size;
}

/*
 * Rights of libnova for those of POSIX; 0 and -EACCES for what there is not. There is no write-only
 * memory.
 */
static long rights_of(long protection, unsigned *rights)
{
    *rights = (protection & PROT_WRITE) ? NOVA_MEM_R | NOVA_MEM_W : (protection & PROT_READ) ? NOVA_MEM_R : 0;
    return (protection & PROT_EXEC) ? -EACCES : 0;
}

/* Gives back what is reserved in a range that may have holes. */
static void release(char *from, size_t size)
{
    if (!nova_mem_release(from, size))
        return;
    for (size_t i = 0; i < size; i += NOVA_PAGE)
        nova_mem_release(from + i, NOVA_PAGE);
}

static long map_file(void *address, size_t size, unsigned rights, int fd, uint64_t offset)
{
    int error = nova_mem_map(address, size, NOVA_MEM_R | NOVA_MEM_W);
    long result = error ? posix_error(error) : posix_file_map(fd, offset, size, address);

    return result < 0 ? result : posix_error(nova_mem_protect(address, size, rights));
}

SYSCALL(mmap)
{
    void *address = (void *)a[0];
    size_t size = round_up((size_t)a[1]);
    long flags = a[3];
    unsigned rights;
    long result = rights_of(a[2], &rights);

    if (result < 0)
        return result;
    if (!a[1] || ((a[0] | a[5]) & (long)(NOVA_PAGE - 1) && (flags & MAP_FIXED)) ||
        !(flags & (MAP_SHARED | MAP_PRIVATE)))
        return -EINVAL;
    if (size < (size_t)a[1] || (size_t)a[1] > PTRDIFF_MAX)
        return -ENOMEM;
    if (!(flags & MAP_ANONYMOUS)) {
        if (!posix_file_map)
            return -EBADF;
        if ((flags & MAP_TYPE) != MAP_PRIVATE) {
            result = (flags & MAP_FIXED) ? -ENODEV : posix_file_map((int)a[4], (uint64_t)a[5], size, 0);
            if (result != -EROFS)
                return result;
            /* What cannot change can be a copy. */
            if (a[2] & PROT_WRITE)
                return -EACCES;
        }
    }
    if (flags & MAP_FIXED) {
        release(address, size);
        result = posix_error(nova_mem_reserve_at(address, size));
    } else {
        result = posix_error(nova_mem_reserve(size, &address));
    }
    if (result < 0)
        return result == -EBUSY ? -EINVAL : result;
    if (!(flags & MAP_ANONYMOUS))
        result = map_file(address, size, rights, (int)a[4], (uint64_t)a[5]);
    else if (rights)
        result = posix_error(nova_mem_map(address, size, rights));
    if (result < 0) {
        nova_mem_release(address, size);
        return result;
    }
    return (long)address;
}

SYSCALL(munmap)
{
    size_t size = round_up((size_t)a[1]);

    if ((a[0] & (long)(NOVA_PAGE - 1)) || !size || size < (size_t)a[1])
        return -EINVAL;
    /* Files in memory are mapped where they are. */
    if (!in_pool((void *)a[0]))
        release((char *)a[0], size);
    else if (posix_file_unmap)
        posix_file_unmap((void *)a[0], size);
    return 0;
}

SYSCALL(mprotect)
{
    unsigned rights;
    long result = rights_of(a[2], &rights);
    size_t size = round_up((size_t)a[1]);
    int error;

    if (result < 0)
        return result;
    if (a[0] & (long)(NOVA_PAGE - 1))
        return -EINVAL;
    if (!size)
        return 0;
    error = rights ? nova_mem_map((void *)a[0], size, rights) : nova_mem_protect((void *)a[0], size, 0);
    return error == NOVA_ERR_INVAL ? -ENOMEM : posix_error(error);
}

SYSCALL(mremap)
{
    char *old = (char *)a[0];
    size_t old_size = round_up((size_t)a[1]);
    size_t size = round_up((size_t)a[2]);
    char *end = old + old_size;
    void *address;
    int error;

    if ((a[0] & (long)(NOVA_PAGE - 1)) || !old_size || !size || size < (size_t)a[2] ||
        (a[3] & ~MREMAP_MAYMOVE))
        return -EINVAL;
    if (size <= old_size) {
        if (size < old_size)
            release(old + size, old_size - size);
        return a[0];
    }
    if (!nova_mem_reserve_at(end, size - old_size)) {
        error = nova_mem_map(end, size - old_size, NOVA_MEM_R | NOVA_MEM_W);
        if (!error)
            return a[0];
        nova_mem_release(end, size - old_size);
    }
    if (!(a[3] & MREMAP_MAYMOVE))
        return -ENOMEM;
    error = nova_mem_reserve(size, &address);
    if (error)
        return posix_error(error);
    error = nova_mem_map(address, size, NOVA_MEM_R | NOVA_MEM_W);
    if (error) {
        nova_mem_release(address, size);
        return posix_error(error);
    }
    memcpy(address, old, old_size);
    release(old, old_size);
    return (long)address;
}

/* Advice about the future may be ignored; advice that changes contents is not taken. */
SYSCALL(madvise)
{
    return a[2] >= MADV_NORMAL && a[2] <= MADV_WILLNEED ? 0 : -EINVAL;
}

SYSCALL(brk)
{
    uintptr_t end = (uintptr_t)a[0];
    long result;

    nova_mutex_lock(&lock);
    if (!heap) {
        size_t size = nova_info()->pool_size & ~(NOVA_PAGE - 1);
        void *address;

        if (!nova_mem_reserve(size, &address)) {
            heap = heap_end = (uintptr_t)address;
            heap_limit = heap + size;
        }
    }
    if (heap && end >= heap && end <= heap_limit && (end <= heap_end || end - heap <= posix_data_limit)) {
        uintptr_t from = round_up(heap_end);
        uintptr_t to = round_up(end);
        int error = 0;

        if (to > from)
            error = nova_mem_map((void *)from, to - from, NOVA_MEM_R | NOVA_MEM_W);
        else if (to < from)
            error = nova_mem_unmap((void *)to, from - to);
        if (!error)
            heap_end = end;
    }
    result = (long)heap_end;
    nova_mutex_unlock(&lock);
    return result;
}
