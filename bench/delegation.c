/*
 * Delegation with ctrl_pd to another protection domain: one page of memory there and away again, and
 * one capability that replaces itself.
 *
 * SPDX-License-Identifier: MIT
 */

#include "bench.h"

#define CTRL_PD(src) NOVA_HYPERCALL(NOVA_CTRL_PD, 0UL, src)

static void map_unmap(const struct pd *to)
{
    uint64_t ssb = (uint64_t)page_alloc(1);
    uint64_t dsb = va_alloc(PAGE_SIZE, PAGE_SIZE);
    uint64_t status, figure = BENCH_LOOP(&status,
                                         "mov %[ctrl], %%rdi\n\tmov %[to], %%rsi\n\tmov %[ssb], %%rdx\n\t"
                                         "mov %[map], %%rax\n\tsyscall\n\t"
                                         "mov %[ctrl], %%rdi\n\tmov %[to], %%rsi\n\tmov %[ssb], %%rdx\n\t"
                                         "mov %[unmap], %%rax\n\tsyscall\n\t",
                                         [ctrl] "r"(CTRL_PD(sys.root.hst)), [to] "r"(to->hst), [ssb] "r"(ssb),
                                         [map] "r"(dsb | NOVA_MEM_R | NOVA_MEM_W), [unmap] "r"(dsb));

    bench_status(status, NOVA_SUCCESS, figure, "ctrl_pd map + unmap, one page, other PD");
}

static void capability(const struct pd *to)
{
    uint64_t sm = sm_create(0) << 12;
    uint64_t status, figure = BENCH_LOOP(&status,
                                         "mov %[ctrl], %%rdi\n\tmov %[to], %%rsi\n\tmov %[ssb], %%rdx\n\t"
                                         "mov %[dsb], %%rax\n\tsyscall\n\t",
                                         [ctrl] "r"(CTRL_PD(sys.root.obj)), [to] "r"(to->obj), [ssb] "r"(sm),
                                         [dsb] "r"(sm | NOVA_PERM_ALL));

    bench_status(status, NOVA_SUCCESS, figure, "ctrl_pd of one capability, other PD");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    struct pd other;

    (void)hip;
    (void)magic;
    (void)mbi;
    pd_create(&other);
    map_unmap(&other);
    capability(&other);
}
