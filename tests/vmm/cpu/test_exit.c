/*
 * Exits: the handlers of both vendors, with messages in which all that the portal does not send is random. Handlers must not
 * depend on that, must name in the reply all that they change, and change no more than the table says. Instructions and
 * state are random within what makes sense.
 *
 * Sources: cpu/access.c cpu/cpuid.c cpu/cr.c cpu/exit.c cpu/inject.c cpu/insn.c cpu/msr.c cpu/svm.c cpu/time.c cpu/vmx.c
 * Sources: emu/cache.c emu/decode.c emu/execute.c emu/memory.c emu/string.c emu/walk.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "memory.h"
#include "cpu/stubs.h"
#include "cpu/access.h"
#include "cpu/cpuid.h"
#include "cpu/machine.h"
#include "cpu/time.h"
#include "dev/bus.h"
#include "tap.h"

#define TABLES 0x10000UL
#define CODE 0x20000UL
#define DEVICE 0xfec00000UL
#define ROUNDS 3000

/* Fields of the message, by the bit that transfers them; some go to the handler only. */
#define FIELDS(bit, first, last, out)                                                                        \
    {                                                                                                        \
        NOVA_MTD_##bit, offsetof(struct nova_arch_state, first),                                             \
            offsetof(struct nova_arch_state, last) + sizeof(((struct nova_arch_state *)0)->last), out        \
    }
#define FIELD(bit, first, last) FIELDS(bit, first, last, false)

static const struct {
    uint32_t bit;
    size_t start, end;
    bool out;
} groups[] = {
    FIELD(GPR_0_7, gpr[0], gpr[7]),
    FIELD(GPR_8_15, gpr[8], gpr[15]),
    FIELD(RFLAGS, rflags, rflags),
    FIELD(RIP, rip, rip),
    FIELDS(RIP, inst_len, inst_info, true),
    FIELD(STA, intr_state, actv_state),
    FIELDS(QUAL, qual, qual, true),
    FIELD(CTRL, ctrl_pri, pf_match),
    FIELD(TPR, tpr_threshold, tpr_threshold),
    FIELD(INJ, inj_info, inj_error),
    FIELDS(INJ, vect_info, vect_error, true),
    FIELD(CS_SS, cs, ss),
    FIELD(DS_ES, ds, es),
    FIELD(FS_GS, fs, gs),
    FIELD(TR, tr, tr),
    FIELD(LDTR, ldtr, ldtr),
    FIELD(GDTR, gdtr, gdtr),
    FIELD(IDTR, idtr, idtr),
    FIELD(PDPTE, pdpte, pdpte),
    FIELD(CR, cr0, cr8),
    FIELD(DR, dr7, dr7),
    FIELD(XSAVE, xcr0, xss),
    FIELD(SYSENTER, sysenter_cs, sysenter_eip),
    FIELD(PAT, pat, pat),
    FIELD(EFER, efer, efer),
    FIELD(SYSCALL, star, fmask),
    FIELD(KERNEL_GS, kernel_gs_base, kernel_gs_base),
    FIELD(TSC, tsc_aux, tsc_aux),
};

#define GROUPS (sizeof(groups) / sizeof(groups[0]))

static struct vcpu v;
static uint64_t seed = 1, trace; /* of what devices have seen */
static bool died, again;

uint32_t vcpu_resume(struct vcpu *vcpu, struct nova_arch_state *state, uint32_t mtd)
{
    return mtd | vcpu_inject(vcpu, state);
}

uint32_t vcpu_again(struct vcpu *vcpu)
{
    CHECK(!vcpu->complete);
    again = true;
    return 0;
}

uint32_t vcpu_die(struct vcpu *vcpu, const struct nova_arch_state *state, const char *why)
{
    (void)vcpu;
    (void)state;
    (void)why;
    died = true;
    return 0;
}

void vcpu_ask(unsigned number, unsigned requests)
{
    (void)number;
    (void)requests;
}

void machine_triple_fault(unsigned vcpu)
{
    (void)vcpu;
}

/* Devices get aligned accesses to where the instruction leads: to the operand's page, or the one behind it. */
static void check_access(enum bus bus, uint64_t address, unsigned size)
{
    if (bus == BUS_MMIO)
        CHECK(!(address % size) && address - DEVICE < 0x2000);
}

bool bus_read(enum bus bus, uint64_t address, unsigned size, uint64_t *value)
{
    check_access(bus, address, size);
    trace = trace * 31 + address + bus;
    *value = (address * 0x9e3779b97f4a7c15) >> (64 - 8 * size);
    return true;
}

bool bus_write(enum bus bus, uint64_t address, unsigned size, uint64_t value)
{
    check_access(bus, address, size);
    trace = trace * 31 + (address ^ value) + bus + size;
    return true;
}

uint64_t lapic_mmio_read(struct lapic *lapic, uint64_t offset, unsigned size, uint64_t now)
{
    (void)lapic;
    (void)now;
    return offset + size;
}

void lapic_mmio_write(struct lapic *lapic, uint64_t offset, unsigned size, uint64_t now, uint64_t value)
{
    (void)lapic;
    (void)now;
    trace = trace * 31 + offset + size + value;
}

uint64_t lapic_cr8(const struct lapic *lapic)
{
    return lapic->tpr >> 4;
}

void lapic_set_cr8(struct lapic *lapic, uint64_t value)
{
    lapic->tpr = (uint32_t)value << 4;
}

static void host(uint32_t leaf, uint32_t subleaf, struct cpuid *out)
{
    *out = (struct cpuid){UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    if (leaf % 0x80000000 == 0)
        *out = (struct cpuid){leaf + 0x1f, vendor.svm ? 0x68747541 : 0x756e6547, 0, 0};
    if (leaf == 0xd)
        *out = (struct cpuid){64, 576 + 64 * subleaf, 0, 0};
    if (leaf == 0x80000008)
        out->eax = 0x3028;
}

static uint64_t any(void)
{
    return tap_random(&seed);
}

static uint64_t any_of(const uint64_t *list, size_t count)
{
    return list[any() % count];
}

#define ANY_OF(...)                                                                                          \
    any_of((const uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* The first GiB, and the last one below 4 GiB, mapped one to one by large pages. */
static void make_tables(void)
{
    uint64_t *top = ram_at(TABLES, 4096), *pointers = ram_at(TABLES + 4096, 4096);

    top[0] = (TABLES + 4096) | 7;
    for (uint64_t i = 0; i < 4; i++)
        pointers[i] = i << 30 | 0x87;
}

/* An instruction that leads to this exit. */
static void make_code(unsigned event)
{
    static const char moves[][8] = {"\x89\x07",     "\x8b\x07",
                                    "\x44\x8b\x0f", "\x88\x07",
                                    "\x66\x89\x0f", "\xc7\x07\x78\x56\x34\x12",
                                    "\x88\x27",     "\x81\x0f\x10\x00\x00\x00",
                                    "\x0f\xb6\x07", "\xab",
                                    "\x48\x8b\x0f"};
    uint8_t *code = ram_at(CODE, 16);

    memset(code, 0x90, 16);
    if (event == 0xfc || event == 48)
        memcpy(code, moves[any() % (sizeof(moves) / sizeof(moves[0]))], 6);
    else if (vendor.svm && (event == 0x65 || event == 0x10))
        memcpy(code, "\x0f\x22\xc0", 3);
    else if (vendor.svm && event == 0x18)
        memcpy(code, "\x44\x0f\x22\xc0", 4);
    else if (vendor.svm && event == 0x14)
        memcpy(code, "\x0f\x22\xe0", 3);
    else if (vendor.svm && event == 0)
        memcpy(code, "\x0f\x20\xc0", 3);
    else
        memcpy(code, "\x0f\xa2", 2); /* of length 2, as most are */
}

/* All of a state that makes sense. */
static void make_state(struct nova_arch_state *s, unsigned event)
{
    memset(s, 0, sizeof(*s));
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = any() >> any() % 64;
    s->gpr[0] = ANY_OF(0, 1, 4, 7, 0xb, 0xd, 0x40000000, 0x40000001, 0x80000001, 0x8000001e, 0x80000033,
                       0xc0000033, any());
    s->gpr[1] =
        ANY_OF(0, 1, 0x1b, 0x277, 0x6e0, 0x80b, 0xc0000080, 0xc0000082, 0xc0000103, 0x4b564d01, any());
    s->gpr[7] = DEVICE + (any() & ANY_OF(0xff0, 0xfff));
    s->rflags = 2 | (any() & 0x200) | (any() % 8 ? 0 : 0x100);
    s->rip = CODE;
    s->inst_len = 2;
    s->intr_state = any() % 8 ? 0 : 1;
    s->cs = (struct nova_segment){.sel = 8, .ar = 0xa9b, .limit = UINT32_MAX};
    s->ss = s->ds = s->es = s->fs = s->gs =
        (struct nova_segment){.sel = 16, .ar = 0xc93, .limit = UINT32_MAX};
    s->tr = (struct nova_segment){.ar = 0x8b, .limit = 0x67};
    s->cr0 = 0x80000033;
    s->cr3 = TABLES;
    s->cr4 = ANY_OF(0x20, 0x40020);
    s->efer = 0xd01;
    s->xcr0 = ANY_OF(1, 3, 7);
    s->pat = 0x0007040600070406;
    s->qual[0] = any() & (event == 0x7b || event == 30 ? 0x3f80051 | (vendor.svm ? 0 : 8) : 0xffff0f3b);
    if (vendor.svm && event == 0x7b)
        s->qual[0] = (any() & 0xffff0001) | 1U << (4 + any() % 3);
    if (event == 30)
        s->qual[0] = (any() & 0xffff0008) | ANY_OF(0, 1, 3);
    if (event == 28)
        s->qual[0] = (any() & 0xf30) | ANY_OF(0, 4, 8);
    s->qual[1] = vendor.svm ? CODE + 2 : s->gpr[7];
    s->qual[2] = s->gpr[7];
    if (event == 0xfc || event == 48) {
        bool final = any() % 4;

        /* The CPU may also have been at an entry of a page table, which is anywhere. */
        s->qual[0] = (s->qual[0] & 0xfff & ~0x100UL) | (uint64_t) final << (vendor.svm ? 32 : 8);
        s->qual[2] = final ? s->gpr[7] : s->gpr[7] + 0x100000;
    }
    if (event == 0)
        s->inj_info = any() % 2 ? 0x80000301 : 0x80000b11;
    if (any() % 16 == 0)
        s->vect_info = 0x80000031;
}

static uint32_t portal_mtd(const struct exit *e)
{
    return e->out & NOVA_MTD_RIP && !vendor.lengths ? e->out | MTD_CODE : e->out;
}

/* What the message does not have is what another one left. */
static void poison(struct nova_arch_state *s, uint32_t mtd)
{
    for (unsigned i = 0; i < GROUPS; i++)
        if (!(mtd & groups[i].bit))
            for (size_t at = groups[i].start; at < groups[i].end; at++)
                ((uint8_t *)s)[at] = (uint8_t)any();
}

static bool same(const struct nova_arch_state *a, const struct nova_arch_state *b, unsigned group)
{
    return !memcmp((const char *)a + groups[group].start, (const char *)b + groups[group].start,
                   groups[group].end - groups[group].start);
}

struct result {
    struct nova_arch_state state;
    struct vcpu vcpu;
    uint32_t mtd;
    uint64_t trace;
    bool died, again;
};

static void handle_once(const struct exit *e, const struct nova_arch_state *full, uint32_t mtd,
                        const struct vcpu *start, struct result *r)
{
    struct nova_arch_state before;

    v = *start;
    trace = 0;
    died = again = false;
    r->state = *full;
    poison(&r->state, mtd);
    before = r->state;
    r->mtd = e->handle(&v, &r->state);
    r->vcpu = v;
    r->trace = trace;
    r->died = died;
    r->again = again;
    for (unsigned i = 0; i < GROUPS; i++)
        if (!CHECK(same(&before, &r->state, i) || r->mtd & groups[i].bit || r->died))
            printf("# %s changes %#x and does not say so\n", e->name, groups[i].bit);
    if (!CHECK(!(r->mtd & ~(e->in | NOVA_MTD_INJ | NOVA_MTD_TLB))))
        printf("# %s: reply %#x, table %#x\n", e->name, r->mtd, e->in);
}

static void try(unsigned event)
{
    const struct exit *e = &vendor.exits[event];
    uint32_t mtd = portal_mtd(e);
    static struct result one, two;
    struct nova_arch_state full;
    struct vcpu start;

    memset(&start, 0, sizeof(start));
    start.event = (uint16_t)event;
    start.complete = any() % 4 == 0;
    start.lapic.base = LAPIC_BASE | LAPIC_BASE_ENABLE | (any() & LAPIC_BASE_X2APIC);
    if (any() % 4 == 0)
        start.lapic.irr[3] = 2;
    make_code(event);
    make_state(&full, event);
    mtd = start.complete ? MTD_ALL : mtd;
    handle_once(e, &full, mtd, &start, &one);
    handle_once(e, &full, mtd, &start, &two);
    if (!CHECK(one.mtd == two.mtd && one.trace == two.trace && one.died == two.died &&
               one.again == two.again))
        printf("# %s depends on what is not in its message\n", e->name);
    for (unsigned i = 0; i < GROUPS; i++)
        if (one.mtd & groups[i].bit && !groups[i].out && !CHECK(same(&one.state, &two.state, i)))
            printf("# %s: %#x depends on what is not in its message\n", e->name, groups[i].bit);
    CHECK(!one.again || (!one.mtd && !one.trace));
}

/* The guest gets the exception that has exited; one that nobody has asked for is a reason to stop. */
static void test_exceptions(void)
{
    static const uint32_t infos[] = {0x80000301, 0x80000b11, 0x80000b0e};
    struct nova_arch_state s;

    vendor = vendor_vmx;
    for (unsigned i = 0; i < 3; i++) {
        memset(&v, 0, sizeof(v));
        died = false;
        s = (struct nova_arch_state){.inj_info = infos[i], .rflags = 2};
        CHECK(vendor.exits[0].handle(&v, &s) == (i < 2 ? NOVA_MTD_INJ : 0) && died == (i == 2));
        CHECK(died || s.inj_info == infos[i]);
    }
    ok_checks("VMX: exceptions that exit");
}

/* RF keeps a breakpoint from coming again at the instruction that it was for, and not at the next one (Intel SDM volume 3, 18.3.1.1). */
static void test_resume_flag(void)
{
    static const struct {
        const struct vendor *vendor;
        unsigned event;
    } skipped[] = {{&vendor_vmx, 10},   {&vendor_vmx, 12},   {&vendor_vmx, 30},   {&vendor_vmx, 54},
                   {&vendor_svm, 0x72}, {&vendor_svm, 0x78}, {&vendor_svm, 0x7b}, {&vendor_svm, 0x89}};

    for (unsigned i = 0; i < sizeof(skipped) / sizeof(skipped[0]); i++) {
        struct nova_arch_state s = {
            .rip = CODE, .inst_len = 2, .rflags = 0x10002, .qual = {0x3f80000, CODE + 2}};
        uint32_t mtd;

        vendor = *skipped[i].vendor;
        vendor.lengths = true;
        s.qual[0] |= vendor.svm ? 0x10 : 0; /* a byte for a port */
        memset(&v, 0, sizeof(v));
        mtd = vendor.exits[skipped[i].event].handle(&v, &s);
        CHECK(s.rip == CODE + 2 && s.rflags == 2 && mtd & NOVA_MTD_RFLAGS && mtd & NOVA_MTD_RIP);
    }
    ok_checks("instructions that have been carried out clear RF");
}

static void test(const struct vendor *which, bool lengths, const char *name)
{
    unsigned events = 0;

    vendor = *which;
    vendor.lengths = lengths;
    cpuid_init(&(struct cpuid_machine){.vcpus = 2, .xcr0 = 7, .host = host});
    access_init();
    memory_make(0x200000);
    make_tables();
    time_init(1000000000, 0);
    for (unsigned event = 0; event < NOVA_VM_STARTUP; event++) {
        if (!vendor.exits[event].handle)
            continue;
        events++;
        for (unsigned i = 0; i < ROUNDS; i++)
            try(event);
    }
    ok_checks("%s: messages and replies of %u exits", name, events);
}

int main(void)
{
    test(&vendor_svm, false, "SVM without next RIP");
    test(&vendor_svm, true, "SVM");
    test(&vendor_vmx, true, "VMX");
    test_exceptions();
    test_resume_flag();
    return tap_done();
}
