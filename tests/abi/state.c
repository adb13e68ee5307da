/*
 * State of an exception: what the portal's MTD lets the handler see, and what the MTD of its reply
 * changes (specification 4.4.2, 8.7.4).
 *
 * The victim is a local thread that raises #UD with a pattern in all registers; its events go to an
 * observer on the same CPU.
 *
 * SPDX-License-Identifier: MIT
 */

#include "fault.h"
#include "registers.h"
#include "system.h"
#include "tap.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define ALL_STATE (NOVA_MTD_GPR_0_7 | NOVA_MTD_GPR_8_15 | NOVA_MTD_RFLAGS | NOVA_MTD_RIP | NOVA_MTD_QUAL)

/* Victim and observer of one CPU. */
struct scene {
    uint64_t events; /* event base of the victim, in a block of 64 selectors */
    struct thread *victim, *observer;
    uint64_t call; /* portal of the victim */
};

static struct {
    uint32_t mtd;
    struct nova_arch_state state;
} seen;

/* What the observer does with the state in its UTCB; returns the MTD of the reply. */
static uint32_t (*observe)(struct nova_arch_state *state);
/* What the victim executes. */
static void (*act)(void);

PORTAL_ENTRY(event_entry, on_event);
PORTAL_ENTRY(victim_entry, on_victim);

static uint32_t on_event(uint64_t pid, uint32_t mtd)
{
    struct nova_arch_state *state = &thread_self()->utcb->arch;

    (void)pid;
    seen.mtd = mtd;
    seen.state = *state;
    return observe(state);
}

static uint32_t on_victim(uint64_t pid, uint32_t mtd)
{
    (void)pid;
    (void)mtd;
    act();
    return 0;
}

static void scene_create(struct scene *s, unsigned cpu)
{
    s->events = sel_alloc(SEL_EVENT_BLOCK, SEL_EVENT_BLOCK);
    s->victim = thread_create(&sys.root, cpu, s->events, NOVA_EC_FPU);
    s->observer = local_create(cpu);
    s->call = portal_create(s->victim, victim_entry, 0, 0);
    for (unsigned i = 0; i < NOVA_EVT_HST_ARCH; i++)
        portal_create_at(s->events + i, s->observer, event_entry, i, ALL_STATE);
}

/* Lets the victim act; the status of the call. */
static unsigned perform(const struct scene *s, void (*action)(void),
                        uint32_t (*observer)(struct nova_arch_state *))
{
    uint32_t mtd = 0;

    act = action;
    observe = observer;
    return ipc_call(s->call, &mtd, 0);
}

static uint64_t pattern(unsigned set, unsigned i)
{
    return 0x9e3779b97f4a7c15UL * (set * 100 + i + 1);
}

/* The state that each bit of an MTD stands for, in the UTCB of the observer after an event. */
static bool transferred(const struct nova_arch_state *s, uint32_t bit)
{
    unsigned wrong = 0;

    switch (bit) {
    case NOVA_MTD_GPR_0_7:
    case NOVA_MTD_GPR_8_15:
        for (unsigned i = bit == NOVA_MTD_GPR_0_7 ? 0 : 8; i < (bit == NOVA_MTD_GPR_0_7 ? 8 : 16); i++)
            wrong += s->gpr[i] != registers_in[i];
        return !wrong;
    case NOVA_MTD_RFLAGS:
        return (s->rflags & ~(1UL << 16)) == registers_in[RFLAGS];
    case NOVA_MTD_RIP:
        return s->rip == registers_in[RIP];
    default:
        return s->qual[0] == 0;
    }
}

/* The same fields keep the value they had before the event. */
static bool untouched(const struct nova_arch_state *s, uint32_t bit, uint64_t old)
{
    unsigned wrong = 0;

    switch (bit) {
    case NOVA_MTD_GPR_0_7:
    case NOVA_MTD_GPR_8_15:
        for (unsigned i = bit == NOVA_MTD_GPR_0_7 ? 0 : 8; i < (bit == NOVA_MTD_GPR_0_7 ? 8 : 16); i++)
            wrong += s->gpr[i] != old;
        return !wrong;
    case NOVA_MTD_RFLAGS:
        return s->rflags == old;
    case NOVA_MTD_RIP:
        return s->rip == old;
    default:
        return s->qual[0] == old && s->qual[1] == old && s->qual[2] == old;
    }
}

static const uint32_t state_bits[] = {NOVA_MTD_GPR_0_7, NOVA_MTD_GPR_8_15, NOVA_MTD_RFLAGS, NOVA_MTD_RIP,
                                      NOVA_MTD_QUAL};
static uint32_t reply_mtd;
static uint64_t new_flags;

/* Goes on behind ud2 and leaves OLD in all fields for the next event. */
#define OLD 0x5555aaaa5555aaaaUL

static uint32_t continue_and_mark(struct nova_arch_state *state)
{
    for (unsigned i = 0; i < sizeof(*state) / 8; i++)
        ((uint64_t *)state)[i] = OLD;
    state->rip = registers_in[RIP] + 2;
    return NOVA_MTD_RIP;
}

static void choose_registers(unsigned set, uint64_t flags)
{
    for (unsigned i = 0; i < REGISTERS; i++)
        registers_in[i] = pattern(set, i);
    registers_in[RFLAGS] = 0x202 | flags;
}

/* Reading: each of the 32 combinations of the five bits. */
static void read_state(const struct scene *s)
{
    unsigned wrong = 0, changed = 0;

    for (unsigned set = 0; set < 32; set++) {
        uint32_t mtd = 0;

        for (unsigned b = 0; b < 5; b++)
            mtd |= set & 1U << b ? state_bits[b] : 0;
        choose_registers(0, 0x4d5);
        must(ctrl_pt(s->events + VECTOR_UD, VECTOR_UD, ALL_STATE), "ctrl_pt");
        perform(s, registers_ud2, continue_and_mark);

        must(ctrl_pt(s->events + VECTOR_UD, VECTOR_UD, mtd), "ctrl_pt");
        choose_registers(set, 0x881);
        wrong += perform(s, registers_ud2, continue_and_mark) != NOVA_SUCCESS || seen.mtd != mtd;
        for (unsigned b = 0; b < 5; b++) {
            uint64_t old = state_bits[b] == NOVA_MTD_RIP ? registers_in[RIP] + 2 : OLD;

            wrong += mtd & state_bits[b] ? !transferred(&seen.state, state_bits[b])
                                         : !untouched(&seen.state, state_bits[b], old);
        }
        for (unsigned i = 0; i < RIP; i++)
            changed += registers_out[i] != registers_in[i];
    }
    tap_is(wrong, 0, "reading: the portal's MTD selects what the handler gets, in all 32 combinations");
    tap_is(changed, 0, "reading: does not change the registers");
    must(ctrl_pt(s->events + VECTOR_UD, VECTOR_UD, ALL_STATE), "ctrl_pt");
}

/* RFLAGS of the victim afterwards; AC is checked in strict.c. */
static uint64_t flags(void)
{
    return registers_out[RFLAGS] & ~(1UL << 18);
}

/* New values in all fields; RSP stays within the stack. */
static uint32_t change_registers(struct nova_arch_state *state)
{
    uint64_t rsp = state->gpr[RSP];

    for (unsigned i = 0; i < 16; i++)
        state->gpr[i] = pattern(77, i);
    state->gpr[RSP] = rsp - 0x100;
    state->rflags = new_flags;
    state->qual[0] = OLD;
    state->rip += 2;
    return NOVA_MTD_RIP | reply_mtd;
}

/* Writing: each combination of the bits besides RIP, which has to move anyway. QUAL cannot be written. */
static void write_state(const struct scene *s)
{
    unsigned wrong = 0;

    for (unsigned set = 0; set < 16; set++) {
        reply_mtd = (set & 1 ? NOVA_MTD_GPR_0_7 : 0) | (set & 2 ? NOVA_MTD_GPR_8_15 : 0) |
                    (set & 4 ? NOVA_MTD_RFLAGS : 0) | (set & 8 ? NOVA_MTD_QUAL : 0);
        choose_registers(set, 0x800);
        new_flags = 0x202 | 0x4d5;
        wrong += perform(s, registers_ud2, change_registers) != NOVA_SUCCESS;
        for (unsigned i = 0; i < 16; i++) {
            uint64_t new = i == RSP ? registers_in[RSP] - 0x100 : pattern(77, i);

            wrong += registers_out[i] != (set & (i < 8 ? 1U : 2U) ? new : registers_in[i]);
        }
        wrong += flags() != (set & 4 ? new_flags : registers_in[RFLAGS]);
    }
    tap_is(wrong, 0, "writing: the MTD of the reply selects what changes, in all 16 combinations");
}

/* Only status and control flags can be written. */
static void write_flags(const struct scene *s)
{
    const uint64_t writable = 0xcd5; /* CF PF AF ZF SF OF DF */

    reply_mtd = NOVA_MTD_RFLAGS;
    choose_registers(1, 0);
    new_flags = writable;
    perform(s, registers_ud2, change_registers);
    tap_is(flags(), 0x202 | writable, "RFLAGS: all status and control flags set, IF clear");
    choose_registers(1, writable);
    new_flags = 0;
    perform(s, registers_ud2, change_registers);
    tap_is(flags(), 0x202, "RFLAGS: 0");

    const uint64_t system[] = {1UL << 9, 3UL << 12, 1UL << 17, 1UL << 19, 1UL << 20, 1UL << 63};
    const char *const name[] = {"IF", "IOPL", "VM", "VIF", "VIP", "bit 63"};

    for (unsigned i = 0; i < COUNT(system); i++) {
        new_flags = system[i];
        choose_registers(1, 0);
        unsigned status = perform(s, registers_ud2, change_registers);

        tap_ok(status == NOVA_SUCCESS && flags() == 0x202, "RFLAGS: %s alone has no effect (%lx)", name[i],
               flags());
    }
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    struct scene here;

    (void)hip;
    (void)magic;
    (void)mbi;
    scene_create(&here, sys.bsp);
    read_state(&here);
    write_state(&here);
    write_flags(&here);
}
