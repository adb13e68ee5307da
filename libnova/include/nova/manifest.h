/**
 * @file
 * Manifest: the system description in the form that root reads.
 *
 * `nova-image` makes it from a system file and puts it into the boot image as the module whose command line is
 * `manifest`; the other modules follow in the order of their table. All checks that need text, names or
 * judgement are made by `nova-image`; root checks again all that its own safety and that of other domains
 * depends on, and refuses a manifest as a whole.
 *
 * @code{.unparsed}
 *   +-----------------------+ 0
 *   | struct nova_manifest  |   counts of the tables
 *   +-----------------------+
 *   | nova_manifest_domain  |   one for each application, driver, virtual machine
 *   |   ...                 |
 *   +-----------------------+
 *   | nova_manifest_service |   one for each name in a `provides`
 *   +-----------------------+
 *   | nova_manifest_connect |   who may open a session with which service, sorted by domain
 *   +-----------------------+
 *   | nova_manifest_resource|   ports, interrupts, device memory, sorted by domain
 *   +-----------------------+
 *   | nova_manifest_segment |   what of its image goes where, sorted by domain and address
 *   +-----------------------+
 *   | stacks                |   contents of the ends of the first threads' stacks
 *   +-----------------------+ size
 * @endcode
 *
 * All numbers are little-endian. Unused bytes are 0.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef NOVA_MANIFEST_H
#define NOVA_MANIFEST_H

#include <stdint.h>

/**
 * @addtogroup libnova_manifest
 * @{
 */

#define NOVA_MANIFEST_MAGIC 0x4d41564fU /**< "OVAM". */
#define NOVA_MANIFEST_VERSION 3U        /**< Raised with every change of the layout. */
#define NOVA_MANIFEST_NONE 0xffffU      /**< No module, no domain. */

#define NOVA_NAME_MAX 32         /**< Bytes of a name, with the terminating 0. */
#define NOVA_DOMAINS_MAX 64      /**< Domains in a system. */
#define NOVA_SERVICES_MAX 128    /**< Services in a system. */
#define NOVA_SESSIONS_MAX 64     /**< Sessions that a domain can have as a client, and as a server. */
#define NOVA_CPUS_MAX 64         /**< CPUs that a manifest can name. */
#define NOVA_STRINGS_MAX 3072    /**< Bytes of arguments and environment of one domain. */
#define NOVA_MODULES_MAX 128     /**< Modules behind the manifest. */
#define NOVA_VCPUS_MAX 8         /**< Virtual CPUs of a virtual machine. */
#define NOVA_GUEST_UNIT 512U     /**< `guest_pages` is a multiple of it: 2 MiB. */

/** Header. */
struct nova_manifest {
    uint32_t magic;          /**< #NOVA_MANIFEST_MAGIC. */
    uint32_t version;        /**< #NOVA_MANIFEST_VERSION. */
    uint32_t size;           /**< Bytes, header included. The module may be longer (padding). */
    uint32_t checksum;       /**< CRC-32 (IEEE 802.3) of `size` bytes, this field taken as 0. */
    uint16_t domains;        /**< Entries of the tables, in the order of the picture. */
    uint16_t services;       /**< Services. */
    uint16_t connects;       /**< Connections. */
    uint16_t resources;      /**< Resources. */
    uint32_t stacks;         /**< Bytes. */
    uint16_t modules;        /**< Modules behind the manifest. */
    uint16_t console;        /**< Domain that provides the log service, or #NOVA_MANIFEST_NONE: root writes itself. */
    uint16_t exit_domain;    /**< When this domain ends for good, the system ends with its status; or NONE: when all
                                  domains that do not provide a service have ended. */
    uint16_t at_exit;        /**< `enum nova_manifest_at_exit`. */
    uint16_t segments;       /**< Segments of images. */
    uint16_t reserved;       /**< 0. */
};

/** What happens when the system ends. */
enum nova_manifest_at_exit {
    NOVA_AT_EXIT_STAY,     /**< Nothing: what still runs goes on. */
    NOVA_AT_EXIT_POWEROFF, /**< Power off. */
    NOVA_AT_EXIT_RESET     /**< Reset. */
};

/** What happens when a domain crashes (`on-crash`). Leaving by exit is never a crash. */
enum nova_manifest_policy {
    NOVA_POLICY_STOP,    /**< It stays stopped. */
    NOVA_POLICY_RESTART, /**< Started again, after a pause that doubles each time, at most `restarts` times. */
    NOVA_POLICY_HALT     /**< The system ends, with status 128. */
};

/** Flags of a domain. */
enum nova_manifest_flags {
    NOVA_DOMAIN_FPU = 1 << 0,     /**< Threads may use the FPU. */
    NOVA_DOMAIN_CONSOLE = 1 << 1, /**< May read what is typed at the console. */
};

/** A domain. */
struct nova_manifest_domain {
    char name[NOVA_NAME_MAX];    /**< `[A-Za-z][A-Za-z0-9_-]*`, ended and filled up with 0. */
    uint16_t image;              /**< Module with the ELF image. */
    uint16_t archive;            /**< Module with a ustar archive that is mapped read-only, or NONE. */
    uint8_t policy;              /**< `enum nova_manifest_policy`. */
    uint8_t priority;            /**< Highest priority of its threads, 1 to 100. */
    uint16_t restarts;           /**< Limit of restarts. */
    uint32_t flags;              /**< `enum nova_manifest_flags`. */
    uint32_t backoff_ms;         /**< Pause before the first restart. */
    uint64_t cpus;               /**< Bit n: may use CPU n. Its first thread runs on the lowest. */
    uint32_t pages;              /**< Memory in pages of 4 KiB: data, stack, heap. */
    uint32_t kernel_pages;       /**< Kernel memory in pages, on top of `pages`. */
    uint32_t stack_pages;        /**< Of `pages`: stack of the first thread. */
    uint32_t threads;            /**< Threads, local ones included, that it may have. */
    uint32_t stack;              /**< The end of its stack as it finds it (nova/start.h): offset in `stacks`. */
    uint32_t stack_size;         /**< Bytes of that, a multiple of 16; the last 16 are for random bytes. */
    uint32_t random;             /**< Offset of AT_RANDOM's entry in it: AT_IGNORE if the CPU has none to give. */
    uint32_t build_id_size;      /**< Bytes of the build id, or 0. */
    uint8_t build_id[32];        /**< Build id of the image, filled up with 0. */
    uint64_t entry;              /**< Its first instruction. */
    uint16_t connect;            /**< Its first entry in the table of connections. */
    uint16_t connects;           /**< How many. */
    uint16_t resource;           /**< Its first entry in the table of resources. */
    uint16_t resources;          /**< How many. */
    uint16_t service;            /**< The first service that it provides. */
    uint16_t services;           /**< How many. */
    uint16_t segment;            /**< Its first entry in the table of segments. */
    uint16_t segments;           /**< How many, at least 1. */
    uint32_t guest_pages;        /**< Virtual machine: memory of the guest in pages, on top of `pages`; else 0. */
    uint16_t kernel;             /**< Virtual machine: module with the guest's kernel, or NONE. */
    uint16_t initrd;             /**< Virtual machine: module with its initial file system, or NONE. */
    uint16_t vcpus;              /**< Virtual CPUs: 1 to #NOVA_VCPUS_MAX; 0 without `guest_pages`. */
    uint16_t reserved;           /**< 0. */
    uint32_t reserved2;          /**< 0. */
};

/** A service. */
struct nova_manifest_service {
    char name[NOVA_NAME_MAX]; /**< Unique. */
    uint16_t domain;          /**< Who provides it. */
    uint16_t reserved[3];     /**< 0. */
};

/** A permission to open sessions. */
struct nova_manifest_connect {
    char name[NOVA_NAME_MAX]; /**< How the client calls it (`connect = service` or `connect = local:service`). */
    uint16_t domain;          /**< The client. */
    uint16_t service;         /**< The service. */
    uint16_t sessions;        /**< How many at a time. */
    uint16_t reserved;        /**< 0. */
};

/** Kinds of resources. */
enum nova_manifest_kind {
    NOVA_RESOURCE_PORTS,     /**< I/O ports `first` to `first + count - 1`. */
    NOVA_RESOURCE_INTERRUPT, /**< Pin `first` (GSI); `count` is 1. */
    NOVA_RESOURCE_MEMORY     /**< Device memory: pages `first` to `first + count - 1`, uncacheable. */
};

/** A resource. No two domains have the same. */
struct nova_manifest_resource {
    uint16_t domain; /**< Who gets it. */
    uint16_t kind;   /**< `enum nova_manifest_kind`. */
    uint32_t flags;  /**< Interrupts: `NOVA_INT_LEVEL`, `NOVA_INT_LOW`. */
    uint64_t first;  /**< First port, page, pin. */
    uint64_t count;  /**< How many. */
};

/**
 * A segment of an image: whole pages. Read-only ones are the module's own pages, writable ones are copied to the beginning of
 * the domain's memory, one behind the other, and the rest of their last page, and further pages, are 0.
 */
struct nova_manifest_segment {
    uint64_t address; /**< Where it is, page-aligned, from #NOVA_IMAGE_ADDR to #NOVA_IMAGE_END, above those before. */
    uint32_t offset;  /**< Of its first page in the module, page-aligned. */
    uint32_t size;    /**< Bytes of the module from there on. */
    uint32_t pages;   /**< How many it has; if it is read-only just as many as `size` needs. */
    uint16_t domain;  /**< Whose it is. */
    uint16_t perm;    /**< `NOVA_MEM_R`, with `NOVA_MEM_W` or `NOVA_MEM_XU` or neither. */
};

_Static_assert(sizeof(struct nova_manifest) == 40, "manifest layout");
_Static_assert(sizeof(struct nova_manifest_domain) == 160, "manifest layout");
_Static_assert(sizeof(struct nova_manifest_service) == 40, "manifest layout");
_Static_assert(sizeof(struct nova_manifest_connect) == 40, "manifest layout");
_Static_assert(sizeof(struct nova_manifest_resource) == 24, "manifest layout");
_Static_assert(sizeof(struct nova_manifest_segment) == 24, "manifest layout");

/** @} */

#endif
