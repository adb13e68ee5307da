/*
 * Portals: calls within a protection domain and into another one, with short and long messages, and
 * an exception that is answered through a portal.
 *
 * Unless an operation says otherwise, caller and callee have an FPU and leave it alone. The other
 * protection domain has the serial ports, as the first one has. So a switch is one of registers and
 * FPU state, and between domains also one of memory, capabilities and ports.
 *
 * SPDX-License-Identifier: MIT
 */

#include "bench.h"
#include "serial.h"

#define VECTOR_UD 6
#define WORDS 64

/*
 * Portal entries that reply at once: with one word; with as many as the call has, whose MTD is in
 * RSI; with one word after changing an FPU register; with an RIP behind the instruction ud2.
 */
void reply_word(void);
void reply_same(void);
void reply_fpu(void);
void reply_exception(void);

union nova_utcb *exception_utcb; /* of the thread that answers exceptions */

__asm__(".pushsection .text\n"
        "reply_word:\n\tmov $1, %edi\n\txor %esi, %esi\n\tsyscall\n"
        "reply_same:\n\tmov $1, %edi\n\tsyscall\n"
        "reply_fpu:\n\tmovq %rdi, %xmm0\n\tmov $1, %edi\n\txor %esi, %esi\n\tsyscall\n"
        "reply_exception:\n\tmov exception_utcb(%rip), %rax\n\taddq $2, 0x88(%rax)\n\t"
        "mov $1, %edi\n\tmov $0x10, %esi\n\tsyscall\n"
        ".popsection");

_Static_assert(NOVA_IPC_REPLY == 1 && NOVA_MTD_WORDS(1) == 0, "portal entries");
_Static_assert(NOVA_MTD_RIP == 0x10 && offsetof(struct nova_arch_state, rip) == 0x88, "reply_exception");

static uint64_t done;

#define CALL "mov %[call], %%rdi\n\tmov %[mtd], %%rsi\n\tsyscall\n\t"
#define CALL_OPERANDS(pt, words)                                                               \
    [call] "r"(NOVA_HYPERCALL(NOVA_IPC_CALL, 0UL, pt)), [mtd] "r"((uint64_t)NOVA_MTD_WORDS(words))

static struct thread *create(const struct pd *pd, unsigned flags)
{
    return thread_create(pd, sys.bsp, STANDARD_EVENTS(sys.bsp), flags);
}

static void call_same(void (*entry)(void), unsigned words, unsigned flags, const char *operation)
{
    const struct thread *callee = create(&sys.root, flags);
    uint64_t status, figure, pt = portal_create(callee, entry, 0, 0);

    thread_self()->utcb->word[words - 1] = words;
    figure = BENCH_LOOP(&status, CALL, CALL_OPERANDS(pt, words));
    bench_report((status & 0xff) == NOVA_SUCCESS && callee->utcb->word[words - 1] == words, figure,
                 operation);
}

static void call_other(unsigned flags, const char *operation)
{
    struct pd other;
    uint64_t status, figure, pt;

    pd_create(&other);
    pd_share_image(&other);
    must(ctrl_pd(sys.root.pio, other.pio, SERIAL_PORT, SERIAL_PORT, 3, 0, 0), "taking ports back");
    pt = portal_create(create(&other, flags), reply_word, 0, 0);
    figure = BENCH_LOOP(&status, CALL, CALL_OPERANDS(pt, 1));
    bench_status(status, NOVA_SUCCESS, figure, operation);
}

static void call_using_fpu(const char *operation)
{
    uint64_t pt = portal_create(create(&sys.root, NOVA_EC_FPU), reply_fpu, 0, 0);
    uint64_t status, figure = BENCH_LOOP(&status, CALL "movq %%rsi, %%xmm0\n\t", CALL_OPERANDS(pt, 1));

    bench_status(status, NOVA_SUCCESS, figure, operation);
}

/* From here on, exceptions #UD of all threads have this handler. */
static void exception(const char *operation)
{
    const struct thread *handler = create(&sys.root, 0);
    uint64_t pt = portal_create(handler, reply_exception, 0, NOVA_MTD_RIP);
    uint64_t rdi, figure, rip;

    exception_utcb = handler->utcb;
    must(ctrl_pd(sys.root.obj, sys.root.obj, pt, STANDARD_EVENTS(sys.bsp) + VECTOR_UD, 0, NOVA_PT_EVENT, 0),
         "delegating a portal");
    figure = BENCH_LOOP(&rdi, "ud2\n\t");
    rip = handler->utcb->arch.rip;
    bench_report(rip > (uint64_t)image_text && rip < (uint64_t)image_rodata, figure, operation);
}

static void with_fpu(void *arg)
{
    (void)arg;
    call_same(reply_word, 1, NOVA_EC_FPU, "IPC call + reply, same PD, 1 word");
    call_same(reply_word, WORDS, NOVA_EC_FPU, "IPC call + reply, same PD, 64 words");
    call_same(reply_same, WORDS, NOVA_EC_FPU, "IPC call + reply, 64 words both ways");
    call_other(NOVA_EC_FPU, "IPC call + reply, other PD, 1 word, both with FPU");
    call_using_fpu("IPC call + reply, 1 word, both use the FPU");
    sm_up(done);
}

static void without_fpu(void *arg)
{
    (void)arg;
    call_same(reply_word, 1, 0, "IPC call + reply, 1 word, both without FPU");
    call_other(0, "IPC call + reply, other PD, 1 word");
    exception("exception #UD through a portal and back");
    sm_up(done);
}

/* Runs a thread, with a time slice that does not end during a measurement, and waits for it. */
static void run(unsigned flags, void (*entry)(void *))
{
    thread_run(create(&sys.root, flags | NOVA_EC_GLOBAL), 1, 1000, entry, NULL);
    sm_down(done);
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    done = sm_create(0);
    run(NOVA_EC_FPU, with_fpu);
    run(0, without_fpu);
}
