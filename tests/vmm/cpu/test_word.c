/*
 * The word of a vCPU: all interleavings of an owner with others that ask, and of their recalls and ups, which come any time
 * later. No request may be left behind: when those who asked are done and the owner stands still, in the guest without a
 * recall or blocked without an up, it has served all. The search is checked with two owners that are wrong.
 *
 * Sources:
 *
 * SPDX-License-Identifier: MIT
 */

#include <stdlib.h>
#include <string.h>

#include "cpu/word.h"
#include "tap.h"

#define ASKERS 3
#define ASKS 2
#define STATES (1U << 22)

enum place { TAKE, SERVE, CHOOSE, BLOCK, LEAVE, WAIT, GUEST };
enum step { MARK, ASK, KICK };
enum variant { RIGHT, SERVES_FIRST, FORGETS_BLOCKED };

struct state {
    uint32_t word;
    uint8_t work, semaphore, recall, owner; /* work: what is to be served, as bits of who asked */
    struct {
        uint8_t step, left, kick;
    } asker[ASKERS];
};

static struct state *queue;
static struct state *seen;
static unsigned queued, visited, lost;
static enum variant variant;

static uint64_t hash(const struct state *s)
{
    const unsigned char *bytes = (const unsigned char *)s;
    uint64_t h = 0xcbf29ce484222325;

    for (size_t i = 0; i < sizeof(*s); i++)
        h = (h ^ bytes[i]) * 0x100000001b3;
    return h ^ h >> 29;
}

static void add(const struct state *s)
{
    static const struct state none;
    unsigned i = hash(s) % STATES;

    while (memcmp(&seen[i], &none, sizeof(none))) {
        if (!memcmp(&seen[i], s, sizeof(*s)))
            return;
        i = (i + 1) % STATES;
    }
    if (queued == STATES / 2)
        abort();
    seen[i] = *s;
    queue[queued++] = *s;
}

static void asker_steps(const struct state *from, unsigned n)
{
    struct state s = *from;

    switch (s.asker[n].step) {
    case MARK:
        if (!s.asker[n].left)
            return;
        s.asker[n].left--;
        s.work |= (uint8_t)(1U << n);
        s.asker[n].step = ASK;
        break;
    case ASK:
        s.asker[n].kick = (uint8_t)word_ask(&s.word, 1U << n, 0);
        s.asker[n].step = KICK;
        break;
    default:
        if (s.asker[n].kick == WORD_RECALL)
            s.recall = 1;
        if (s.asker[n].kick == WORD_UP)
            s.semaphore = 1;
        s.asker[n].step = MARK;
        s.asker[n].kick = 0;
    }
    add(&s);
}

static void owner_goes(struct state s, enum place place)
{
    s.owner = (uint8_t)place;
    add(&s);
}

static void owner_steps(const struct state *from)
{
    struct state s = *from;

    switch ((enum place)s.owner) {
    case TAKE:
        if (variant == SERVES_FIRST)
            s.work = 0;
        else
            word_take(&s.word);
        owner_goes(s, SERVE);
        break;
    case SERVE:
        if (variant == SERVES_FIRST)
            word_take(&s.word);
        else
            s.work = 0;
        owner_goes(s, CHOOSE);
        break;
    case CHOOSE:
        owner_goes(s, BLOCK);
        owner_goes(s, LEAVE);
        break;
    case BLOCK:
        if (variant == FORGETS_BLOCKED) {
            s.word = (s.word & ~WORD_PLACE) | WORD_GUEST;
            owner_goes(s, WAIT);
        } else {
            owner_goes(s, word_block(&s.word) ? WAIT : TAKE);
        }
        break;
    case LEAVE:
        owner_goes(s, word_leave(&s.word) ? GUEST : TAKE);
        break;
    case WAIT: /* the semaphore, or the time-out, which must not be needed */
        s.semaphore = 0;
        owner_goes(s, TAKE);
        break;
    case GUEST: /* a recall, or any other exit; small handlers do not look */
        owner_goes(s, GUEST);
        s.recall = 0;
        owner_goes(s, TAKE);
    }
}

/* Nothing moves by itself any more, and something is left. */
static bool is_lost(const struct state *s)
{
    for (unsigned n = 0; n < ASKERS; n++)
        if (s->asker[n].step != MARK || s->asker[n].left)
            return false;
    return ((s->owner == WAIT && !s->semaphore) || (s->owner == GUEST && !s->recall)) &&
           (s->work || s->word & WORD_REQUESTS);
}

static void search(enum variant which)
{
    struct state first;

    memset(&first, 0, sizeof(first));
    variant = which;
    queued = visited = lost = 0;
    memset(seen, 0, STATES * sizeof(*seen));
    first.word = WORD_HANDLER;
    for (unsigned n = 0; n < ASKERS; n++)
        first.asker[n].left = ASKS;
    add(&first);
    while (visited < queued) {
        struct state s = queue[visited++];
        lost += is_lost(&s);
        for (unsigned n = 0; n < ASKERS; n++)
            asker_steps(&s, n);
        owner_steps(&s);
    }
}

int main(void)
{
    uint32_t word = WORD_BLOCKED;

    queue = calloc(STATES, sizeof(*queue));
    seen = calloc(STATES, sizeof(*seen));
    search(RIGHT);
    ok(visited > 10000 && !lost, "%u states: no request is lost", visited);
    search(SERVES_FIRST);
    ok(lost, "an owner that serves before it takes loses requests");
    search(FORGETS_BLOCKED);
    ok(lost, "an owner that does not say that it blocks loses requests");

    ok(word_ask(&word, 8, 0x9a) == WORD_UP && word_ask(&word, 8, 0x9b) == WORD_NOTHING &&
           word_take(&word) == (8U | 0x9aU << WORD_VECTOR),
       "the first start-up vector counts");
    ok(!word_ask(&word, 1, 0) && !word_leave(&word) && !word_block(&word) && word_take(&word) == 1,
       "the handler cannot go while there are requests");
    ok(word_leave(&word) && word_ask(&word, 2, 0) == WORD_RECALL && word_ask(&word, 4, 0) == WORD_NOTHING,
       "one recall for several requests");
    free(queue);
    free(seen);
    return tap_done();
}
