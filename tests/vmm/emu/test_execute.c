/*
 * Executor: what the processor of this machine cannot show. Devices, operands across pages, hints of the
 * exit, ports and their permissions, real mode, long string instructions, other vCPUs, fetch.
 *
 * Sources: emu/cache.c emu/decode.c emu/execute.c emu/memory.c emu/string.c emu/walk.c
 *
 * SPDX-License-Identifier: MIT
 */

#include "guest.h"

/* Guest-physical pages of the code and the data; in 64-bit mode tables map the region at LINEAR. */
#define CODE 0x10000U
#define DATA 0x20000U
#define LINEAR 0x7fff80000000ULL
#define AT(page) (LINEAR + (page) * (uint64_t)PAGE)

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

static struct nova_arch_state state, before;
static struct emu emu;

static void start(void)
{
    memset(&guest, 0, sizeof(guest));
    memset(&state, 0, sizeof(state));
    emu = (struct emu){.state = &state, .ops = &guest_ops, .context = &guest};
}

static const struct nova_segment flat = {.sel = 8, .ar = 0xc93, .limit = 0xffffffff};

/* 64-bit code, CPL 0. Pages from LINEAR: 0 code, 1 RAM, 2 device, 3 RAM, 4 absent, 5 device, 6 RAM,
 * read-only. */
static void start_64(void)
{
    start();
    state.cr0 = 0x80010031;
    state.cr3 = 0x1000;
    state.cr4 = 0x20;
    state.efer = 0x500;
    state.rflags = 2;
    state.cs = (struct nova_segment){.sel = 8, .ar = 0xa9b, .limit = 0xffffffff};
    state.ss = state.ds = state.es = flat;
    state.rip = LINEAR;
    state.gpr[RSP] = AT(1) + 0x800;
    guest_put(0x1000 + (LINEAR >> 39 & 511) * 8, 0x2007);
    guest_put(0x2000 + (LINEAR >> 30 & 511) * 8, 0x3007);
    guest_put(0x3000 + (LINEAR >> 21 & 511) * 8, 0x4007);
    guest_put(0x4000, CODE | 7);
    guest_put(0x4008, DATA | 7);
    guest_put(0x4010, GUEST_DEVICE | 7);
    guest_put(0x4018, 0x30000 | 7);
    guest_put(0x4028, (GUEST_DEVICE + 0x1000) | 7);
    guest_put(0x4030, 0x31000 | 5);
}

static void start_real(void)
{
    start();
    state.cr0 = 0x10;
    state.rflags = 2;
    state.cs = (struct nova_segment){.sel = CODE >> 4, .ar = 0x9b, .limit = 0xffff, .base = CODE};
    state.ss = state.ds = state.es =
        (struct nova_segment){.sel = DATA >> 4, .ar = 0x93, .limit = 0xffff, .base = DATA};
}

static enum emu_result run_bytes(const uint8_t *bytes, size_t count)
{
    uint64_t at = CODE + (state.rip & 0x1ffff);

    memcpy(guest.ram + at, bytes, count);
    emu.available = 0;
    before = state;
    return emu_run(&emu);
}

#define RUN(...) run_bytes((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static bool unchanged(void)
{
    return !memcmp(&before, &state, sizeof(state));
}

static bool faulted(enum emu_result result, unsigned vector, uint32_t error, uint64_t cr2)
{
    return result == EMU_FAULT && emu.fault.vector == vector && emu.fault.error == error &&
           emu.fault.cr2 == cr2 && unchanged();
}

static void put(uint64_t gpa, uint64_t value, unsigned bytes)
{
    memcpy((gpa >= GUEST_DEVICE ? guest.device + (gpa - GUEST_DEVICE) : guest.ram + gpa), &value, bytes);
}

static uint64_t get(uint64_t gpa, unsigned bytes)
{
    uint64_t value = 0;

    memcpy(&value, (gpa >= GUEST_DEVICE ? guest.device + (gpa - GUEST_DEVICE) : guest.ram + gpa), bytes);
    return value;
}

static void device_accesses(void)
{
    start_64();
    put(GUEST_DEVICE + 0x20, 0x8877665544332211, 8);
    state.gpr[RDI] = AT(2) + 0x20;
    CHECK(RUN(0x8b, 0x07) == EMU_DONE && state.gpr[RAX] == 0x44332211); /* mov eax, [rdi] */
    CHECK(guest.reads == 1 && guest.last_bytes == 4 && guest.last_gpa == GUEST_DEVICE + 0x20);
    CHECK(state.rip == LINEAR + 2);
    CHECK(RUN(0x48, 0x8b, 0x07) == EMU_DONE && state.gpr[RAX] == 0x8877665544332211);
    CHECK(guest.reads == 2 && guest.last_bytes == 8);
    state.gpr[RAX] = 0x1234;
    CHECK(RUN(0x66, 0x89, 0x47, 0x02) == EMU_DONE &&
          get(GUEST_DEVICE + 0x22, 2) == 0x1234); /* mov [rdi + 2], ax */
    CHECK(guest.writes == 1 && guest.last_bytes == 2 && guest.last_value == 0x1234);
    CHECK(RUN(0x83, 0x4f, 0x04, 0x80) == EMU_DONE &&
          get(GUEST_DEVICE + 0x24, 4) == 0xffffffd5); /* or [rdi + 4], -128 */
    CHECK(guest.reads == 3 && guest.writes == 2);
    CHECK(RUN(0x83, 0x7f, 0x04, 0x00) == EMU_DONE && guest.reads == 4 && guest.writes == 2); /* cmp */
    CHECK(RUN(0xc7, 0x07, 1, 2, 3, 4) == EMU_DONE && guest.reads == 4 &&
          guest.writes == 3); /* mov: no read */
    state.gpr[RAX] = 5;
    CHECK(RUN(0xf0, 0x0f, 0xb1, 0x0f) == EMU_DONE &&
          state.gpr[RAX] == 0x04030201); /* lock cmpxchg: writes in any case */
    CHECK(guest.reads == 5 && guest.writes == 4 && guest.last_value == 0x04030201);
    ok_checks("sizes and order of accesses to devices");
}

static void split_accesses(void)
{
    start_64();
    state.gpr[RDI] = AT(2) + 0x21;
    state.gpr[RAX] = 0x8877665544332211;
    CHECK(RUN(0x48, 0x89, 0x07) == EMU_DONE && guest.writes == 4); /* 1 + 2 + 4 + 1, aligned: see guest.h */
    CHECK(get(GUEST_DEVICE + 0x21, 8) == state.gpr[RAX]);
    CHECK(RUN(0x48, 0x8b, 0x0f) == EMU_DONE && state.gpr[RCX] == state.gpr[RAX] && guest.reads == 4);

    state.gpr[RDI] = AT(2) - 3;                                    /* RAM, then the device */
    CHECK(RUN(0x48, 0x89, 0x07) == EMU_DONE && guest.writes == 6); /* 4 + 1 */
    CHECK(get(DATA + PAGE - 3, 3) == 0x332211 && get(GUEST_DEVICE, 5) == 0x8877665544);
    CHECK(RUN(0x48, 0x8b, 0x0f) == EMU_DONE && state.gpr[RCX] == state.gpr[RAX]);
    state.gpr[RDI] = AT(3) - 1; /* the device, then RAM */
    CHECK(RUN(0x66, 0x01, 0x07) == EMU_DONE && get(GUEST_DEVICE + PAGE - 1, 1) == 0x11 &&
          get(0x30000, 1) == 0x22);

    guest.reads = guest.writes = 0;
    state.gpr[RDI] = AT(6) - 2; /* the device, then a page that is read-only */
    CHECK(faulted(RUN(0x01, 0x07), 14, 3, AT(6)));
    state.gpr[RDI] = AT(4) - 1;
    CHECK(faulted(RUN(0x01, 0x07), 14, 2, AT(4)));
    state.gpr[RDI] = AT(5) - 1;
    CHECK(faulted(RUN(0x01, 0x07), 14, 2, AT(5) - 1));
    CHECK(!guest.reads && !guest.writes && get(0x30000 + PAGE - 1, 1) == 0);
    ok_checks("operands that are not aligned, or in two pages");
}

static void hints(void)
{
    start_64();
    put(GUEST_DEVICE + 0x20, 0x11223344, 4);
    state.gpr[RDI] = AT(4) + 0x20; /* the tables would fault */
    emu.hint = EMU_HINT_READ;
    emu.hint_gpa = GUEST_DEVICE + 0x20;
    CHECK(RUN(0x8b, 0x07) == EMU_DONE && state.gpr[RAX] == 0x11223344);
    CHECK(faulted(RUN(0x89, 0x07), 14, 2, AT(4) + 0x20)); /* a read says nothing of a write */
    CHECK(faulted(RUN(0x01, 0x07), 14, 2, AT(4) + 0x20));
    CHECK(faulted(RUN(0x8b, 0x47, 4), 14, 0, AT(4) + 0x24)); /* another address */
    emu.hint = EMU_HINT_WRITE;
    CHECK(RUN(0x01, 0x07) == EMU_DONE && get(GUEST_DEVICE + 0x20, 4) == 0x22446688);
    CHECK(faulted(RUN(0x8b, 0x07), 14, 0, AT(4) + 0x20));
    state.gpr[RSP] = AT(1) + 0x20;
    CHECK(faulted(RUN(0x8f, 0x07), 14, 2, AT(4) + 0x20)); /* pop [rdi]: which of its operands? */
    emu.hint = EMU_HINT_WRITE;
    CHECK(faulted(RUN(0xa4), 14, 0, 0)); /* movsb */
    emu.hint = EMU_HINT_WRITE;
    state.gpr[RDI] = AT(5) - 2; /* one page is known, the operand is in two */
    emu.hint_gpa = GUEST_DEVICE + PAGE - 2;
    CHECK(faulted(RUN(0x89, 0x07), 14, 2, AT(5) - 2));
    ok_checks("hints of the exit are used for what they say, and no more");
}

static void long_strings(void)
{
    start_64();
    state.gpr[RDI] = AT(2);
    state.gpr[RCX] = 600;
    state.gpr[RAX] = 0xa5;
    state.rflags |= 1U << 16;
    CHECK(RUN(0xf3, 0xaa) == EMU_AGAIN && state.gpr[RCX] == 344 && state.gpr[RDI] == AT(2) + 256 &&
          state.rip == LINEAR);
    CHECK(RUN(0xf3, 0xaa) == EMU_AGAIN && RUN(0xf3, 0xaa) == EMU_DONE);
    CHECK(state.gpr[RCX] == 0 && guest.writes == 600 && state.rip == LINEAR + 2);
    CHECK(state.rflags == 2); /* RF is over */

    start_64();
    state.gpr[RDI] = AT(4) - 12; /* two of four fit */
    state.gpr[RSI] = AT(1);
    state.gpr[RCX] = 4;
    put(DATA, 0x1111111122222222, 8);
    put(DATA + 8, 0x3333333344444444, 8);
    CHECK(RUN(0xf3, 0xa5) == EMU_FAULT && emu.fault.cr2 == AT(4) && emu.fault.error == 2);
    CHECK(state.gpr[RCX] == 1 && state.gpr[RDI] == AT(4) && state.gpr[RSI] == AT(1) + 12 &&
          state.rip == LINEAR);
    CHECK(get(0x31000 - 4, 4) == 0x44444444);

    start_64();
    state.rflags |= 1U << 8; /* single step: one iteration */
    state.gpr[RDI] = AT(1);
    state.gpr[RCX] = 3;
    CHECK(RUN(0xf3, 0xaa) == EMU_AGAIN && state.gpr[RCX] == 2 && emu.step);
    emu.step = false;
    CHECK(RUN(0x90 + 1) == EMU_DONE && emu.step);
    ok_checks("string instructions stop in time, at faults, at every step");
}

static void ports(void)
{
    start_64();
    state.gpr[RAX] = UINT64_MAX;
    state.gpr[RDX] = 0xabc0064;
    CHECK(RUN(0xe4, 0xf0) == EMU_DONE && guest.last_port == 0xf0 && guest.last_bytes == 1);
    CHECK(state.gpr[RAX] == 0xffffffffffffff01);
    CHECK(RUN(0xed) == EMU_DONE && guest.last_port == 0x64 && guest.last_bytes == 4 &&
          state.gpr[RAX] == 0x55667702);
    CHECK(RUN(0x48, 0xed) == EMU_DONE && guest.last_bytes == 4);
    CHECK(RUN(0x66, 0xed) == EMU_DONE && guest.last_bytes == 2 && state.gpr[RAX] == 0x55667704);
    CHECK(RUN(0xe7, 0x80) == EMU_DONE && guest.last_port == 0x80 && guest.last_value == 0x55667704 &&
          guest.outs == 1);
    CHECK(RUN(0xee) == EMU_DONE && guest.last_port == 0x64 && guest.last_value == 4 && guest.last_bytes == 1);

    state.gpr[RDI] = AT(1) + 0x10;
    state.gpr[RCX] = 3;
    guest.ins = 0;
    CHECK(RUN(0xf3, 0x66, 0x6d) == EMU_DONE && guest.ins == 3 && get(DATA + 0x10, 6) == 0x770377027701);
    CHECK(state.gpr[RDI] == AT(1) + 0x16 && state.gpr[RCX] == 0);
    state.gpr[RSI] = AT(1) + 0x14;
    state.gpr[RCX] = 2;
    state.rflags |= 1U << 10;
    CHECK(RUN(0xf3, 0x66, 0x6f) == EMU_DONE && guest.last_value == 0x7702 && state.gpr[RSI] == AT(1) + 0x10);
    state.gpr[RDI] = AT(4);
    guest.ins = 0;
    CHECK(faulted(RUN(0x6c), 14, 2, AT(4)) && !guest.ins); /* the port is not read in vain */
    ok_checks("ports, and strings of them");
}

/* Where a process has IOPL 0, the TSS decides. */
static void port_permissions(void)
{
    start_64();
    state.ss.ar |= 3 << 5;
    state.tr = (struct nova_segment){.sel = 0x40, .ar = 0x8b, .limit = 0x67 + 33, .base = AT(3) - 0x67};
    put(DATA, 0, 8);
    memset(guest.ram + 0x30000, 0xff, 64);
    guest_put(0x4010, 0x32003); /* the TSS is in two pages of the system */
    guest_put(0x4018, 0x30003);
    put(0x32000 + PAGE - 1, 0x68, 1); /* offset of the map: 0x68, that is, linear AT(3) + 1 */
    put(0x30000, 0, 1);
    put(0x30001, 0xff, 1);
    put(0x30002, 0xf0, 1);
    state.gpr[RDX] = 8;
    CHECK(RUN(0xec) == EMU_DONE && guest.last_port == 8);
    CHECK(RUN(0xed) == EMU_DONE); /* 8 to 11 */
    state.gpr[RDX] = 9;
    CHECK(faulted(RUN(0xed), 13, 0, 0)); /* 9 to 12 */
    CHECK(RUN(0x66, 0xed) == EMU_DONE);
    state.gpr[RDX] = 7;
    CHECK(faulted(RUN(0xec), 13, 0, 0));
    CHECK(faulted(RUN(0x6e), 13, 0, 0));
    state.gpr[RDX] = 0x100; /* just beyond the limit */
    put(0x30000 + 1 + 0x20, 0, 2);
    CHECK(faulted(RUN(0xec), 13, 0, 0));
    state.tr.limit++;
    CHECK(RUN(0xec) == EMU_DONE);
    state.tr.ar = 0x83; /* not a TSS of 32 bits */
    CHECK(faulted(RUN(0xec), 13, 0, 0));
    state.rflags |= 3 << 12; /* IOPL 3 */
    CHECK(RUN(0xec) == EMU_DONE);
    state.rflags &= ~(3ULL << 12);
    state.ss.ar &= (uint16_t) ~(3 << 5);
    CHECK(RUN(0xec) == EMU_DONE);
    guest.ins = 0;
    state.ss.ar |= 3 << 5;
    state.tr.ar = 0x8b;
    state.tr.base = AT(4);
    CHECK(faulted(RUN(0xec), 14, 0, AT(4) + 0x66) &&
          !guest.ins); /* an access of the system, not of the user */
    ok_checks("permission to use ports");
}

static void real_mode(void)
{
    start_real();
    put(DATA + 0x1234, 0xbeef, 2);
    state.gpr[RBX] = 0xffff1000;
    state.gpr[RSI] = 0x234;
    CHECK(RUN(0x8b, 0x00) == EMU_DONE && state.gpr[RAX] == 0xbeef && state.rip == 2); /* mov ax, [bx + si] */
    CHECK(RUN(0x66, 0x8b, 0x00) == EMU_DONE && state.gpr[RAX] == 0xbeef);
    state.gpr[RBX] = 0xffff;
    state.gpr[RSI] = 0;
    CHECK(faulted(RUN(0x8b, 0x00), 13, 0, 0) && !emu.fault.has_error);
    state.gpr[RBP] = 0xffff;
    CHECK(faulted(RUN(0x8b, 0x46, 0x00), 12, 0, 0) && !emu.fault.has_error); /* mov ax, [bp] */
    state.gpr[RBX] = 0x10000;
    CHECK(faulted(RUN(0x67, 0x8b, 0x03), 13, 0, 0)); /* mov ax, [ebx] */
    state.ds.ar = 0x91;                              /* types do not count here */
    state.gpr[RBX] = 0x10;
    CHECK(RUN(0x89, 0x07) == EMU_DONE);
    state.gpr[RCX] = 0x50002;
    state.gpr[RDI] = 0x7fffe;
    state.gpr[RAX] = 0x77;
    CHECK(RUN(0xf3, 0xaa) == EMU_DONE && state.gpr[RDI] == 0x70000 && state.gpr[RCX] == 0x50000);
    CHECK(get(DATA + 0xfffe, 2) == 0x7777);
    state.gpr[RSP] = 0x90000;
    CHECK(RUN(0x50) == EMU_DONE && state.gpr[RSP] == 0x9fffe); /* push ax */
    state.rip = 0xffff;
    CHECK(RUN(0x50, 0x50) == EMU_DONE && state.rip == 0x10000);
    CHECK(faulted(RUN(0x50), 13, 0, 0) && !emu.fault.has_error);
    ok_checks("real mode");

    start_real();
    state.cr0 |= 1;
    state.rflags |= 1U << 17; /* virtual 8086 mode: errors have codes, ports need permission */
    state.ss.ar = state.ds.ar = state.es.ar = 0xf3;
    state.gpr[RBX] = 0xffff;
    CHECK(faulted(RUN(0x8b, 0x07), 13, 0, 0) && emu.fault.has_error);
    state.rflags |= 3U << 12;
    CHECK(faulted(RUN(0xec), 13, 0, 0));
    ok_checks("virtual 8086 mode");
}

/* Another vCPU writes to the operand; only the first time, or always. */
static unsigned interferences;

static void interfere(uint64_t gpa)
{
    /* Looked up for the load, then for the store. */
    if (gpa == DATA + 8 && interferences) {
        interferences--;
        put(DATA + 8, get(DATA + 8, 4) + 0x100, 4);
    }
}

static void atomicity(void)
{
    start_64();
    state.gpr[RDI] = AT(1) + 8;
    put(DATA + 8, 1, 4);
    interferences = 2;
    guest.on_ram = interfere;
    CHECK(RUN(0xf0, 0x83, 0x07, 0x10) == EMU_DONE && get(DATA + 8, 4) == 0x211); /* nothing is lost */
    interferences = 1000000;
    CHECK(RUN(0xf0, 0x83, 0x07, 0x10) == EMU_AGAIN && unchanged());
    CHECK((get(DATA + 8, 4) & 0xff) == 0x11 && interferences > 100000);
    guest.on_ram = NULL;
    ok_checks("changes of RAM are atomic, and do not wait for other vCPUs for ever");
}

static void fetch(void)
{
    static const uint8_t prefixes[16] = {0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e,
                                         0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x90, 0x90};

    start_64();
    guest_put(0x4000, CODE | 7);
    guest_put(0x4008, (CODE + PAGE) | 7);
    state.rip = AT(1) - 3;
    CHECK(RUN(0x48, 0xc7, 0xc0, 1, 2, 3, 4) == EMU_DONE && state.gpr[RAX] == 0x04030201 &&
          state.rip == AT(1) + 4);
    guest_put(0x4008, 0);
    state.rip = AT(1) - 3;
    CHECK(faulted(RUN(0x48, 0xc7, 0xc0, 1, 2, 3, 4), 14, 0, AT(1)));
    state.efer |= 1U << 11; /* with NXE, error codes tell fetches */
    CHECK(faulted(RUN(0x48, 0xc7, 0xc0, 1, 2, 3, 4), 14, 0x10, AT(1)));
    CHECK(RUN(0x48, 0x01, 0xc0) == EMU_DONE && state.rip == AT(1)); /* the next page is not touched */
    guest_put(0x4000, 1ULL << 63 | CODE | 7);
    state.rip = LINEAR;
    CHECK(faulted(RUN(0x50), 14, 0x11, LINEAR));
    guest_put(0x4000, GUEST_DEVICE | 7);
    CHECK(RUN(0x50) == EMU_UNSUPPORTED && unchanged());
    guest_put(0x4000, CODE | 7);
    state.rip = 1ULL << 63 | LINEAR;
    CHECK(faulted(RUN(0x50), 13, 0, 0));
    state.rip = LINEAR;
    CHECK(run_bytes(prefixes, 16) == EMU_UNSUPPORTED &&
          emu.insn.length == 15); /* NOP is for the length only */
    memset(guest.ram + CODE, 0x2e, 16);
    CHECK(faulted(RUN(0x2e), 13, 0, 0));

    start_64();
    emu.bytes[0] = 0x8b; /* as decode assists have them: memory is not looked at */
    emu.bytes[1] = 0x07;
    emu.available = 2;
    state.gpr[RDI] = AT(1);
    put(DATA, 0x77, 4);
    CHECK(emu_run(&emu) == EMU_DONE && state.gpr[RAX] == 0x77);

    start_64(); /* 32-bit code in a segment that begins before the code and ends in it */
    state.cs = (struct nova_segment){.sel = 8, .ar = 0x49b, .limit = 0x101, .base = 0x80000000 - 0x100};
    state.cr0 = 0x11;
    state.rip = 0x100;
    CHECK(RUN(0x50) == EMU_UNSUPPORTED); /* no RAM there */
    state.cs.base = CODE - 0x100;
    memcpy(guest.ram + CODE, "\x40\x01\xc0", 3); /* INC EAX; ADD EAX, EAX */
    emu.available = 0;
    CHECK(emu_run(&emu) == EMU_DONE && state.rip == 0x101);
    emu.available = 0;
    CHECK(emu_run(&emu) == EMU_FAULT && emu.fault.vector == 13); /* its second byte is beyond the limit */
    state.rip = 0x102;
    emu.available = 0;
    CHECK(emu_run(&emu) == EMU_FAULT && emu.fault.vector == 13);
    state.cs.ar = 0x497; /* no CPU would have it so: data, expanding down */
    state.rip = 0x101;
    emu.available = 0;
    CHECK(emu_run(&emu) == EMU_FAULT && emu.fault.vector == 13);
    state.rip = 0x102;
    emu.available = 0;
    CHECK(emu_run(&emu) == EMU_FAULT && emu.fault.vector == 13);
    ok_checks("fetch");
}

static void others(void)
{
    start_64();
    state.intr_state = 0xb;
    CHECK(RUN(0x48, 0x01, 0xc0) == EMU_DONE && state.intr_state == 8);
    state.intr_state = 3;
    state.gpr[RDI] = AT(4);
    CHECK(faulted(RUN(0x89, 0x07), 14, 2, AT(4)));
    CHECK(RUN(0x0f, 0xa2) == EMU_UNSUPPORTED && unchanged() && emu.insn.length == 2);
    CHECK(RUN(0x0f, 0x58, 0x07) == EMU_UNSUPPORTED && unchanged() && emu.available >= 3);
    CHECK(faulted(RUN(0xf0, 0x89, 0x07), 6, 0, 0) && !emu.fault.has_error);
    state.gpr[RBP] = 1ULL << 63;
    CHECK(faulted(RUN(0x89, 0x45, 0x00), 12, 0, 0) && emu.fault.has_error);
    CHECK(faulted(RUN(0x65, 0x89, 0x45, 0x00), 13, 0, 0) && emu.fault.has_error);
    state.gpr[RBP] = 0xff0000000000; /* canonical with 57 bits */
    CHECK(faulted(RUN(0x89, 0x45, 0x00), 12, 0, 0));
    put(0x1000 + 0x800, 0, 8);
    state.cr3 = 0x7000; /* five levels: the fifth leads to the same four */
    state.cr4 |= 1U << 12;
    guest_put(0x7000, 0x1007);
    state.rip = LINEAR & 0xffffffffffff;
    CHECK(emu_mode(&state) == 8);
    CHECK(RUN(0x89, 0x45, 0x00) == EMU_FAULT && emu.fault.vector == 14 && emu.fault.cr2 == 0xff0000000000);
    state.gpr[RAX] = 1;
    state.gpr[RCX] = 0x2222222222222222;
    CHECK(RUN(0x0f, 0xb1, 0xd1) == EMU_DONE && state.gpr[RCX] == 0x2222222222222222); /* cmpxchg ecx, edx */
    CHECK(state.gpr[RAX] == 0x22222222);
    ok_checks("interrupt shadow, what is not emulated, stack faults, 57 bits");
}

/* SMAP and CPL apply to operands as the tables say. */
static void rights(void)
{
    start_64();
    state.gpr[RDI] = AT(1);
    state.cr4 |= 1U << 21;
    guest_put(0x4000, CODE | 3);
    CHECK(faulted(RUN(0x89, 0x07), 14, 3, AT(1)));
    state.rflags |= 1U << 18;
    CHECK(RUN(0x89, 0x07) == EMU_DONE);
    state.ss.ar |= 3 << 5;
    CHECK(faulted(RUN(0x89, 0x07), 14, 5, state.rip)); /* the user cannot fetch there */
    guest_put(0x4000, CODE | 7);
    guest_put(0x4008, DATA | 3);
    CHECK(faulted(RUN(0x89, 0x07), 14, 7, AT(1)));
    CHECK(faulted(RUN(0x8b, 0x07), 14, 5, AT(1)));
    guest_put(0x4008, DATA | 7);
    state.gpr[RDI] = AT(1) + 1;
    CHECK(RUN(0x89, 0x07) == EMU_DONE);
    state.cr0 |= 1U << 18; /* AM, and AC is set */
    CHECK(faulted(RUN(0x89, 0x07), 17, 0, 0) && emu.fault.has_error);
    CHECK(RUN(0x88, 0x07) == EMU_DONE);
    state.ss.ar &= (uint16_t)~0x60;
    CHECK(RUN(0x89, 0x07) == EMU_DONE);
    ok_checks("rights to operands");
}

static struct emu_cache cache;
static unsigned code_reads;

static void count_code(uint64_t gpa)
{
    code_reads += gpa >= CODE && gpa < CODE + PAGE;
}

/* Runs what is in memory, with the cache. */
static enum emu_result again(void)
{
    emu.available = 0;
    state.rip = LINEAR;
    before = state;
    return emu_run(&emu);
}

/* Everything that decides on the instruction is looked at, every time. */
static void cached(void)
{
    start_64();
    memset(&cache, 0, sizeof(cache));
    emu.cache = &cache;
    guest.on_ram = count_code;
    state.gpr[RAX] = 1;
    state.efer |= 1U << 11;
    CHECK(RUN(0x48, 0x01, 0xc0) == EMU_DONE && state.gpr[RAX] == 2 && code_reads == 1);
    CHECK(again() == EMU_DONE && state.gpr[RAX] == 4 && code_reads == 1 && state.rip == LINEAR + 3);
    CHECK(emu.available == 3 && emu.bytes[0] == 0x48 && emu.bytes[2] == 0xc0);
    CHECK(emu_find(&cache, LINEAR)->insn.op == EMU_ADD && emu_find(&cache, LINEAR)->cr3 == 0x1000);
    CHECK(!emu_find(&cache, LINEAR + 3) && !emu_find(&cache, LINEAR + ((uint64_t)EMU_CACHE << 6)));
    guest.ram[CODE + 3] = 0x77; /* behind it */
    CHECK(again() == EMU_DONE && state.gpr[RAX] == 8 && code_reads == 1);
    guest.ram[CODE + 1] = 0x29; /* SUB */
    CHECK(!emu_find(&cache, LINEAR));
    CHECK(again() == EMU_DONE && state.gpr[RAX] == 0 && code_reads == 2);
    CHECK(again() == EMU_DONE && code_reads == 2);
    guest_put(0x4000, (CODE | 7) + 0x200); /* not accessed any more */
    CHECK(again() == EMU_DONE && code_reads == 3 && guest.ram[0x4000] == 0x27);
    guest_put(0x4000, 0x14007); /* another page, with ADD [rax], al */
    CHECK(faulted(again(), 14, 2, 0));
    guest_put(0x4000, CODE | 0x27);
    CHECK(again() == EMU_DONE);
    guest_put(0x2000 + (LINEAR >> 30 & 511) * 8, 0);
    CHECK(!emu_find(&cache, LINEAR));
    CHECK(faulted(again(), 14, 0x10, LINEAR));
    guest_put(0x2000 + (LINEAR >> 30 & 511) * 8, 0x3027);
    code_reads = 0;
    CHECK(again() == EMU_DONE && code_reads == 0);
    state.cr4 |= 1U << 20; /* SMEP */
    CHECK(faulted(again(), 14, 0x11, LINEAR));
    state.ss.ar |= 3 << 5;
    CHECK(again() == EMU_DONE && code_reads == 1);
    state.cr3 = 0x8000;
    CHECK(faulted(again(), 14, 0x14, LINEAR));
    state.cr3 = 0x1000;
    state.efer &= ~(1ULL << 11);
    CHECK(again() == EMU_DONE && code_reads == 2);
    CHECK(again() == EMU_DONE && code_reads == 2);
    state.cs.ar = 0xc9b; /* 32-bit code: 48 is DEC EAX */
    state.cs.base = 0;
    guest_put(0x1000, 0x2007);
    guest_put(0x2000 + 2 * 8, 0x3007);
    state.gpr[RAX] = 5;
    emu.available = 0;
    state.rip = 0x80000000;
    CHECK(emu_run(&emu) == EMU_DONE && state.gpr[RAX] == 4);
    guest.on_ram = NULL;
    ok_checks("the cache of instructions");
}

static bool same_insn(const struct emu_insn *a, const struct emu_insn *b)
{
    return a->length == b->length && a->op == b->op && a->opcode == b->opcode && a->modrm == b->modrm &&
           a->size == b->size && a->offset == b->offset && a->immediate == b->immediate && a->rep == b->rep;
}

/* With and without the cache, while code and tables change. */
static void cached_at_random(void)
{
    uint64_t random = 1, hits = 0;

    start_64();
    memset(&cache, 0, sizeof(cache));
    for (unsigned i = 0; i < PAGE; i++) {
        guest.ram[CODE + i] = (uint8_t)(0x88 + tap_random(&random) % 4);
        guest.ram[0x30000 + i] = (uint8_t)(0x88 + tap_random(&random) % 4);
    }
    guest.on_ram = count_code;
    for (unsigned i = 0; i < 200000; i++) {
        static const uint64_t slots[] = {0x1000 + (LINEAR >> 39 & 511) * 8, 0x2000 + (LINEAR >> 30 & 511) * 8,
                                         0x3000 + (LINEAR >> 21 & 511) * 8, 0x4000};
        struct emu with = {.state = &state, .ops = &guest_ops, .context = &guest, .cache = &cache};
        struct emu without = {.state = &state, .ops = &guest_ops, .context = &guest};
        uint64_t at = slots[tap_random(&random) % 4], entry = get(at, 8), bit = tap_random(&random) % 64;
        enum emu_result result;

        switch (tap_random(&random) % 8) {
        case 0:
            guest.ram[(bit & 1 ? 0x30000 : CODE) + tap_random(&random) % 256] = (uint8_t)tap_random(&random);
            break;
        case 1:
            put(at, entry ^ 1ULL << bit, 8);
            break;
        case 2:
            put(slots[3], (bit & 1 ? 0x30000 : CODE) | 7, 8);
            break;
        case 3:
            put(slots[0], 0x2007, 8);
            put(slots[1], 0x3007, 8);
            put(slots[2], 0x4007, 8);
            break;
        case 4:
            state.ss.ar ^= bit & 1 ? 0x60 : 0;
            state.cr4 ^= bit & 2 ? 1U << 20 : 0;
            state.efer ^= bit & 4 ? 1U << 11 : 0;
            break;
        }
        state.rip = LINEAR + tap_random(&random) % 32;
        code_reads = 0;
        result = emu_identify(&with);
        hits += result == EMU_DONE && !code_reads;
        CHECK(emu_identify(&without) == result &&
              (result != EMU_DONE || same_insn(&with.insn, &without.insn)));
        CHECK(result != EMU_FAULT || with.fault.error == without.fault.error);
    }
    guest.on_ram = NULL;
    CHECK(hits > 1000);
    ok_checks("with and without the cache, instructions are the same (%llu hits)", (unsigned long long)hits);
}

int main(void)
{
    device_accesses();
    split_accesses();
    hints();
    long_strings();
    ports();
    port_permissions();
    real_mode();
    atomicity();
    fetch();
    others();
    rights();
    cached();
    cached_at_random();
    return tap_done();
}
