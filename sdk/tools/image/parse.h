/*
 * Between the lines of a system file (parse.c) and the values of keys (keys.c).
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef PARSE_H
#define PARSE_H

#include "image.h"

/* Reading a system file. */
struct parser {
    struct system *s;
    struct domain *domain; /* of the section, or NULL */
    struct domain ignored; /* takes the keys of sections that are in error */
    bool in_system, in_any;
    bool skip; /* the section is none that we know: so are its keys */
    unsigned line;
    const char *key;
};

/* Number of a key of domains, or KEYS. */
unsigned find_key(const char *name);

/* Are commas between the words of this key's value? */
bool key_has_commas(unsigned key);

/* `key' with these words, in a section of a domain or in [system]. */
void domain_key(struct parser *p, unsigned key, const struct words *words);
void system_key(struct parser *p, const struct words *words);

#endif
