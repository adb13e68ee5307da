/*
 * A domain that does its worst: every operation of the parent protocol with random words and wrong lengths,
 * all threads, all kernel memory, all sessions. It must not disturb root: a peer (steady.c) watches.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"

#define ROUNDS 3000

static uint64_t state = 0x123456789abcdef1;

static uint64_t random_word(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* A word that is likely to be nearly right. */
static uint64_t likely_word(void)
{
    switch (random_word() % 12) {
    case 0:
        return random_word();
    case 1:
        return random_word() % 8;
    case 2:
        return random_word() % 64;
    case 3:
        return own->pool_start + random_word() % own->pool_size;
    case 4:
        return (own->pool_start + random_word() % own->pool_size) & ~4095UL;
    case 5:
        return own->sel_free + 0x4000 + random_word() % 0x1000;
    case 6:
        return own->sel_end - random_word() % 70;
    case 7:
        return random_word() % own->sel_free;
    case 8:
        return NOVA_WINDOW_ADDR + (random_word() % 0x100000 << 12);
    case 9:
        return UINT64_MAX - random_word() % 16;
    case 10:
        return 1UL << random_word() % 64;
    default:
        return 0;
    }
}

/* Random words in all operations but EXIT. None may do harm; errors are what nova/parent.h names. */
static void test_random(void)
{
    bool known = true;

    for (unsigned i = 0; i < ROUNDS; i++) {
        union nova_utcb *u = utcb_of(0);
        uint64_t op = 2 + random_word() % 12;
        static const uint8_t usual[] = {2, 9, 2, 8, 8, 2, 2, 3, 1, 4, 3, 6, 4};
        unsigned words = random_word() % 4 ? usual[op - 1] : 1 + (unsigned)(random_word() % NOVA_UTCB_WORDS);
        long error;

        u->word[0] = op;
        for (unsigned w = 1; w < words; w++)
            u->word[w] = likely_word();
        if (op == NOVA_PARENT_LOG)
            continue;
        if (op == NOVA_PARENT_MAP && u->word[3] < NOVA_WINDOW_ADDR) /* it needs its own memory */
            u->word[3] += NOVA_WINDOW_ADDR;
        if (op == NOVA_PARENT_OPEN && random_word() % 2)
            memcpy(&u->word[1], "steady\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32);
        if (op == NOVA_PARENT_THREAD && words == 9) {
            u->word[1] %= 2;
            u->word[4] = own->pool_start; /* such a thread would crash at once: so only local ones */
            u->word[5] |= NOVA_THREAD_LOCAL;
            u->word[2] |= 1;
        }
        if (op == NOVA_PARENT_THREAD && words != 9)
            words = 8;
        error = parent_send(words);
        known &= error <= 0 && error >= NOVA_ERR_PROTOCOL;
    }
    ok(known, "%u random requests get proper answers", ROUNDS);
}

static void test_lengths(void)
{
    bool refused = true;

    for (uint64_t op = 0; op < 16; op++)
        for (unsigned words = 1; words <= NOVA_UTCB_WORDS; words += words < 16 ? 1 : 31) {
            static const uint8_t usual[] = {0, 2, 9, 2, 255, 8, 2, 2, 255, 1, 4, 3, 6, 4, 0, 0};

            if (usual[op] == words)
                continue;
            memset(utcb_of(0), 0, PAGE_SIZE);
            utcb_of(0)->word[0] = op;
            utcb_of(0)->word[1] = op == NOVA_PARENT_LOG ? 4096 : 0;
            utcb_of(0)->word[6] = 0xff;
            if (op == NOVA_PARENT_SERVE && words == 15)
                continue;
            refused &= parent_send(words) == NOVA_ERR_PROTOCOL;
        }
    ok(refused, "messages of wrong lengths are refused");
}

static void test_threads(void)
{
    unsigned made = 0;
    uint64_t sel;
    long error;

    parent_call(1, (uint64_t)NOVA_PARENT_STATE);
    do {
        utcb_of(0)->word[0] = 0;
        error = handler_new(100 + made, own->cpu, &sel);
        made += !error;
    } while (!error && made < 1000);
    ok(error == NOVA_ERR_LIMIT || error == NOVA_ERR_MEMORY, "threads come to an end after %u (%ld)", made,
       error);
    while (parent_call(2, (uint64_t)NOVA_PARENT_THREAD_ENDED, own->sel_free) == 0)
        ;
    ok(parent_call(1, (uint64_t)NOVA_PARENT_STATE) == 0 && utcb_of(0)->word[1] == 1,
       "a domain that says all have ended has one thread");
}

static void test_kernel_memory(void)
{
    unsigned made = 0, status;
    long error;
    uint64_t sel;

    while ((status = nova_hc_create_sm(selectors(1), NOVA_SEL_PD, 0)) == NOVA_SUCCESS)
        made++;
    ok(status == NOVA_MEM_OBJ || status == NOVA_MEM_CAP,
       "kernel memory comes to an end after %u semaphores (%u)", made, status);
    error = handler_new(400, own->cpu, &sel);
    ok(error == NOVA_ERR_MEMORY, "no thread without kernel memory (%ld)", error);
    error =
        parent_call(8, (uint64_t)NOVA_PARENT_OPEN, 0x796461657473UL, 0UL, 0UL, 0UL, own->sel_free, 0UL, 0UL);
    ok(error == NOVA_ERR_MEMORY || error == NOVA_ERR_INVAL, "no session without kernel memory (%ld)", error);
    ok(parent_call(1, (uint64_t)NOVA_PARENT_STATE) == 0 && utcb_of(0)->word[2] == 0,
       "and none is left half open");
}

int test_main(int argc, char **argv)
{
    uint64_t first = sm_new(0);

    (void)argc;
    (void)argv;
    (void)first;
    sleep_ms(300); /* others come first */
    test_lengths();
    test_random();
    for (uint64_t n = 0; n < NOVA_SESSIONS_MAX; n++)
        parent_call(2, (uint64_t)NOVA_PARENT_CLOSE, n);
    test_threads();
    test_kernel_memory();
    return done();
}
