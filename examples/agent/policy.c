/*
 * policy: see policy.h.
 *
 * SPDX-License-Identifier: MIT
 */

#include "policy.h"

#include <stdlib.h>
#include <string.h>

#define MINUTE 60000000000U
#define WORD_MAX 256U
#define RATE 10U
#define WAIT 60U

static struct vm vms[PERMISSIONS_MAX];
static struct permission permissions[PERMISSIONS_MAX];
static unsigned vm_count, permission_count, seconds = WAIT;

/* The parts of a word: what stands behind NAME=, or NULL. */
struct parts {
    char *key, *file, *allow, *rate, *confirm, *wait;
};

/* Takes `text' apart, in place. */
static bool split(char *text, struct parts *parts)
{
    const struct {
        const char *name;
        char **value;
    } known[] = {{"key", &parts->key},   {"file", &parts->file},       {"allow", &parts->allow},
                 {"rate", &parts->rate}, {"confirm", &parts->confirm}, {"wait", &parts->wait}};

    for (char *part = strtok(text, ","); part; part = strtok(NULL, ",")) {
        char *value = strchr(part, '=');
        unsigned i = 0;
        if (!value)
            return false;
        *value++ = 0;
        while (i < sizeof(known) / sizeof(*known) && strcmp(known[i].name, part))
            i++;
        if (i == sizeof(known) / sizeof(*known) || *known[i].value || !*value)
            return false;
        *known[i].value = value;
    }
    return true;
}

/* A number from 1 to `most'; `otherwise' without a text; 0: wrong. */
static unsigned number(const char *text, unsigned most, unsigned otherwise)
{
    char *end;
    unsigned long value;

    if (!text)
        return otherwise;
    value = *text >= '1' && *text <= '9' ? strtoul(text, &end, 10) : 0;
    return value && value <= most && !*end ? (unsigned)value : 0;
}

static const char *add_key(const struct parts *p, const char *(*load)(const char *path))
{
    const char *text = p->file ? load(p->file) : NULL;

    if (p->file && !text)
        return "the file cannot be read";
    if ((p->file ? key_load(p->key, text) : key_new(p->key)) >= 0)
        return NULL;
    return key_find(p->key) >= 0 ? "there is a key of this name" : "this cannot be a key";
}

static struct vm *add_vm(const char *name)
{
    struct vm *vm = policy_vm(name);

    if (!vm) {
        vm = &vms[vm_count++];
        strncpy(vm->name, name, sizeof(vm->name) - 1);
    }
    return vm;
}

static const char *add_permission(const struct parts *p)
{
    struct permission *new = &permissions[permission_count];
    int key = p->key ? key_find(p->key) : -1;
    struct vm *vm = policy_vm(p->allow);

    if (key < 0)
        return "no key of this name stands before it";
    if (permission_count == PERMISSIONS_MAX || strlen(p->allow) >= KEY_NAME)
        return "too many permissions, or too long a name";
    for (unsigned i = 0; vm && i < permission_count; i++)
        if (permissions[i].vm == vm && permissions[i].key == (unsigned)key)
            return "it is allowed already";
    new->rate = number(p->rate, RATE_MAX, RATE);
    new->confirm = !p->confirm || strcmp(p->confirm, "no") != 0;
    if (!new->rate || (p->confirm && new->confirm &&strcmp(p->confirm, "yes") != 0))
        return "rate is 1 to 60, confirm is yes or no";
    new->vm = add_vm(p->allow);
    new->key = (unsigned)key;
    permission_count++;
    return NULL;
}

const char *policy_word(const char *word, const char *(*load)(const char *path))
{
    char text[WORD_MAX];
    struct parts p = {0};

    if (strlen(word) >= sizeof(text))
        return "it is too long";
    if (!split(strcpy(text, word), &p))
        return "it is no list of key=, file=, allow=, rate=, confirm=, wait=";
    if (p.allow && !p.file && !p.wait)
        return add_permission(&p);
    if (p.key && !p.allow && !p.rate && !p.confirm && !p.wait)
        return add_key(&p, load);
    if (!p.wait || p.key || p.file || p.allow || p.rate || p.confirm)
        return "these do not belong together";
    unsigned wait = number(p.wait, 3600, 0);
    seconds = wait ? wait : seconds;
    return wait ? NULL : "wait is 1 to 3600";
}

unsigned policy_wait(void)
{
    return seconds;
}

struct vm *policy_vm(const char *name)
{
    for (unsigned i = 0; i < vm_count; i++)
        if (!strcmp(vms[i].name, name))
            return &vms[i];
    return NULL;
}

struct permission *policy_permission(const struct vm *vm, unsigned n)
{
    for (unsigned i = 0; vm && i < permission_count; i++)
        if (permissions[i].vm == vm && !n--)
            return &permissions[i];
    return NULL;
}

bool policy_count(struct permission *p, uint64_t now)
{
    uint64_t *oldest = &p->asked[p->next];

    if (*oldest && now - *oldest < MINUTE)
        return false;
    *oldest = now;
    p->next = (p->next + 1) % p->rate;
    return true;
}
