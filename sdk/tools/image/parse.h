/*
 * Between the lines of a system file (parse.c) and the values of keys (keys.c).
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

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

/* vm.c: the values of keys of virtual machines. */
void set_cmdline(struct parser *p, const struct words *words);
void set_vsock(struct parser *p, const struct words *words);

/* keys.c: what is said about a value, or a word of it. */
void bad(struct parser *p, const char *why);
void bad_word(struct parser *p, const char *word, const char *why);

/* A connection of the domain; cuts `*sessions' off a text. False if that was wrong, which has been said. */
bool add_connection(struct parser *p, const char *local, const char *service, uint32_t sessions);
bool cut_sessions(struct parser *p, char *text, uint32_t *sessions);

/* Are commas between the words of this key's value? */
bool key_has_commas(unsigned key);

/* `key' with these words, in a section of a domain or in [system]. */
void domain_key(struct parser *p, unsigned key, const struct words *words);
void system_key(struct parser *p, const struct words *words);
