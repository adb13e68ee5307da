/*
 * Texts of errors.
 *
 * SPDX-License-Identifier: MIT
 */

#include <nova/error.h>

const char *nova_error_text(int error)
{
    static const char *const text[] = {
        "no error",      "invalid argument", "out of memory",    "limit reached",
        "not permitted", "not there",        "the peer is gone", "time is up",
        "in use",        "protocol error",   "interrupted",
    };

    if (error > 0 || error <= -(int)(sizeof(text) / sizeof(text[0])))
        return "unknown error";
    return text[-error];
}
