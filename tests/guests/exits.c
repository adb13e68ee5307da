/*
 * Guest test: instructions that leave the guest, and what must be the same as on the bare machine: values, flags of registers that
 * are not touched, faults.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/guest.h"

#define SCRATCH 0x3ff  /* scratch register of the UART: one byte that reads as it was written */
#define NOTHING 0x5678 /* a port of no device */
#define PATTERN 0x1122334455667788UL
#define CR0_CD 0x40000000UL
#define CR0_NW 0x20000000UL
#define CR0_PG 0x80000000UL
#define CR0_NE 0x20UL
#define CR4_PAE 0x20UL
#define CR4_OSXSAVE 0x40000UL
#define MSR_EFER 0xc0000080
#define MSR_PAT 0x277

static void test_cpuid(void)
{
    uint64_t rax = 0xffffffff00000000, rbx = ~0UL, rcx = 0xffffffff00000000, rdx = ~0UL;
    uint32_t out[4], again[4];

    __asm__ volatile("cpuid" : "+a"(rax), "+b"(rbx), "+c"(rcx), "+d"(rdx));
    tap_ok(!(rax >> 32 | rbx >> 32 | rcx >> 32 | rdx >> 32),
           "CPUID clears the upper halves of its registers");
    tap_ok(rax >= 1 && rax < 0x100, "CPUID: highest leaf");
    cpuid(1, 0, out);
    tap_is(out[1] >> 24, apic_id(), "CPUID: APIC id");
    tap_ok((out[3] & 0x06008011) == 0x06008011, "CPUID: FPU, TSC, CMOV, SSE, SSE2");
    cpuid(0x80000000, 0, out);
    tap_ok(out[0] >= 0x80000008 && out[0] < 0x80000100, "CPUID: highest extended leaf");
    cpuid(0x80000001, 0, out);
    tap_ok(out[3] & 1 << 29, "CPUID: 64-bit mode");
    cpuid(0x80000008, 0, out);
    tap_ok((out[0] & 0xff) >= 36 && (out[0] & 0xff) <= 52, "CPUID: width of physical addresses");
    cpuid(1, 0, out);
    for (unsigned i = 0; i < 1000; i++)
        cpuid(1, 0, again);
    tap_ok(out[0] == again[0] && out[1] == again[1] && out[2] == again[2] && out[3] == again[3],
           "CPUID: the same after 1000 times");
}

static void test_ports(void)
{
    uint64_t rax = PATTERN;

    outb(SCRATCH, 0x5a);
    __asm__ volatile("inb %%dx, %%al" : "+a"(rax) : "d"(SCRATCH));
    tap_is(rax, (PATTERN & ~0xffUL) | 0x5a, "IN of a byte leaves the rest of RAX alone");
    rax = PATTERN;
    __asm__ volatile("inw %%dx, %%ax" : "+a"(rax) : "d"(NOTHING));
    tap_is(rax, PATTERN | 0xffff, "IN of a word from no device");
    rax = PATTERN;
    __asm__ volatile("inl %%dx, %%eax" : "+a"(rax) : "d"(NOTHING));
    tap_is(rax, 0xffffffff, "IN of four bytes clears the upper half of RAX");
    __asm__ volatile("outb %%al, $0x70; inb $0x70, %%al"
                     : "+a"(rax)
                     :
                     : "memory"); /* port in the instruction */
    outl(NOTHING, 1);
    outw(NOTHING, 2);
    outb(NOTHING, 3);
    outb(SCRATCH, 0xa5);
    tap_is(inb(SCRATCH), 0xa5, "OUT and IN of the same byte");
}

static uint8_t buffer[8192] __attribute__((aligned(4096)));

static void test_strings(void)
{
    uint64_t rsi = (uint64_t)buffer, rdi, rcx = 5, fs = (uint64_t)buffer & ~0xfffUL;

    for (unsigned i = 0; i < sizeof buffer; i++)
        buffer[i] = (uint8_t)(i * 3 + 1);
    __asm__ volatile("rep outsb" : "+S"(rsi), "+c"(rcx) : "d"(SCRATCH) : "memory");
    tap_ok(rcx == 0 && rsi == (uint64_t)buffer + 5 && inb(SCRATCH) == buffer[4], "REP OUTSB");
    rcx = 0, rsi = 0x123;
    __asm__ volatile("rep outsb" : "+S"(rsi), "+c"(rcx) : "d"(SCRATCH) : "memory");
    tap_ok(rcx == 0 && rsi == 0x123, "REP OUTSB with RCX 0");
    rcx = 3, rsi = (uint64_t)buffer + 10;
    __asm__ volatile("std; rep outsb; cld" : "+S"(rsi), "+c"(rcx) : "d"(SCRATCH) : "memory", "cc");
    tap_ok(rcx == 0 && rsi == (uint64_t)buffer + 7 && inb(SCRATCH) == buffer[8], "REP OUTSB downwards");
    rcx = 0xabcd00000002, rsi = (uint64_t)buffer | 0x77700000000;
    __asm__ volatile("addr32 rep outsb" : "+S"(rsi), "+c"(rcx) : "d"(SCRATCH) : "memory");
    tap_ok(rcx == 0 && rsi == (uint64_t)buffer + 2 && inb(SCRATCH) == buffer[1],
           "REP OUTSB with 32-bit addresses");
    rsi = 0x20;
    try_wrmsr(0xc0000100, fs);
    __asm__ volatile("outsb %%fs:(%%rsi), %%dx" : "+S"(rsi) : "d"(SCRATCH) : "memory");
    tap_ok(rsi == 0x21 && inb(SCRATCH) == ((uint8_t *)fs)[0x20], "OUTSB with FS");
    outb(SCRATCH, 0x77);
    rdi = (uint64_t)buffer + 4090, rcx = 10;
    __asm__ volatile("rep insb" : "+D"(rdi), "+c"(rcx) : "d"(SCRATCH) : "memory");
    tap_ok(rcx == 0 && rdi == (uint64_t)buffer + 4100 && buffer[4089] != 0x77 && buffer[4090] == 0x77 &&
               buffer[4099] == 0x77 && buffer[4100] != 0x77,
           "REP INSB across pages");
    rdi = (uint64_t)buffer, rcx = 3;
    __asm__ volatile("rep insl" : "+D"(rdi), "+c"(rcx) : "d"(NOTHING) : "memory");
    tap_ok(rcx == 0 && rdi == (uint64_t)buffer + 12 && buffer[11] == 0xff && buffer[12] != 0xff, "REP INSL");
    rdi = (uint64_t)buffer + 4095;
    __asm__ volatile("insw" : "+D"(rdi) : "d"(NOTHING) : "memory");
    tap_ok(rdi == (uint64_t)buffer + 4097 && buffer[4095] == 0xff && buffer[4096] == 0xff,
           "INSW across pages");
    rsi = (uint64_t)buffer + 100, rcx = 3000;
    __asm__ volatile("rep outsw" : "+S"(rsi), "+c"(rcx) : "d"(NOTHING) : "memory");
    tap_ok(rcx == 0 && rsi == (uint64_t)buffer + 6100, "REP OUTSW, 3000 times");
}

/* A string that runs into a page that is not there stops at the fault, with the registers as far as it came. */
static void test_string_faults(void)
{
    uint64_t rdi, rsi, rcx, vector;

    map_page(WINDOW, (uint64_t)buffer, PAGE_PRESENT | PAGE_WRITE);
    map_page(WINDOW + 4096, 0, 0);
    outb(SCRATCH, 0x42);
    rdi = WINDOW + 4092, rcx = 8;
    vector = TRY("rep insb", OUTPUT("+D"(rdi), "+c"(rcx)), "d"(SCRATCH));
    tap_ok(vector == VECTOR_PF && cpu_self()->error == 2 && cpu_self()->cr2 == WINDOW + 4096,
           "REP INSB into a page that is not there: #PF");
    tap_ok(rcx == 4 && rdi == WINDOW + 4096 && buffer[4095] == 0x42,
           "... and the registers say how far it came");
    rsi = WINDOW + 4095, rcx = 2;
    vector = TRY("rep outsb", OUTPUT("+S"(rsi), "+c"(rcx)), "d"(SCRATCH));
    tap_ok(vector == VECTOR_PF && cpu_self()->error == 0 && rcx == 1 && rsi == WINDOW + 4096,
           "REP OUTSB from a page that is not there");
    map_page(WINDOW, (uint64_t)buffer, PAGE_PRESENT);
    rdi = WINDOW;
    vector = TRY("mov %%cr0, %%rax; bts $16, %%eax; mov %%rax, %%cr0; insb", OUTPUT("+D"(rdi)), "d"(SCRATCH),
                 "a"(0));
    tap_ok(vector == VECTOR_PF && cpu_self()->error == 3, "INSB into a read-only page");
    rsi = 0x800000000000;
    vector = TRY("outsb", OUTPUT("+S"(rsi)), "d"(SCRATCH));
    tap_ok(vector == VECTOR_GP && cpu_self()->error == 0, "OUTSB from an address that is not canonical: #GP");
}

static void test_msrs(void)
{
    static const uint32_t unknown[] = {0x12345, 0x2000, 0x40000200, 0x4b564dff, 0xc0001234, 0xffffffff};
    uint64_t value, efer = rdmsr(MSR_EFER), pat = rdmsr(MSR_PAT);

    for (unsigned i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        tap_is(try_rdmsr(unknown[i], &value), VECTOR_GP, "RDMSR 0x%x: #GP", unknown[i]);
        tap_is(try_wrmsr(unknown[i], 0), VECTOR_GP, "WRMSR 0x%x: #GP", unknown[i]);
    }
    tap_is(TRY("rdmsr", , "c"(0xabcd00000000 | MSR_EFER), "a"(0), "d"(0)), NO_FAULT, "RDMSR takes ECX only");
    tap_ok((efer & 0x500) == 0x500, "EFER has LME and LMA");
    tap_is(try_wrmsr(MSR_EFER, efer | 1UL << 40), VECTOR_GP, "EFER: reserved bit");
    tap_is(try_wrmsr(MSR_EFER, efer & ~0x100UL), VECTOR_GP, "EFER: LME cannot change while paging is on");
    try_wrmsr(MSR_EFER, efer);
    tap_is(rdmsr(MSR_EFER), efer, "EFER is as before");
    tap_is(try_wrmsr(MSR_EFER, efer ^ 1), NO_FAULT, "EFER: SCE can change");
    tap_is(rdmsr(MSR_EFER), efer ^ 1, "EFER reads as written");
    try_wrmsr(MSR_EFER, efer);
    tap_is(try_wrmsr(MSR_PAT, 0x0007040600070106), NO_FAULT, "PAT");
    tap_is(rdmsr(MSR_PAT), 0x0007040600070106, "PAT reads as written");
    tap_is(try_wrmsr(MSR_PAT, 0x0007040600070102), VECTOR_GP, "PAT: reserved type");
    try_wrmsr(MSR_PAT, pat);
    tap_is(try_wrmsr(0xc0000102, 0x0000800000000000), VECTOR_GP, "KERNEL_GS_BASE: not canonical");
    tap_is(try_wrmsr(0x175, 0xffff800000000000), NO_FAULT, "SYSENTER_ESP");
    tap_is(rdmsr(0x175), 0xffff800000000000, "SYSENTER_ESP reads as written");
    tap_is(try_wrmsr(0xc0000082, 0xffffffff80001234), NO_FAULT, "LSTAR");
    tap_is(rdmsr(0xc0000082), 0xffffffff80001234, "LSTAR reads as written");
    tap_ok((rdmsr(0x1b) & ~0x400UL) == (APIC_BASE | 0x900), "APIC_BASE: enabled, of the first CPU");
    tap_is(try_wrmsr(0x1b, rdmsr(0x1b) | 1UL << 60), VECTOR_GP, "APIC_BASE: reserved bit");
}

/* Writes a control register; a value that should have been refused does not stay. */
#define REFUSED(number, value, text)                                                                         \
    do {                                                                                                     \
        uint64_t old_ = READ_CR(number);                                                                     \
        uint64_t vector_ = TRY("mov %[new], %%cr" #number "\n\tmov %[old], %%cr" #number,                    \
                               , [new] "r"((uint64_t)(value)), [old] "r"(old_));                             \
        tap_is(vector_, VECTOR_GP, text);                                                                    \
    } while (0)

static void test_control_registers(void)
{
    uint64_t cr0 = READ_CR(0), cr4 = READ_CR(4), cr3 = READ_CR(3);

    REFUSED(0, cr0 & ~1UL, "CR0: PG without PE");
    REFUSED(0, (cr0 & ~CR0_CD) | CR0_NW, "CR0: NW without CD");
    REFUSED(0, cr0 | 1UL << 32, "CR0: reserved upper half");
    tap_is(READ_CR(0), cr0, "CR0 is as before");
    tap_is(TRY_CR(0, cr0 | CR0_CD), NO_FAULT, "CR0: CD");
    tap_is(READ_CR(0), cr0 | CR0_CD, "CR0 reads with CD");
    __asm__ volatile("wbinvd");
    TRY_CR(0, cr0 & ~CR0_NE);
    tap_is(READ_CR(0), cr0 & ~CR0_NE, "CR0 reads without NE");
    TRY_CR(0, cr0 | 8);
    tap_is(TRY("movaps %%xmm0, %%xmm1", , "a"(0)), 7, "CR0: with TS an SSE instruction is #NM");
    __asm__ volatile("clts");
    tap_is(READ_CR(0), cr0 & ~8UL, "CLTS");
    __asm__ volatile("lmsw %w0" : : "r"(cr0 | 8));
    tap_is(READ_CR(0), cr0 | 8, "LMSW sets TS");
    __asm__ volatile("lmsw %w0" : : "r"(0));
    tap_is(READ_CR(0) & 0xf, 1, "LMSW does not clear PE");
    TRY_CR(0, cr0);
    if (option("strict", 0)) { /* QEMU does not check these as it should, and hangs */
        REFUSED(4, cr4 & ~CR4_PAE, "CR4: PAE must stay in 64-bit mode");
        REFUSED(4, cr4 | 1UL << 31, "CR4: reserved bit");
        REFUSED(4, cr4 | 1UL << 40, "CR4: reserved upper half");
        REFUSED(3, cr3 | 1UL << 62, "CR3: reserved bit");
    }
    tap_is(TRY_CR(4, cr4 | 0x80), NO_FAULT, "CR4: PGE");
    tap_is(READ_CR(4), cr4 | 0x80, "CR4 reads as written");
    TRY_CR(4, cr4);
    REFUSED(8, 0x10, "CR8: reserved bit");
    tap_is(TRY_CR(8, 5), NO_FAULT, "CR8");
    tap_is(READ_CR(8), 5, "CR8 reads as written");
    tap_is(apic_read(APIC_TPR), 0x50, "CR8 is the task priority");
    TRY_CR(8, 0);
    __asm__ volatile("mov %0, %%cr2" : : "r"(PATTERN));
    cpuid(0, 0, (uint32_t[4]){0});
    tap_is(READ_CR(2), PATTERN, "CR2 survives an exit");
}

static uint64_t xsetbv(uint32_t index, uint64_t value)
{
    return TRY("xsetbv", , "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static void test_xsetbv(void)
{
    uint32_t out[4];
    uint64_t cr4 = READ_CR(4);

    cpuid(1, 0, out);
    if (!(out[2] & 1 << 26)) {
        tap_skip("no XSAVE", "XSETBV");
        return;
    }
    tap_is(xsetbv(0, 3), VECTOR_UD, "XSETBV without CR4.OSXSAVE: #UD");
    tap_ok(!(out[2] & 1 << 27), "CPUID says that OSXSAVE is off");
    TRY_CR(4, cr4 | CR4_OSXSAVE);
    cpuid(1, 0, out);
    tap_ok(out[2] & 1 << 27, "CPUID says that OSXSAVE is on");
    tap_is(xsetbv(0, 3), NO_FAULT, "XSETBV: x87 and SSE");
    cpuid(0xd, 0, out);
    tap_is(out[1], 576, "CPUID: size of that state");
    tap_is(xsetbv(0, 2), VECTOR_GP, "XSETBV: without x87");
    tap_is(xsetbv(0, 5), VECTOR_GP, "XSETBV: AVX without SSE");
    tap_is(xsetbv(0, 3 | 1UL << 62), VECTOR_GP, "XSETBV: reserved bit");
    tap_is(xsetbv(1, 3), VECTOR_GP, "XSETBV: register 1");
    tap_is(xsetbv(0xffffffff, 3), VECTOR_GP, "XSETBV: register 0xffffffff");
    if (out[0] & 4) {
        tap_is(xsetbv(0, 7), NO_FAULT, "XSETBV: AVX");
        cpuid(0xd, 0, out);
        tap_is(out[1], 832, "CPUID: size of the state with AVX");
    } else {
        tap_skip("no AVX", "XSETBV: AVX");
        tap_skip("no AVX", "CPUID: size of the state with AVX");
    }
    xsetbv(0, 1);
    TRY_CR(4, cr4);
}

static void test_instructions(void)
{
    uint64_t before = rdtsc(), now = before;
    bool backwards = false;

    for (unsigned i = 0; i < 10000; i++) {
        now = rdtsc();
        backwards |= now < before;
        before = now;
    }
    tap_ok(!backwards, "RDTSC does not run backwards");
    tap_is(TRY("invlpg (%[a])", , [a] "r"(0x800000000000UL)), NO_FAULT,
           "INVLPG of an address that is not canonical");
    tap_is(TRY("invlpg (%[a])", , [a] "r"(0x7f0000000000UL)), NO_FAULT,
           "INVLPG of an address that is not mapped");
    tap_is(TRY("vmrun", , "a"(0)), VECTOR_UD, "VMRUN: #UD");
    tap_is(TRY("vmload", , "a"(0)), VECTOR_UD, "VMLOAD: #UD");
    tap_is(TRY("stgi", , "a"(0)), VECTOR_UD, "STGI: #UD");
    tap_is(TRY("clgi", , "a"(0)), VECTOR_UD, "CLGI: #UD");
    tap_is(TRY("vmxoff", , "a"(0)), VECTOR_UD, "VMXOFF: #UD");
    tap_is(TRY("vmread %%rax, %%rax", , "a"(0)), VECTOR_UD, "VMREAD: #UD");
    tap_is(TRY("ud2", , "a"(0)), VECTOR_UD, "UD2: #UD");
    tap_is(TRY("lock; mov %%eax, (%%rsp)", , "a"(0)), VECTOR_UD, "LOCK MOV: #UD");
    tap_is(TRY("int3", , "a"(0)), VECTOR_BP, "INT3");
    for (unsigned i = 0; i < 1000; i++)
        __builtin_ia32_pause();
    __asm__ volatile("wbinvd");
    tap_ok(true, "PAUSE and WBINVD");
}

/* The FPU's registers belong to the guest, whatever happens in an exit. */
static void test_fpu(void)
{
    static uint8_t values[256], before[512] __attribute__((aligned(16))),
        after[512] __attribute__((aligned(16)));
    uint32_t mxcsr = 0x1f80 | 0x6000;
    bool same = true;

    __asm__ volatile("fninit; fldpi; fld1; ldmxcsr %0" : : "m"(mxcsr));
    for (unsigned i = 0; i < 256; i++)
        values[i] = (uint8_t)(i ^ 0x5a);
#define LOAD(n) "movups " #n "*16(%0), %%xmm" #n "\n"
    __asm__ volatile(LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD(8) LOAD(9) LOAD(10)
                         LOAD(11) LOAD(12) LOAD(13) LOAD(14) LOAD(15)
                     :
                     : "r"(values)
                     : "memory");
    __asm__ volatile("fxsave %0" : "=m"(before));
    for (unsigned i = 0; i < 200; i++) {
        uint32_t out[4];

        cpuid(0, 0, out);
        outb(SCRATCH, (uint8_t)i);
        inb(NOTHING);
        apic_read(APIC_VERSION);
        apic_write(APIC_TPR, 0);
        same &= inb(SCRATCH) == (uint8_t)i;
    }
    __asm__ volatile("fxsave %0" : "=m"(after));
    for (unsigned i = 0; i < 416; i++)
        same &= before[i] == after[i] || (i >= 8 && i < 24); /* these say where an x87 instruction was last */
    tap_ok(same, "x87, MXCSR and XMM registers survive exits");
}

/* Breakpoints of the guest. */
static void test_debug(void)
{
    static volatile uint64_t watched;
    uint64_t dr7, vector;

    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr7" : : "r"(&watched), "r"(0xd0702UL)); /* 4 bytes, writes */
    cpuid(0, 0, (uint32_t[4]){0});
    inb(NOTHING);
    __asm__ volatile("mov %%dr7, %0" : "=r"(dr7));
    tap_is(dr7, 0xd0702, "DR7 survives exits");
    vector = TRY("movl $1, (%[a])", , [a] "r"(&watched));
    tap_ok(vector == VECTOR_DB && (cpu_self()->dr6 & 0xf) == 1, "a data breakpoint");
    __asm__ volatile("mov %0, %%dr6; mov %1, %%dr7" : : "r"(0xffff0ff0UL), "r"(0x400UL));
    tap_is(TRY("mov %[v], %%dr7", , [v] "r"(1UL << 32)), VECTOR_GP, "DR7: reserved upper half");
    tap_is(TRY("mov %[v], %%dr7", , [v] "r"(0x2400UL)), NO_FAULT, "DR7: general detect");
    tap_is(TRY("mov %%dr0, %%rax", , "a"(0)), VECTOR_DB, "... faults at the next access");
    tap_ok(cpu_self()->dr6 & 1 << 13, "... and DR6 says so");
    __asm__ volatile("mov %0, %%dr6; mov %1, %%dr7" : : "r"(0xffff0ff0UL), "r"(0x400UL));
}

void test(void)
{
    apic_enable();
    test_cpuid();
    test_ports();
    test_strings();
    test_string_faults();
    test_msrs();
    test_control_registers();
    test_xsetbv();
    test_instructions();
    test_fpu();
    test_debug();
}
