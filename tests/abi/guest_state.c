/*
 * State of guests (specification 8.7.3, 8.7.4): each MTD bit in both directions, what the guest itself sees of it and
 * changes, and that nothing is transferred whose bit is not set.
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"
#include "system.h"
#include "tap.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct guest g;
static struct guest_cpu v;

/* -- Each bit, as the VMM sees it -- */

/* A field, and two values that are valid in 64-bit mode and differ from what guest_long sets. */
struct field {
    uint32_t mtd;
    uint16_t offset;
    uint8_t size;
    uint64_t value[2];
};

#define FIELD(bit, field, a, b)                                                                              \
    {                                                                                                        \
        NOVA_MTD_##bit, offsetof(struct nova_arch_state, field),                                             \
            sizeof(((struct nova_arch_state *)0)->field), {a, b}                                             \
    }
#define SEGMENT(bit, name, rights, base_a, base_b)                                                           \
    FIELD(bit, name.sel, 0x48, 0x50), FIELD(bit, name.limit, 0x12345fff, 0xfffff),                           \
        FIELD(bit, name.base, base_a, base_b), FIELD(bit, name.ar, rights, rights)

static const struct field fields[] = {
    FIELD(GPR_0_7, gpr[0], 0x1111111111111111, 1),
    FIELD(GPR_0_7, gpr[1], 0x2222222222222222, 2),
    FIELD(GPR_0_7, gpr[2], 0x3333333333333333, 3),
    FIELD(GPR_0_7, gpr[3], 0x4444444444444444, 4),
    FIELD(GPR_0_7, gpr[4], 0x5555555555555555, 5),
    FIELD(GPR_0_7, gpr[5], 0x6666666666666666, 6),
    FIELD(GPR_0_7, gpr[6], 0x7777777777777777, 7),
    FIELD(GPR_0_7, gpr[7], 0x8888888888888888, 8),
    FIELD(GPR_8_15, gpr[8], 0x9999999999999999, 9),
    FIELD(GPR_8_15, gpr[9], 0xaaaaaaaaaaaaaaaa, 10),
    FIELD(GPR_8_15, gpr[10], 0xbbbbbbbbbbbbbbbb, 11),
    FIELD(GPR_8_15, gpr[11], 0xcccccccccccccccc, 12),
    FIELD(GPR_8_15, gpr[12], 0xdddddddddddddddd, 13),
    FIELD(GPR_8_15, gpr[13], 0xeeeeeeeeeeeeeeee, 14),
    FIELD(GPR_8_15, gpr[14], 0xfedcba9876543210, 15),
    FIELD(GPR_8_15, gpr[15], 0x0123456789abcdef, 16),
    FIELD(RFLAGS, rflags, 0x240ad7, 0x46),
    FIELD(CS_SS, cs.sel, 0x48, 0x50),
    FIELD(CS_SS, ss.sel, 0x58, 0x60),
    FIELD(CS_SS, ss.limit, 0x12345fff, 0xffffffff),
    SEGMENT(DS_ES, ds, 0xc93, 0x12345678, 0x9abcdef0),
    SEGMENT(DS_ES, es, 0xc91, 0x11111000, 0x22222000),
    SEGMENT(FS_GS, fs, 0xcf3, 0x7fff12345678, 0xffff800000001234),
    SEGMENT(FS_GS, gs, 0xcf1, 0x7eee12345678, 0xfffff00000001234),
    FIELD(TR, tr.sel, 0x48, 0x50),
    FIELD(TR, tr.limit, 0x67, 0x1067),
    FIELD(TR, tr.base, 0x123456789000, 0xffffff0000000000),
    FIELD(LDTR, ldtr.sel, 0x48, 0x50),
    FIELD(LDTR, ldtr.ar, 0x82, 0x82),
    FIELD(LDTR, ldtr.limit, 0xfff, 0x1fff),
    FIELD(LDTR, ldtr.base, 0x123456789000, 0xffffff0000000000),
    FIELD(GDTR, gdtr.limit, 0x7f, 0xff),
    FIELD(GDTR, gdtr.base, 0x123456789000, 0xffffff0000000000),
    FIELD(IDTR, idtr.limit, 0x7f, 0xff),
    FIELD(IDTR, idtr.base, 0x123456789000, 0xffffff0000000000),
    FIELD(CR, cr0, 0x8005003b, 0x80000033),
    FIELD(CR, cr2, 0x123456789abcdef, 0xffffffffffffffff),
    FIELD(CR, cr3, GUEST_TABLES | 0x18, GUEST_TABLES),
    FIELD(CR, cr4, 0x6a0, 0x620),
    FIELD(CR, cr8, 0x5, 0xf),
    FIELD(DR, dr7, 0x402, 0x4f00f0401),
    FIELD(XSAVE, xcr0, 3, 1),
    FIELD(XSAVE, xss, 0, 0),
    FIELD(SYSENTER, sysenter_cs, 0x12345678, 0x9abc),
    FIELD(SYSENTER, sysenter_esp, 0x123456789abc, 0xffff800000001234),
    FIELD(SYSENTER, sysenter_eip, 0x7fffffffffff, 0xffffffffffff0000),
    FIELD(PAT, pat, 0x0000000500010406, 0x0606060606060606),
    FIELD(EFER, efer, 0xd01, 0xd00),
    FIELD(SYSCALL, star, 0x0123456789abcdef, 0xfedcba9876543210),
    FIELD(SYSCALL, lstar, 0x123456789abc, 0xffff800000001234),
    FIELD(SYSCALL, fmask, 0x12345678, 0x3f7fd5),
    FIELD(KERNEL_GS, kernel_gs_base, 0x123456789abc, 0xffff800000001234),
    FIELD(TSC, tsc_aux, 0x12345678, 0xfffffff0),
};

/* Runs of fields with one bit. */
static unsigned group_end(unsigned i)
{
    unsigned end = i;

    while (end < COUNT(fields) && fields[end].mtd == fields[i].mtd)
        end++;
    return end;
}

static uint64_t get(const struct field *f, const struct nova_arch_state *s)
{
    uint64_t value = 0;

    __builtin_memcpy(&value, (const char *)s + f->offset, f->size);
    return value;
}

static void set(const struct field *f, struct nova_arch_state *s, uint64_t value)
{
    __builtin_memcpy((char *)s + f->offset, &value, f->size);
}

/* DR7[35] and so on do not exist: the tables say 64 bits where hardware has 32. */
static uint64_t valid_value(const struct field *f, unsigned n)
{
    return f->mtd == NOVA_MTD_DR ? (uint32_t)f->value[n] : f->value[n];
}

GUEST_PROGRAM(cpuids, ".code64", ".rept 64; cpuid; .endr; jmp .");

/* Lets the guest execute the next CPUID. */
static bool next(uint32_t mtd)
{
    return guest_skip(&v, 2, mtd) == GUEST_CPUID;
}

static void restart(void)
{
    GUEST_LOAD(&g, cpuids);
    guest_long(&v, GUEST_CODE);
    v.state.cr4 |= 0x600;
    if (guest_run(&v, v.mtd) != GUEST_CPUID)
        tap_bail("%s, RIP 0x%lx", guest_name(v.exit), v.state.rip);
}

static unsigned differ(unsigned i, unsigned end, unsigned n)
{
    unsigned wrong = 0;

    for (; i < end; i++)
        if (get(&fields[i], &v.state) != valid_value(&fields[i], n)) {
            tap_diag("offset 0x%x: 0x%lx instead of 0x%lx", fields[i].offset, get(&fields[i], &v.state),
                     valid_value(&fields[i], n));
            wrong++;
        }
    return wrong;
}

static void fill(unsigned i, unsigned end, unsigned n)
{
    for (; i < end; i++)
        set(&fields[i], &v.state, valid_value(&fields[i], n));
}

static unsigned fill_sentinels(unsigned i, unsigned end, bool check)
{
    unsigned wrong = 0;

    for (; i < end; i++)
        if (check)
            wrong += get(&fields[i], &v.state) != (0xa5a5a5a5a5a5a5a5 & (~0UL >> (64 - 8 * fields[i].size)));
        else
            set(&fields[i], &v.state, 0xa5a5a5a5a5a5a5a5);
    return wrong;
}

static void set_portals(uint32_t mtd)
{
    for (unsigned i = 0; i < NOVA_EVT_GST_ARCH + 2; i++)
        must(ctrl_pt(v.events + i, i, mtd), "ctrl_pt");
}

static void each_bit(void)
{
    for (unsigned i = 0, end; i < COUNT(fields); i = end) {
        uint32_t mtd = fields[i].mtd;
        unsigned bit = (unsigned)__builtin_ctz(mtd);

        end = group_end(i);
        restart();
        for (unsigned n = 0; n < 2; n++) {
            fill(i, end, n);
            tap_ok(next(mtd) && !differ(i, end, n), "MTD bit %u: in and out, values %u", bit, n);
        }
        fill(i, end, 0);
        tap_ok(next(0) && !differ(i, end, 1), "MTD bit %u: not set, nothing is written", bit);

        set_portals(GUEST_ALL_OUT & ~mtd);
        fill_sentinels(i, end, false);
        tap_ok(next(0) && !fill_sentinels(i, end, true), "MTD bit %u: not set, nothing is shown", bit);
        set_portals(GUEST_ALL_OUT);
        tap_ok(next(0) && !differ(i, end, 1), "MTD bit %u: is still what it was", bit);
    }
}

/* A portal without bits shows nothing at all, in the whole UTCB. */
static void no_bits(void)
{
    unsigned wrong = 0;
    uint64_t *words = (uint64_t *)(void *)&v.state;

    restart();
    set_portals(0);
    guest_reply(&v, NOVA_MTD_RIP);
    guest_wait(&v, 1000);
    for (unsigned i = 0; i < sizeof(v.state) / 8; i++)
        words[i] = 0x5aa5f00f12345678UL + i;
    guest_reply(&v, 0);
    guest_wait(&v, 1000);
    for (unsigned i = 0; i < sizeof(v.state) / 8; i++)
        wrong += words[i] != 0x5aa5f00f12345678UL + i;
    tap_is(wrong, 0, "MTD 0: no word of the UTCB has changed");
    set_portals(GUEST_ALL_OUT);
}

/* -- What the guest sees, and changes -- */

/* Where the programs store to, and load from. */
struct seen {
    uint64_t rflags, cr0, cr2, cr3, cr4, cr8, dr7;
    uint64_t cs, ss, ds, es, fs, gs, tr, ldtr;
    uint64_t efer, star, lstar, fmask, kernel_gs_base, fs_base, gs_base, sysenter_cs, sysenter_esp, sysenter_eip;
    struct {
        uint16_t pad[3], limit;
        uint64_t base;
    } gdtr, idtr;
};

#define SEEN_MSRS 0x78

_Static_assert(offsetof(struct seen, cs) == 0x38 && offsetof(struct seen, efer) == SEEN_MSRS &&
                   offsetof(struct seen, gdtr.limit) == 0xce && offsetof(struct seen, idtr.limit) == 0xde,
               "programs");

#define STORE_CR(cr, at) "mov %" cr ", %rax; mov %rax, " at "(%rdi);"
#define LOAD_CR(cr, at) "mov " at "(%rdi), %rax; mov %rax, %" cr ";"
#define STORE_SEL(sel, at) sel " %eax; movzwl %ax, %eax; mov %rax, " at "(%rdi);"

/* From 0xc0000080 on: EFER, STAR, LSTAR, FMASK, KERNEL_GS_BASE, FS_BASE, GS_BASE, SYSENTER. */
#define MSR_NUMBERS                                                                                          \
    ".long 0xc0000081, 0xc0000082, 0xc0000084, 0xc0000102, 0xc0000100, 0xc0000101, 0x174, 0x175, 0x176"

GUEST_PROGRAM(store_all, ".code64",
              "mov $0x10000, %edi; pushf; pop (%rdi);" STORE_CR("cr0", "0x08") STORE_CR("cr2", "0x10")
                  STORE_CR("cr3", "0x18") STORE_CR("cr4", "0x20") STORE_CR("cr8", "0x28") STORE_CR("dr7", "0x30")
                      STORE_SEL("mov %cs,", "0x38") STORE_SEL("mov %ss,", "0x40") STORE_SEL("mov %ds,", "0x48")
                          STORE_SEL("mov %es,", "0x50") STORE_SEL("mov %fs,", "0x58") STORE_SEL("mov %gs,", "0x60")
                              STORE_SEL("str", "0x68") STORE_SEL("sldt", "0x70")
              "sgdt 0xce(%rdi); sidt 0xde(%rdi);"
              "lea 2f(%rip), %rsi; lea 0x80(%rdi), %r8; mov $9, %r9d;"
              "1: mov (%rsi), %ecx; rdmsr; mov %eax, (%r8); mov %edx, 4(%r8); add $4, %rsi; add $8, %r8;"
              "dec %r9d; jnz 1b; hlt; jmp .; 2:" MSR_NUMBERS);

/* What the guest may write of these without an exit: not STAR, LSTAR, FMASK. */
GUEST_PROGRAM(load_all, ".code64",
              "mov $0x10000, %edi; push (%rdi); popf;" LOAD_CR("cr2", "0x10") LOAD_CR("cr3", "0x18")
                  LOAD_CR("cr4", "0x20") LOAD_CR("cr8", "0x28") LOAD_CR("dr7", "0x30")
              "mov 0x48(%rdi), %ds; mov 0x50(%rdi), %es; mov 0x58(%rdi), %fs; mov 0x60(%rdi), %gs;"
              "lgdt 0xce(%rdi); lidt 0xde(%rdi);"
              "lea 2f+12(%rip), %rsi; lea 0x98(%rdi), %r8; mov $6, %r9d;"
              "1: mov (%rsi), %ecx; mov (%r8), %eax; mov 4(%r8), %edx; wrmsr; add $4, %rsi; add $8, %r8;"
              "dec %r9d; jnz 1b; hlt; jmp .; 2:" MSR_NUMBERS);

static void permit_msrs(void)
{
    static const uint32_t numbers[] = {0xc0000081, 0xc0000082, 0xc0000084, 0xc0000102, 0xc0000100,
                                       0xc0000101, 0x174,      0x175,      0x176};

    for (unsigned i = 0; i < COUNT(numbers); i++)
        must(ctrl_pd(sys.nova_msr, g.msr, numbers[i], numbers[i], 0, NOVA_MSR_R | NOVA_MSR_W, 0), "ctrl_pd (MSR)");
}

static bool same(const char *name, uint64_t got, uint64_t want)
{
    if (got != want)
        tap_diag("%s: 0x%lx instead of 0x%lx", name, got, want);
    return got == want;
}

#define SAME(field, want) ok = same(#field, seen->field, want) && ok

static void stores(void)
{
    const struct seen *seen = (const void *)(g.memory + GUEST_FREE);
    struct nova_arch_state *s = &v.state;
    bool ok = true;

    GUEST_LOAD(&g, store_all);
    guest_long(&v, GUEST_CODE);
    s->rflags = 0xad7;
    s->cr2 = 0x123456789;
    s->cr4 |= 0x680;
    s->cr8 = 7;
    s->dr7 = 0x402;
    s->cs.sel = 0x48;
    s->ss.sel = 0x50;
    s->ds.sel = 0x58;
    s->es.sel = 0x60;
    s->fs = (struct nova_segment){.sel = 0x68, .ar = 0xc93, .limit = 0xffffffff, .base = 0x123456789000};
    s->gs = (struct nova_segment){.sel = 0x70, .ar = 0xc93, .limit = 0xffffffff, .base = 0xffff912345678900};
    s->tr.sel = 0x78;
    s->ldtr = (struct nova_segment){.sel = 0x80, .ar = 0x82, .limit = 0xff};
    s->gdtr = (struct nova_segment){.limit = 0x1234, .base = 0xffff812345678900};
    s->idtr = (struct nova_segment){.limit = 0x2345, .base = 0xffff822345678900};
    s->star = 0x0011223344556677;
    s->lstar = 0xffffffff80001234;
    s->fmask = 0x47700;
    s->kernel_gs_base = 0xffff888012345678;
    s->sysenter_cs = 0x10;
    s->sysenter_esp = 0xffff888000001000;
    s->sysenter_eip = 0xffffffff80005678;
    if (guest_run(&v, v.mtd) != GUEST_HLT)
        tap_bail("%s, event 0x%x, RIP 0x%lx", guest_name(v.exit), v.event, v.state.rip);
    SAME(rflags, 0xad7);
    SAME(cr0, 0x80000031);
    SAME(cr2, 0x123456789);
    SAME(cr3, GUEST_TABLES);
    SAME(cr4, 0x6a0);
    SAME(cr8, 7);
    SAME(dr7, 0x402);
    SAME(cs, 0x48);
    SAME(ss, 0x50);
    SAME(ds, 0x58);
    SAME(es, 0x60);
    SAME(fs, 0x68);
    SAME(gs, 0x70);
    SAME(tr, 0x78);
    SAME(ldtr, 0x80);
    SAME(gdtr.limit, 0x1234);
    SAME(gdtr.base, 0xffff812345678900);
    SAME(idtr.limit, 0x2345);
    SAME(idtr.base, 0xffff822345678900);
    SAME(star, 0x0011223344556677);
    SAME(lstar, 0xffffffff80001234);
    SAME(fmask, 0x47700);
    SAME(kernel_gs_base, 0xffff888012345678);
    SAME(fs_base, 0x123456789000);
    SAME(gs_base, 0xffff912345678900);
    SAME(sysenter_cs, 0x10);
    SAME(sysenter_esp, 0xffff888000001000);
    SAME(sysenter_eip, 0xffffffff80005678);
    tap_ok(ok, "the guest sees what the VMM has set");
}

#undef SAME
#define SAME(field, want) ok = same(#field, v.state.field, want) && ok

static void loads(void)
{
    struct seen *seen = (void *)(g.memory + GUEST_FREE);
    bool ok = true;

    GUEST_LOAD(&g, load_all);
    guest_long(&v, GUEST_CODE);
    v.state.cr4 |= 0x600;
    *seen = (struct seen){.rflags = 0x8d7,
                          .cr2 = 0xfedcba987,
                          .cr3 = GUEST_TABLES | 0x18,
                          .cr4 = 0x6a0,
                          .cr8 = 9,
                          .dr7 = 0x408,
                          .ds = GUEST_DS,
                          .es = 0,
                          .fs = GUEST_USER_DS,
                          .gs = GUEST_USER_DS,
                          .kernel_gs_base = 0xffff888000005678,
                          .fs_base = 0x7fff00001234,
                          .gs_base = 0xffff900000001234,
                          .sysenter_cs = 0x33,
                          .sysenter_esp = 0x12345678,
                          .sysenter_eip = 0xffffffff81234567,
                          .gdtr = {.limit = 0x3f, .base = GUEST_GDT},
                          .idtr = {.limit = 0x4f, .base = GUEST_FREE}};
    if (guest_run(&v, v.mtd) != GUEST_HLT)
        tap_bail("%s, event 0x%x, RIP 0x%lx", guest_name(v.exit), v.event, v.state.rip);
    SAME(rflags & 0x8d5, 0x8d5 & v.state.rflags);
    SAME(cr2, 0xfedcba987);
    SAME(cr3, GUEST_TABLES | 0x18);
    SAME(cr4, 0x6a0);
    SAME(cr8, 9);
    SAME(dr7, 0x408);
    SAME(ds.sel, GUEST_DS);
    SAME(es.sel, 0);
    SAME(fs.sel, GUEST_USER_DS);
    SAME(fs.base, 0x7fff00001234);
    SAME(gs.base, 0xffff900000001234);
    SAME(kernel_gs_base, 0xffff888000005678);
    SAME(sysenter_cs, 0x33);
    SAME(sysenter_esp, 0x12345678);
    SAME(sysenter_eip, 0xffffffff81234567);
    SAME(gdtr.limit, 0x3f);
    SAME(gdtr.base, GUEST_GDT);
    SAME(idtr.limit, 0x4f);
    SAME(idtr.base, GUEST_FREE);
    tap_ok(ok, "the VMM sees what the guest has set");
    tap_ok(v.state.es.ar & 0x1000, "a null selector is unusable");
}

/* -- Values that the kernel does not accept, or changes -- */

static void invalid(const char *what, uint32_t mtd)
{
    tap_is((uint64_t)guest_skip(&v, 2, mtd), GUEST_INVALID, "invalid: %s", what);
    restart();
}

#define INVALID(bit, field, value) (v.state.field = (value), invalid(#field " = " #value, NOVA_MTD_##bit))

static void sanitised(void)
{
    restart();
    INVALID(XSAVE, xcr0, 0);
    INVALID(XSAVE, xcr0, 2);
    INVALID(XSAVE, xcr0, 5);
    INVALID(XSAVE, xcr0, 0x21);
    INVALID(XSAVE, xcr0, 1UL << 62 | 1);
    INVALID(XSAVE, xss, 0x100);
    INVALID(TSC, tsc_aux, 1UL << 32);
    INVALID(STA, actv_state, 4);
    INVALID(EFER, efer, 0xffffffff00000501);
    INVALID(CR, cr0, 0x180000031);
    INVALID(CR, cr4, 0x80000020);
    INVALID(CR, cr4, 0);

    v.state.efer = 0x1501; /* SVME */
    v.state.cr0 |= 0x60000000;
    tap_ok(next(NOVA_MTD_CR), "CR0.CD and CR0.NW are accepted");
    tap_is(v.state.cr0 & 0x60000000, 0x60000000, "and the VMM sees them");

    v.state.xcr0 = 3;
    next(NOVA_MTD_XSAVE);
    v.state.xcr0 = 0;
    tap_is((uint64_t)guest_skip(&v, 2, NOVA_MTD_XSAVE), GUEST_INVALID, "invalid: reported as such");
    tap_is(v.state.xcr0, 3, "invalid: the old value stays");
    tap_is(v.state.qual[0] | v.state.qual[1] | v.state.qual[2] | v.state.inst_len | v.state.vect_info, 0,
           "invalid: there are no qualifications");
    tap_is((uint64_t)guest_run(&v, 0), GUEST_CPUID, "invalid: the guest goes on");
}

/* On the way to long mode: LME, but not PAE. The host, in long mode itself, survives the exit. */
static void prepared(void)
{
    GUEST_LOAD(&g, cpuids);
    guest_real(&v, GUEST_CODE);
    v.state.efer = 0x100;
    v.state.cr4 = 0;
    tap_is((uint64_t)guest_run(&v, v.mtd), GUEST_CPUID, "EFER.LME without CR4.PAE");
    tap_is(v.state.efer, 0x100, "the VMM sees EFER.LME");
    tap_is((uint64_t)guest_skip(&v, 2, 0), GUEST_CPUID, "EFER.LME stays");
    tap_is(v.state.efer, 0x100, "the VMM still sees EFER.LME");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    (void)hip;
    (void)magic;
    (void)mbi;
    if (!guest_possible()) {
        tap_skip("no virtualization", "state of guests");
        return;
    }
    guest_create(&g);
    guest_cpu_create(&v, &g, sys.bsp, NOVA_EC_FPU);
    each_bit();
    no_bits();
    permit_msrs();
    stores();
    loads();
    sanitised();
    prepared();
    guest_cpu_destroy(&v);
    guest_destroy(&g);
}
