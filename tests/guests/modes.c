/*
 * Guest test: ports, memory of devices, interrupts and exits in the other modes of the CPU: 32-bit with and without paging (2 and 3
 * levels), 16-bit protected, real. The code is in modes-code.S.
 *
 * SPDX-License-Identifier: MIT
 */

#include "lib/guest.h"

uint64_t call_32(uint32_t function);

/* 32-bit functions of modes-code.S. Their results: what EAX is. */
#define CODE(name) extern char name[]
CODE(flat_ports);
CODE(flat_device);
CODE(flat_cpuid);
CODE(flat_msr);
CODE(flat_step);
CODE(paging_2_levels);
CODE(paging_pae);
CODE(paging_off_and_on);
CODE(protected_ports);
CODE(protected_strings);
CODE(protected_device);
CODE(real_ports);
CODE(real_strings);
CODE(real_interrupt);
CODE(real_cpuid);
CODE(real_big);
CODE(real_device);
CODE(real_limit);

extern uint32_t pae_tables[], two_level_tables[];
uint32_t pae_tables[3 * 1024] __attribute__((aligned(4096)));
uint32_t two_level_tables[1024] __attribute__((aligned(4096)));

/* Tables in which 1 GiB is the first GiB again, and 3 GiB up is itself: the local APIC. */
static void make_tables(void)
{
    uint64_t *pdpt = (uint64_t *)pae_tables, *low = pdpt + 512, *high = pdpt + 1024;

    for (uint32_t i = 0; i < 1024; i++)
        two_level_tables[i] = (i >= 256 && i < 512 ? i - 256 : i) << 22 | 0x83;
    for (uint64_t i = 0; i < 512; i++) {
        low[i] = i << 21 | 0x83;
        high[i] = (0xc0000000UL + (i << 21)) | 0x83;
    }
    pdpt[0] = (uint64_t)low | 1;
    pdpt[1] = (uint64_t)low | 1;
    pdpt[2] = 0;
    pdpt[3] = (uint64_t)high | 1;
}

static uint64_t run(char *code)
{
    return call_32((uint32_t)(uint64_t)code);
}

void test(void)
{
    uint64_t cr0 = READ_CR(0), cr4 = READ_CR(4);
    uint32_t out[4];

    apic_enable();
    make_tables();
    cpuid(1, 0, out);
    tap_is(run(flat_ports), 0x5a, "32-bit mode: ports");
    tap_is(run(flat_device), 0x35, "32-bit mode: memory of a device");
    tap_is(run(flat_cpuid), out[0], "32-bit mode: CPUID");
    tap_is(run(flat_msr), 0xfee00900, "32-bit mode: RDMSR");
    tap_is(run(flat_step), 3, "32-bit mode: single steps");
    tap_is(run(paging_2_levels), 0x46, "32-bit paging: memory of a device");
    tap_is(run(paging_pae), 0x57, "PAE paging: memory of a device");
    tap_is(run(paging_off_and_on), 100, "paging off and on, 100 times");
    tap_is(run(protected_ports), 0x5b, "16-bit protected mode: ports");
    tap_is(run(protected_strings), 0x33, "16-bit protected mode: strings");
    tap_is(run(protected_device), 0x68, "16-bit protected mode: memory of a device");
    tap_is(run(real_ports), 0x5c, "real mode: ports");
    tap_is(run(real_strings), 0x44, "real mode: strings");
    tap_is(run(real_interrupt), 0x1234, "real mode: a software interrupt");
    tap_is(run(real_cpuid), out[0], "real mode: CPUID");
    tap_is(run(real_device), 0x79, "real mode with 4 GiB segments: memory of a device");
    tap_is(run(real_limit), 0x4321, "real mode: beyond the limit of a segment, #GP");
    tap_is(run(real_big), 0x1000, "real mode: 1000 exits");
    tap_ok(READ_CR(0) == cr0 && READ_CR(4) == cr4, "64-bit mode again, as before");
    tap_is(rdmsr(0xc0000080) & 0x500, 0x500, "EFER: LME and LMA");
    cpuid(1, 0, out);
    tap_ok(out[0] != 0, "CPUID in 64-bit mode");
}
