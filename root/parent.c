/*
 * The parent protocol: lengths and ranges are checked here, the work is done elsewhere.
 *
 * SPDX-License-Identifier: MIT
 */

#include "domain.h"
#include "log.h"

#include <nova/parent.h>

#define LINE_MAX 512U
#define BUDGET_MAX 1000U

static int op_exit(struct domain *d, uint64_t *word)
{
    if (word[1] > 255)
        return NOVA_ERR_INVAL;
    domain_exit(d, (unsigned)word[1]);
    return NOVA_OK;
}

static int op_thread(struct domain *d, uint64_t *word)
{
    uint64_t flags = word[5], selectors = flags & NOVA_THREAD_LOCAL ? 1 : 2;

    if (flags & ~(uint64_t)(NOVA_THREAD_LOCAL | NOVA_THREAD_FPU) || word[2] >= NOVA_UTCB_SLOTS ||
        word[4] >= USER_END || word[7] > BUDGET_MAX || !domain_selectors(d, word[8], selectors))
        return NOVA_ERR_INVAL;
    if (!domain_cpu(d, word[1]) || (flags & NOVA_THREAD_FPU && !(d->plan->flags & NOVA_DOMAIN_FPU)))
        return NOVA_ERR_DENIED;
    return domain_thread(d, word);
}

static int op_thread_ended(struct domain *d, uint64_t *word)
{
    if (d->threads < 2 || !domain_selectors(d, word[1], 2))
        return NOVA_ERR_INVAL;
    revoke(DOMAIN_OBJ(d), word[1], 2);
    d->threads--;
    return NOVA_OK;
}

static int op_drop(struct domain *d, uint64_t *word)
{
    if (word[2] > NOVA_DROP_MAX || !domain_selectors(d, word[1], word[2]))
        return NOVA_ERR_INVAL;
    revoke(DOMAIN_OBJ(d), word[1], word[2]);
    return NOVA_OK;
}

/* Nothing but the right to raise events: what root revokes later must not survive in a copy. */
static int op_copy(struct domain *d, uint64_t *word)
{
    uint64_t from = word[1], to = word[2], count = word[3];
    unsigned status = NOVA_SUCCESS;

    if (count > NOVA_DROP_MAX || !domain_selectors(d, from, 1) || !domain_selectors(d, to, count) ||
        from - to < count)
        return NOVA_ERR_INVAL;
    for (; count && !status; count--)
        status = nova_hc_ctrl_pd(DOMAIN_OBJ(d), DOMAIN_OBJ(d), from, to++, 0, NOVA_PT_EVENT, 0);
    return nova_hc_error(status);
}

/* Only memory that is the domain's own: what was mapped for a session cannot be kept this way. */
static int op_map(struct domain *d, uint64_t *word)
{
    uint64_t guest = word[1], from = word[2], to = word[3], pages = word[4], rights = word[5];
    uint64_t source = rights ? domain_memory(d, from, pages) : 0;
    uint64_t start = guest ? 0 : rights ? NOVA_WINDOW_ADDR : NOVA_IMAGE_ADDR;
    uint64_t end = guest ? GUEST_END : NOVA_WINDOW_END;

    if (guest > (d->plan->vcpus ? 1U : 0U) || rights > (guest ? 15U : NOVA_MEM_R | NOVA_MEM_W) ||
        (rights && !source) || pages > NOVA_MAP_MAX || to % PAGE_SIZE || to < start || to > end ||
        pages * PAGE_SIZE > end - to)
        return NOVA_ERR_INVAL;
    return nova_hc_error(delegate(SEL_NOVA_HST, guest ? DOMAIN_GST(d) : DOMAIN_HST(d), source / PAGE_SIZE,
                                  to / PAGE_SIZE, pages, 31, (unsigned)rights, NOVA_MAD_WB));
}

static int op_log(struct domain *d, uint64_t *word)
{
    if (manifest.head->console != NOVA_MANIFEST_NONE)
        return NOVA_ERR_DENIED;
    log_domain(d->plan->name, (const char *)(word + 2), word[1]);
    return NOVA_OK;
}

static int op_log_read(struct domain *d, uint64_t *word)
{
    if (d->index != manifest.head->console)
        return NOVA_ERR_DENIED;
    return log_take(&word[1], (char *)(word + 2)) ? NOVA_OK : NOVA_ERR_INVAL;
}

static int op_state(struct domain *d, uint64_t *word)
{
    word[1] = d->threads;
    word[2] = word[3] = 0;
    for (unsigned i = 0; i < SESSIONS; i++)
        word[2 + i / NOVA_SESSIONS_MAX] += d->table[i].phase != NOVA_SESSION_FREE;
    word[4] = d->restarts;
    return NOVA_OK;
}

/*
 * Operations by number: how many words a message has (at least, if it says itself how many follow), and its
 * reply.
 */
static const struct {
    int (*function)(struct domain *d, uint64_t *word);
    uint8_t words, reply;
} operations[] = {
    [NOVA_PARENT_EXIT] = {op_exit, 2, 1},
    [NOVA_PARENT_THREAD] = {op_thread, 9, 1},
    [NOVA_PARENT_THREAD_ENDED] = {op_thread_ended, 2, 1},
    [NOVA_PARENT_SERVE] = {session_serve, 7, 1},
    [NOVA_PARENT_OPEN] = {session_open, 8, 2},
    [NOVA_PARENT_CLOSE] = {session_close, 2, 1},
    [NOVA_PARENT_LOG_READ] = {op_log_read, 2, 2 + NOVA_LOG_PIECE / 8},
    [NOVA_PARENT_LOG] = {op_log, 2, 1},
    [NOVA_PARENT_STATE] = {op_state, 1, 5},
    [NOVA_PARENT_VCPU] = {vm_vcpu, 4, 1},
    [NOVA_PARENT_DROP] = {op_drop, 3, 1},
    [NOVA_PARENT_MAP] = {op_map, 6, 1},
    [NOVA_PARENT_COPY] = {op_copy, 4, 1},
};

unsigned parent_request(struct domain *d, uint64_t *word, unsigned words)
{
    uint64_t op = word[0];
    unsigned expected = op < sizeof(operations) / sizeof(*operations) ? operations[op].words : 0;
    int error = NOVA_ERR_PROTOCOL;

    if (op == NOVA_PARENT_SERVE && words >= expected)
        expected += count_bits(word[6]);
    if (op == NOVA_PARENT_LOG && words >= expected)
        expected += word[1] > LINE_MAX ? words : (unsigned)(word[1] + 7) / 8; /* too long: never right */
    if (expected && words == expected)
        error = operations[op].function(d, word);
    word[0] = (uint64_t)(int64_t)error;
    return error ? 1 : operations[op].reply;
}
