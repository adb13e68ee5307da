/*
 * Numbers shared by C, assembly and the linker script's user: where things are in a root image.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

/*
 * Virtual memory of the root host space:
 *
 *   0x10000000  the image itself (image.ld)
 *   0x40000000  UTCBs of threads, one page each
 *   0x80000000  windows into physical memory, handed out upwards
 *   top - 8 KiB UTCB of the root EC
 *   top - 4 KiB hypervisor information page
 */
#define UTCB_WINDOW 0x40000000
#define UTCB_MAX 512 /* pages of this window, far more than threads: they need one page table */
#define MAP_WINDOW 0x80000000

/*
 * Selectors of the root object space:
 *
 *   0x0000      events of the root EC, whose event base is 0
 *   0x1000      events of all other threads: one block of 64 per CPU
 *   0x2000      EC and SC of each thread
 *   0x2200      handed out by sel_alloc(), upwards
 *   top         given by the microhypervisor (6.2.3.1)
 */
#define SEL_CPU_EVENTS 0x1000
#define SEL_EVENT_BLOCK 0x40
#define SEL_THREADS 0x2000
#define SEL_FREE 0x2200

#define CPU_MAX 64
#define THREAD_SIZE 0x4000 /* thread structure and stack, aligned to this size */
#define THREAD_MAX 96
