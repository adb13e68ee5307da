/*
 * Timeouts and the list that they are on: what is due comes out by deadline, and in the order of arrival
 * where deadlines are equal; what is cancelled never comes out.
 *
 * SPDX-License-Identifier: MIT
 */

#include "core/timeout.h"
#include "tap.h"

#include <stdlib.h>

#define COUNT 200
#define ROUNDS 200000

static struct list queue;
static uint64_t random_state = 1;

/* What is on the list, first to last: the nodes expected, linked both ways, and nothing else. */
static bool list_is(const struct list *head, struct list *const *nodes, size_t count)
{
    const struct list *at = head;

    for (size_t i = 0; i < count; i++) {
        if (at->next != nodes[i] || nodes[i]->prev != at) {
            return false;
        }
        at = at->next;
    }
    return at->next == head && head->prev == at && list_empty(head) == (count == 0);
}

static void test_list(void)
{
    struct list head, n[4];

    list_init(&head);
    CHECK(list_is(&head, NULL, 0));
    for (unsigned i = 0; i < 4; i++) {
        list_init(&n[i]);
        list_remove(&n[i]); /* is on no list: no harm */
        CHECK(list_empty(&n[i]));
    }
    list_insert(&head, &n[0]);
    list_insert(&head, &n[1]);
    CHECK(list_is(&head, (struct list *[]){&n[0], &n[1]}, 2));
    list_insert(head.next, &n[2]);
    list_insert(&n[1], &n[3]);
    CHECK(list_is(&head, (struct list *[]){&n[2], &n[0], &n[3], &n[1]}, 4));
    list_remove(&n[0]);
    CHECK(list_is(&head, (struct list *[]){&n[2], &n[3], &n[1]}, 3) && list_empty(&n[0]));
    list_remove(&n[0]);
    CHECK(list_is(&head, (struct list *[]){&n[2], &n[3], &n[1]}, 3));
    list_remove(&n[2]);
    list_remove(&n[1]);
    list_remove(&n[3]);
    CHECK(list_is(&head, NULL, 0));
    ok_checks("a list keeps its order; removing twice does no harm");
}

static void test_edges(void)
{
    struct timeout t[3];

    list_init(&queue);
    CHECK(timeout_next(&queue) == UINT64_MAX && !timeout_expire(&queue, UINT64_MAX));
    for (unsigned i = 0; i < 3; i++) {
        list_init(&t[i].link);
        list_remove(&t[i].link); /* was never added */
    }
    timeout_add(&queue, &t[0], UINT64_MAX);
    timeout_add(&queue, &t[1], BIT(63));
    timeout_add(&queue, &t[2], 0);
    CHECK(timeout_next(&queue) == 0);
    CHECK(timeout_expire(&queue, 0) == &t[2] && !timeout_expire(&queue, 0));
    CHECK(timeout_next(&queue) == BIT(63) && !timeout_expire(&queue, BIT(63) - 1));
    CHECK(timeout_expire(&queue, BIT(63)) == &t[1]);
    CHECK(!timeout_expire(&queue, UINT64_MAX - 1) && timeout_expire(&queue, UINT64_MAX) == &t[0]);
    CHECK(list_empty(&queue) && timeout_next(&queue) == UINT64_MAX);
    for (unsigned i = 0; i < 3; i++) {
        list_remove(&t[i].link); /* has expired */
        CHECK(list_empty(&t[i].link));
    }
    CHECK(list_empty(&queue));
    ok_checks("deadlines from 0 to 2^64-1, exact to the tick");
}

static void test_equal(void)
{
    static struct timeout t[COUNT];

    list_init(&queue);
    for (unsigned i = 0; i < COUNT; i++) {
        list_init(&t[i].link);
        timeout_add(&queue, &t[i], i % 2 ? 7 : 5);
    }
    for (unsigned i = 0; i < COUNT; i += 4) {
        list_remove(&t[i].link);
        timeout_add(&queue, &t[i], 5); /* is now the last one */
    }
    for (unsigned i = 2; i < COUNT; i += 4) {
        CHECK(timeout_expire(&queue, 6) == &t[i]);
    }
    for (unsigned i = 0; i < COUNT; i += 4) {
        CHECK(timeout_expire(&queue, 6) == &t[i]);
    }
    CHECK(!timeout_expire(&queue, 6) && timeout_next(&queue) == 7);
    for (unsigned i = 1; i < COUNT; i += 2) {
        CHECK(timeout_expire(&queue, 100) == &t[i]);
    }
    CHECK(list_empty(&queue));
    ok_checks("equal deadlines: first come, first served");
}

/* The model: the smallest deadline, and of these the one added first. */
static struct timeout timeouts[COUNT];
static uint64_t added[COUNT]; /* 0: not in the queue */

static unsigned earliest(void)
{
    unsigned best = COUNT;

    for (unsigned i = 0; i < COUNT; i++) {
        if (added[i] && (best == COUNT || timeouts[i].deadline < timeouts[best].deadline ||
                         (timeouts[i].deadline == timeouts[best].deadline && added[i] < added[best]))) {
            best = i;
        }
    }
    return best;
}

static void expire_all(uint64_t now)
{
    for (;;) {
        unsigned best = earliest();
        bool due = best < COUNT && timeouts[best].deadline <= now;
        if (!CHECK(timeout_expire(&queue, now) == (due ? &timeouts[best] : NULL)) || !due) {
            return;
        }
        added[best] = 0;
    }
}

static void test_random(void)
{
    uint64_t now = 1000, order = 0;

    list_init(&queue);
    for (unsigned i = 0; i < COUNT; i++) {
        list_init(&timeouts[i].link);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned i = (unsigned)(tap_random(&random_state) % COUNT);
        if (round % 64 == 0) {
            now += tap_random(&random_state) % 20;
            expire_all(now);
        } else if (added[i]) {
            list_remove(&timeouts[i].link);
            added[i] = 0;
        } else {
            added[i] = ++order;
            timeout_add(&queue, &timeouts[i], now + tap_random(&random_state) % 50);
        }
        unsigned best = earliest();
        CHECK(timeout_next(&queue) == (best < COUNT ? timeouts[best].deadline : UINT64_MAX));
    }
    expire_all(UINT64_MAX);
    CHECK(list_empty(&queue));
    ok_checks("%u random operations, against a model", ROUNDS);
}

int main(void)
{
    test_list();
    test_edges();
    test_equal();
    test_random();
    return tap_done();
}
