/*
 * console: see console.h. What the reader and the asker share is under the lock. Passphrases stay in the reader's line,
 * which is wiped before it is used again.
 *
 * SPDX-License-Identifier: MIT
 */

#include "console.h"

#include "keys.h"

#include <nova/error.h>
#include <nova/log.h>
#include <nova/sync.h>
#include <nova/time.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE 256U

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned number; /* of the last question */
static bool open;
static enum verdict verdict;
static bool nobody;
static char text[512]; /* the question */
static uint64_t bell;

/* Reads a line. What does not fit is dropped with the rest of it. False: nobody is there any more. */
static bool read_line(char *line, bool secret)
{
    size_t used = 0;
    char c = 0;

    while (c != '\n') {
        long n = secret ? nova_log_read_secret(&c, 1, NOVA_NEVER) : nova_log_read(&c, 1, NOVA_NEVER);
        if (n == NOVA_ERR_PEER) /* the console starts again */
            continue;
        if (n != 1)
            return false;
        if (c != '\n' && used < LINE - 1)
            line[used++] = c;
    }
    line[used] = 0;
    return true;
}

static void show(void)
{
    printf("request %u: %s\n", number, text);
    printf("request %u: to allow it type: y %u   to refuse: n\n", number, number);
}

/* An answer: y and the number, or n and perhaps the number. */
static void answer(const char *line)
{
    bool yes = *line == 'y';
    char *end;
    unsigned long which = strtoul(line + 1, &end, 10);

    pthread_mutex_lock(&lock);
    if (open && verdict == UNDECIDED && !*end && (which == number || (!yes && end == line + 1))) {
        verdict = yes ? GRANTED : REFUSED;
        nova_sm_up(bell);
    } else if (open && verdict == UNDECIDED) {
        show();
    } else {
        printf("nothing is asked\n");
    }
    pthread_mutex_unlock(&lock);
}

/* Unseals a key, the first sealed one if no name is given. Whether there is still somebody. */
static bool unlock(char *line)
{
    const char *name = line[6] ? line + 7 : "";
    unsigned key = 0;

    while (key < key_count() && (!key_sealed(key) || (*name && strcmp(name, key_name(key)) != 0)))
        key++;
    if (key == key_count()) {
        printf("no such key is sealed\n");
        return true;
    }
    printf("passphrase of %s:\n", key_name(key));
    bool there = read_line(line, true);
    if (there && *line) {
        const char *error = key_unseal(key, line, strlen(line));
        printf("%s%s%s\n", key_name(key), error ? ": " : " is unlocked", error ? error : "");
    }
    key_wipe(line, LINE);
    return there;
}

static void repeat(void)
{
    pthread_mutex_lock(&lock);
    if (open && verdict == UNDECIDED)
        show();
    else
        printf("type keys, unlock, or unlock and the name of a key\n");
    pthread_mutex_unlock(&lock);
}

static void *reader(void *context)
{
    static char line[LINE];
    bool there = true;

    (void)context;
    while (there && (there = read_line(line, false)))
        if (!strcmp(line, "keys"))
            console_keys();
        else if (!strncmp(line, "unlock", 6) && (!line[6] || line[6] == ' '))
            there = unlock(line);
        else if (*line == 'y' || *line == 'n')
            answer(line);
        else
            repeat();
    pthread_mutex_lock(&lock);
    nobody = true;
    nova_sm_up(bell);
    pthread_mutex_unlock(&lock);
    return NULL;
}

bool console_start(uint64_t up)
{
    pthread_t thread;

    bell = up;
    return !pthread_create(&thread, NULL, reader, NULL);
}

void console_ask(const char *question)
{
    pthread_mutex_lock(&lock);
    snprintf(text, sizeof(text), "%s", question);
    verdict = UNDECIDED;
    open = true;
    number++;
    if (!nobody)
        show();
    pthread_mutex_unlock(&lock);
}

enum verdict console_verdict(void)
{
    pthread_mutex_lock(&lock);
    enum verdict v = verdict == UNDECIDED && nobody ? NOBODY : verdict;
    pthread_mutex_unlock(&lock);
    return v;
}

void console_close(void)
{
    pthread_mutex_lock(&lock);
    open = false;
    pthread_mutex_unlock(&lock);
}

void console_keys(void)
{
    char line[128];

    for (unsigned i = 0; i < key_count(); i++) {
        key_line(i, line, sizeof(line));
        printf("%s%s\n", line, key_sealed(i) ? " (sealed: type unlock)" : "");
    }
}
