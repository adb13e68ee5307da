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
 *   | nova_manifest_service |   one for each name in a `provides`, in the order of domains
 *   +-----------------------+
 *   | nova_manifest_connect |   who may open a session with which service
 *   +-----------------------+
 *   | nova_manifest_resource|   ports, interrupts, and what of which memory is where in the address space of a domain
 *   +-----------------------+
 *   | stacks                |   contents of the ends of the first threads' stacks
 *   +-----------------------+ size
 * @endcode
 * All numbers are little-endian. Unused bytes are 0.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/start.h>

/**
 * @addtogroup libnova_manifest
 * @{
 */

#define NOVA_MANIFEST_MAGIC 0x4d41564fU /**< "OVAM". */
#define NOVA_MANIFEST_VERSION 5U        /**< Raised with every change of the layout. */
#define NOVA_MANIFEST_NONE 0xffffU      /**< No module, no domain. */

#define NOVA_DOMAINS_MAX 64       /**< Domains in a system. */
#define NOVA_SERVICES_MAX 128     /**< Services in a system. */
#define NOVA_STRINGS_MAX 3072     /**< Bytes of arguments and environment of one domain. */
#define NOVA_MODULES_MAX 128      /**< Modules behind the manifest. */
#define NOVA_GUEST_UNIT 0x200000U /**< Memory of a guest is a multiple of it. */

/** Header. */
struct nova_manifest {
    uint32_t magic;     /**< #NOVA_MANIFEST_MAGIC. */
    uint32_t version;   /**< #NOVA_MANIFEST_VERSION. */
    uint32_t size;      /**< Bytes, header included. The module may be longer (padding). */
    uint32_t checksum;  /**< CRC-32 (IEEE 802.3) of `size` bytes, this field taken as 0. */
    uint16_t domains;   /**< Entries of the tables, in the order of the picture. */
    uint16_t services;  /**< Services. */
    uint16_t connects;  /**< Connections. */
    uint16_t resources; /**< Resources. */
    uint16_t modules;   /**< Modules behind the manifest. */
    uint16_t console;   /**< Domain that provides the log service, or NONE: root writes itself. */
    uint16_t until;     /**< With this domain the system ends, and with its status; or NONE: when all domains without
                             services have ended. */
    uint16_t at_exit;  /**< `enum nova_manifest_at_exit`. */
    uint32_t stacks;   /**< Bytes. */
    uint32_t reserved; /**< 0. */
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

/**
 * A domain. Its information page is here as it will find it, but for what only root knows: frequency, time, selectors,
 * restarts.
 */
struct nova_manifest_domain {
    struct nova_info info; /**< With the name, the CPUs, the priority, the memory and where everything is. */
    uint64_t entry;        /**< First instruction. */
    uint32_t kernel_pages; /**< Kernel memory in pages, on top of pool and guest memory. */
    uint32_t stack;       /**< The end of its first stack, as in nova/start.h: offset in the stacks. */
    uint32_t stack_size;  /**< Bytes of that, a multiple of 16; the last 16 are for random bytes. */
    uint32_t backoff_ms;  /**< Pause before the first restart. */
    uint16_t restarts;    /**< Limit of restarts. */
    uint16_t policy;      /**< `enum nova_manifest_policy`. */
    uint16_t image;       /**< Module with its image. */
    uint16_t reserved;    /**< 0. */
};

/** A service. */
struct nova_manifest_service {
    char name[NOVA_NAME_MAX]; /**< Unique. */
    uint16_t domain;          /**< Who provides it. */
    uint16_t reserved[3];     /**< 0. */
};

/** A permission to open sessions. */
struct nova_manifest_connect {
    char name[NOVA_NAME_MAX]; /**< How the client calls it. */
    uint16_t domain;          /**< The client. */
    uint16_t service;         /**< The service. */
    uint16_t sessions;        /**< How many at a time. */
    uint16_t reserved;        /**< 0. */
};

/** Kinds of resources. No two domains have the same of the first three. */
enum nova_manifest_kind {
    NOVA_RESOURCE_PORTS,     /**< I/O ports. */
    NOVA_RESOURCE_INTERRUPT, /**< A pin (GSI): `count` is 1. */
    NOVA_RESOURCE_DEVICE,    /**< Device memory, uncacheable: pages of physical memory. */
    NOVA_RESOURCE_POOL,      /**< Pages of the domain's own memory. */
    NOVA_RESOURCE_GUEST,     /**< Pages of the memory of its guest. */
    NOVA_RESOURCE_MODULE     /**< Pages of a module, not writable. The rest of its last page is 0. */
};

/**
 * What a domain has: `first` to `first + count - 1`. The last four kinds are memory, which appears in its address space; what
 * is writable is not executable.
 */
struct nova_manifest_resource {
    uint64_t address;  /**< Memory: where it is, from #NOVA_IMAGE_ADDR to #NOVA_WINDOW_ADDR. */
    uint64_t first;    /**< First port, pin, page. */
    uint64_t count;    /**< How many, at least 1. */
    uint32_t contents; /**< Pool: what is copied there at each start: first byte in the module `image`, */
    uint32_t size;     /**< and how many bytes, or 0. */
    uint16_t domain;   /**< Who gets it. */
    uint16_t kind;     /**< `enum nova_manifest_kind`. */
    uint16_t module;   /**< Number of the module; 0 for other kinds. */
    uint16_t flags;    /**< Interrupts: `NOVA_INT_LEVEL`, `NOVA_INT_LOW`; memory: `NOVA_MEM_R`, with `NOVA_MEM_W` or
                            `NOVA_MEM_XU` or neither. */
};

_Static_assert(sizeof(struct nova_manifest) == 40, "manifest layout");
_Static_assert(sizeof(struct nova_manifest_domain) == 352, "manifest layout");
_Static_assert(sizeof(struct nova_manifest_service) == 40, "manifest layout");
_Static_assert(sizeof(struct nova_manifest_connect) == 40, "manifest layout");
_Static_assert(sizeof(struct nova_manifest_resource) == 40, "manifest layout");

/** @} */
