/**
 * @file
 * Errors that functions of libnova return.
 *
 * Every function that can fail returns 0 or one of these negative numbers, unless it says otherwise. None of
 * them is ever swallowed.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

/**
 * @addtogroup libnova_error
 * @{
 */

/** Result of a function of libnova. */
enum nova_error {
    NOVA_OK = 0,           /**< Done. */
    NOVA_ERR_INVAL = -1,   /**< An argument is wrong. */
    NOVA_ERR_MEMORY = -2,  /**< The quota of memory, or of kernel memory, is used up. */
    NOVA_ERR_LIMIT = -3,   /**< A table is full: sessions, selectors, threads. */
    NOVA_ERR_DENIED = -4,  /**< The system file does not allow it. */
    NOVA_ERR_ABSENT = -5,  /**< There is no such service, file, CPU. Try again later if it restarts. */
    NOVA_ERR_PEER = -6,    /**< The other side is gone. Close the session; open it again if wanted. */
    NOVA_ERR_TIMEOUT = -7, /**< The deadline has passed. */
    NOVA_ERR_BUSY = -8,    /**< In use already. */
    NOVA_ERR_PROTOCOL = -9, /**< The other side sent something that makes no sense. */
    NOVA_ERR_INTERRUPTED = -10 /**< nova_thread_interrupt() ended the wait. */
};

/** Text for an error, for logs. Never NULL. Thread-safe. */
const char *nova_error_text(int error);

/** @} */
