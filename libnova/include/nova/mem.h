/**
 * @file
 * Memory: pages of the domain's pool, and windows with the access rights that one wants.
 *
 * The quota of the domain lies in its address space as one pool, readable and writable. Pages can be used
 * there, or mapped into a window: a range of addresses in which each page has its own rights, or none at all.
 * Pages without rights are really absent: an access is a fault. Nothing in a pool is ever executable.
 *
 * All sizes and addresses are multiples of 4096. All functions are thread-safe. Memory is zeroed when it is
 * handed out.
 *
 * Example: a buffer with a guard page in front. @code
 *   void *window;
 *   if (!nova_mem_reserve(5 * 4096, &window) &&
 *       !nova_mem_map((char *)window + 4096, 4 * 4096, NOVA_MEM_R | NOVA_MEM_W)) { ... }
 *   nova_mem_release(window, 5 * 4096);
 * @endcode
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/abi/cap.h>
#include <stddef.h>
#include <stdint.h>

/**
 * @addtogroup libnova_mem
 * @{
 */

#define NOVA_PAGE 4096UL /**< Bytes of a page. */

/**
 * Takes adjacent pages of the pool: for buffers of sessions. Returns 0, #NOVA_ERR_INVAL, or #NOVA_ERR_MEMORY
 * if there is no such piece. Example: `nova_mem_alloc(16 * NOVA_PAGE, &buffer)`.
 */
int nova_mem_alloc(size_t size, void **address);

/**
 * Gives pages of nova_mem_alloc() back, all or some of them. Pages that were not taken are a bug of the
 * caller: #NOVA_ERR_INVAL.
 */
int nova_mem_free(void *address, size_t size);

/**
 * Reserves addresses without memory: all accesses fault. Returns 0, #NOVA_ERR_INVAL, or #NOVA_ERR_MEMORY if
 * there is no room, which is four times the pool and 2 MiB.
 */
int nova_mem_reserve(size_t size, void **address);

/**
 * The same at a given place. #NOVA_ERR_BUSY if something is there already, #NOVA_ERR_INVAL if it is not
 * within the windows.
 */
int nova_mem_reserve_at(void *address, size_t size);

/**
 * Puts zeroed memory into reserved pages that have none, with rights: #NOVA_MEM_R, with or without
 * #NOVA_MEM_W; 0 keeps it out of sight. Returns 0; #NOVA_ERR_INVAL if part of the range is not reserved;
 * #NOVA_ERR_DENIED for #NOVA_MEM_XU; #NOVA_ERR_MEMORY, and then nothing has changed. Pages that have memory
 * already keep it and get the rights.
 */
int nova_mem_map(void *address, size_t size, unsigned rights);

/** Changes the rights of reserved pages; those without memory stay without. Errors as nova_mem_map(). */
int nova_mem_protect(void *address, size_t size, unsigned rights);

/** Gives the memory in reserved pages back; the addresses stay reserved. #NOVA_ERR_INVAL if they are not. */
int nova_mem_unmap(void *address, size_t size);

/** Gives memory and addresses back. #NOVA_ERR_INVAL if part of the range is not reserved. */
int nova_mem_release(void *address, size_t size);

/**
 * Reserves addresses for good for things that root maps: windows of sessions. Returns 0 or #NOVA_ERR_MEMORY.
 */
int nova_mem_window(size_t size, uint64_t *address);

/** Figures, in pages. */
struct nova_mem_state {
    size_t pool;     /**< The pool, without what image and first stack are made of. */
    size_t free;     /**< Free pages of the pool. */
    size_t reserved; /**< Reserved pages of windows. */
};

/** Asks for figures. Example: `struct nova_mem_state s; nova_mem_state(&s);` */
void nova_mem_state(struct nova_mem_state *state);

/** @} */
