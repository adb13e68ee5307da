/**
 * @file
 * What a protection domain finds when it starts: selectors, address space, information page, stack.
 *
 * Root builds all this; libnova reads it. Programs that use libnova or the C library need none of it.
 *
 * Address space (all of it in one page directory, so that small domains need few page tables):
 * @code{.unparsed}
 *   0x0000'0000'0000  unmapped
 *   0x0000'0020'0000  information page, read-only                         NOVA_INFO_ADDR
 *   0x0000'0020'1000  sessions that the domain opened, read-only          NOVA_CLIENT_TABLE
 *   0x0000'0020'2000  sessions that it serves, read-only                  NOVA_SERVER_TABLE
 *   0x0000'0021'0000  UTCBs, one page for each thread                     NOVA_UTCB_ADDR
 *   0x0000'0040'0000  image (linked here)                                 NOVA_IMAGE_ADDR
 *                     unmapped page
 *                     stack of the first thread                           nova_info::stack_start
 *                     unmapped page
 *                     pool: all memory of the domain, read-write,         nova_info::pool_start
 *                     in one piece; the first nova_info::pool_used bytes
 *                     are what data segments and stack were made of
 *                     archive of files, read-only                         nova_info::archive_start
 *                     device memory                                       nova_info::device_start
 *                     of a virtual machine: memory of the guest,          nova_info::guest_start
 *                     read-write; kernel, initial file system, read-only  nova_info::kernel_start, initrd_start
 *   0x0040'0000'0000  free for the domain: root maps pages of the pool    NOVA_WINDOW_ADDR
 *                     here, with the rights that it wants
 *   0x0080'0000'0000  end                                                 NOVA_WINDOW_END
 * @endcode
 * The pool is never executable, so nothing that a domain writes can become code.
 *
 * Stack of the first thread, from its stack pointer up, as in the System V ABI for x86-64 (3.4.1): argc, argv[], 0,
 * envp[], 0, auxiliary vector (AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_ENTRY, AT_EXECFN, AT_RANDOM with 16 random bytes,
 * AT_SECURE = 0, #NOVA_AT_INFO), strings. RDX is 0.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <stdint.h>

/**
 * @addtogroup libnova_start
 * @{
 */

/** @name Limits
 * @{ */
#define NOVA_NAME_MAX 32     /**< Bytes of a name, with the terminating 0. */
#define NOVA_SESSIONS_MAX 64 /**< Sessions that a domain can have as a client, and as a server. */
#define NOVA_CPUS_MAX 64     /**< CPUs of a system. */
#define NOVA_VCPUS_MAX 8     /**< Virtual CPUs of a virtual machine. */
/** @} */

/** Flags of a domain. */
enum nova_domain_flags {
    NOVA_DOMAIN_FPU = 1 << 0,     /**< Threads may use the FPU. */
    NOVA_DOMAIN_CONSOLE = 1 << 1, /**< May read what is typed at the console. */
};

/** @name Addresses
 * @{ */
#define NOVA_INFO_ADDR 0x200000UL    /**< struct nova_info. */
#define NOVA_CLIENT_TABLE 0x201000UL /**< struct nova_session_state[NOVA_SESSIONS_MAX]. */
#define NOVA_SERVER_TABLE 0x202000UL /**< struct nova_session_state[NOVA_SESSIONS_MAX]. */
#define NOVA_UTCB_ADDR 0x210000UL    /**< UTCB of thread slot 0; slot n is n pages further. */
#define NOVA_UTCB_SLOTS 480          /**< Threads that there is room for. */
#define NOVA_VCPU_ADDR 0x3f0000UL    /**< Virtual APICs of virtual CPUs, if the kernel maps them. */
#define NOVA_IMAGE_ADDR 0x400000UL      /**< First address of images. */
#define NOVA_IMAGE_END 0x20000000UL     /**< They end below. */
#define NOVA_WINDOW_ADDR 0x4000000000UL /**< Free for the domain. */
#define NOVA_WINDOW_END 0x8000000000UL  /**< End of it. */
/** @} */

/** @name Selectors
 * In the object space of each domain. The domain fills free ones by creating objects and by requests to root, and drops
 * capabilities by requests only: it holds none on its own spaces. So it cannot lose what is below nova_info::sel_free
 * (its crashes are always reported), and nothing that root takes away survives as a copy.
 * @{ */
#define NOVA_SEL_PD 0x0         /**< The domain itself: CREATE_PT and CREATE_SM. */
#define NOVA_SEL_FIRST_EC 0x4   /**< EC of the first thread: CTRL, BIND_PT. */
#define NOVA_SEL_FIRST_SC 0x5   /**< SC of the first thread: CTRL. */
#define NOVA_SEL_GST 0x7        /**< Virtual machine: its guest space: ASSIGN. */
#define NOVA_SEL_PIO 0x8        /**< Virtual machine: its port space, which is empty: ASSIGN. */
#define NOVA_SEL_MSR 0x9        /**< Virtual machine: its MSR space: ASSIGN. */
#define NOVA_SEL_INTERRUPT 0x10 /**< Plus n: semaphore of the domain's n-th interrupt: DN, ASSIGN. */
#define NOVA_SEL_PARENT 0x40    /**< Plus n: parent portal on CPU n (see nova/parent.h): CALL. */
#define NOVA_SEL_BELL 0x80      /**< Plus n: doorbell of the server of session n that the domain has opened: UP; plus
                                     #NOVA_SESSIONS_MAX + n: of the client of session n that it serves: UP. */
#define NOVA_SEL_EVENTS 0x100   /**< Plus 64 n: event portals of the n-th CPU that the domain may use. */
#define NOVA_SEL_RECALL 0x121   /**< Plus 64 n: of these, RECALL: free for a portal of the domain's own. */
/** @} */

/** Type of the auxiliary vector's entry with the address of struct nova_info. */
#define NOVA_AT_INFO 0x4e4f5641

#define NOVA_INFO_MAGIC 0x4f464e49U /**< "INFO". */
#define NOVA_INFO_VERSION 3U        /**< Raised with every change of the layout. */

/** Information page. Read-only for the domain; it does not change while the domain runs. */
struct nova_info {
    uint32_t magic;           /**< #NOVA_INFO_MAGIC. */
    uint32_t version;         /**< #NOVA_INFO_VERSION. */
    char name[NOVA_NAME_MAX]; /**< Of the domain. */
    uint64_t tsc_frequency;   /**< Hz of the time counter, which all deadlines are given in. */
    int64_t wall_offset;      /**< Nanoseconds since 1970-01-01 UTC when the time counter was 0. */
    uint64_t image_start;     /**< First address of the image. */
    uint64_t image_end;       /**< End of it. */
    uint64_t stack_start;     /**< Lowest address of the first thread's stack. */
    uint64_t stack_end;       /**< End of it. */
    uint64_t pool_start;      /**< All memory of the domain. */
    uint64_t pool_size;       /**< Bytes. */
    uint64_t pool_used;       /**< Bytes at its beginning that are image and stack. */
    uint64_t archive_start;   /**< Archive of files, or 0. */
    uint64_t archive_size;    /**< Bytes. */
    uint64_t device_start;  /**< Device memory, one after the other in the order of the system file, or 0. */
    uint64_t guest_start;   /**< Virtual machine: memory of the guest, in one piece, zeroed; else 0. */
    uint64_t guest_size;    /**< Bytes, a multiple of 2 MiB. */
    uint64_t kernel_start;  /**< Virtual machine: the guest's kernel, or 0. */
    uint64_t kernel_size;   /**< Bytes. */
    uint64_t initrd_start;  /**< Virtual machine: the initial file system, or 0. */
    uint64_t initrd_size;   /**< Bytes. */
    uint64_t sel_session;   /**< Plus nova_info::portals * n + c: portal on CPU c of session n that it has opened: CALL. */
    uint64_t sel_free;      /**< First selector that the domain may use as it likes. */
    uint64_t sel_end;       /**< End of them. */
    uint64_t cpus;          /**< Bit n: may use CPU n. */
    uint32_t cpu;           /**< CPU of the first thread. */
    uint32_t threads;       /**< Threads that it may have, the first one included. */
    uint32_t priority;      /**< Highest priority. */
    uint32_t flags;         /**< `enum nova_domain_flags`. */
    uint32_t restarts;      /**< How often it has crashed before. */
    uint32_t interrupts;    /**< Interrupts at #NOVA_SEL_INTERRUPT. */
    char build_id[68];      /**< Build id of the image in hexadecimal digits, up to 64, or "-". */
    uint32_t console;       /**< 1: there is a log service; 0: root writes the log. */
    uint32_t vcpus;         /**< Virtual CPUs that it is to have; 0: no virtual machine. */
    uint32_t portals;       /**< Selectors for the portals of a session. */
};

/** @name Memory of guests
 * Root has mapped it into the guest space before the domain starts, with all permissions and the largest pages: the
 * first 3 GiB at 0, the rest at 4 GiB. The domain can have pages taken out and others put in (nova/vm.h).
 * @{ */
#define NOVA_GUEST_LOW_END 0xc0000000UL /**< End of the lower part. */
#define NOVA_GUEST_HIGH 0x100000000UL   /**< Start of the upper part. */
/** @} */

/** State of a session, written by root. */
enum nova_session_phase {
    NOVA_SESSION_FREE, /**< No session. */
    NOVA_SESSION_OPEN, /**< Both sides are there. */
    NOVA_SESSION_GONE  /**< The other side is gone; this side has not closed it yet. */
};

/**
 * A session, as root shows it to either side.
 *
 * When the client is gone its buffer is taken away from the server; what the server sees at the same address from then
 * on is memory of its own that belongs to nobody else. So it never faults.
 */
struct nova_session_state {
    uint32_t phase;           /**< `enum nova_session_phase`; read with acquire semantics, before the rest. */
    uint32_t generation;      /**< Raised with every new session in this place. */
    char peer[NOVA_NAME_MAX]; /**< Name of the other domain, as the system file has it. */
    uint64_t buffer;          /**< Address of the shared buffer on this side, or 0. */
    uint32_t pages;           /**< Its size. */
    uint16_t service;         /**< Server: which of its services, counted from 0. */
    uint16_t flags;           /**< Server: what the client may do, `enum nova_domain_flags`. */
    uint64_t cpus;            /**< Bit n: can be called on CPU n. */
};

_Static_assert(sizeof(struct nova_session_state) == 64, "one page holds NOVA_SESSIONS_MAX");
_Static_assert(sizeof(struct nova_info) <= 4096, "one page");

/** @} */
