/*
 * Boot state: what the root PD finds when it starts (specification 6.1.3, 6.2.3, 6.3, 8.1.2, 8.2).
 *
 * SPDX-License-Identifier: MIT
 */

#include "acpi.h"
#include "fault.h"
#include "tap.h"

#define MULTIBOOT2 0x36d76289

static void hip_fields(const struct nova_hip *hip)
{
    uint16_t sum = 0;

    for (unsigned i = 0; i < hip->length / 2; i++)
        sum = (uint16_t)(sum + ((const uint16_t *)(const void *)hip)[i]);

    tap_is(hip->signature, NOVA_HIP_SIGNATURE, "HIP: signature");
    tap_is(sum, 0, "HIP: checksum");
    tap_ok(hip->length >= sizeof(*hip) && hip->length <= PAGE_SIZE, "HIP: length %u", hip->length);
    tap_ok(hip->nova_start < hip->nova_end, "HIP: NOVA %lx to %lx", hip->nova_start, hip->nova_end);
    tap_ok(hip->mbuf_start + sizeof(struct nova_mbuf) < hip->mbuf_end, "HIP: MBUF %lx to %lx",
           hip->mbuf_start, hip->mbuf_end);
    tap_ok(hip->root_end - hip->root_start >= (uint64_t)image_end - (uint64_t)image_text,
           "HIP: root %lx to %lx", hip->root_start, hip->root_end);
    tap_ok(hip->stc_frequency > 1000000, "HIP: STC frequency %lu Hz", hip->stc_frequency);
    tap_ok(hip->sel_num > NOVA_SEL_INT + 0UL + hip->int_pin + hip->int_msi, "HIP: %lu selectors",
           hip->sel_num);
    tap_is(hip->sel_hst_arch, NOVA_EVT_HST_ARCH, "HIP: architectural host events");
    tap_is(hip->sel_hst_nova, 2, "HIP: microhypervisor host events");
    tap_is(hip->sel_gst_arch, NOVA_EVT_GST_ARCH, "HIP: architectural guest events");
    tap_is(hip->sel_gst_nova, 2, "HIP: microhypervisor guest events");
    tap_ok(hip->cpu_num > 0 && hip->cpu_bsp < hip->cpu_num, "HIP: %u CPUs, BSP %u", hip->cpu_num,
           hip->cpu_bsp);
    tap_ok(hip->int_pin >= 16, "HIP: %u pin interrupts", hip->int_pin);
    tap_ok(hip->int_msi > 0, "HIP: %u message-signaled interrupts", hip->int_msi);
    tap_ok(hip->mco_obj < 32 && hip->mco_hst < 32 && hip->mco_gst < 32 && hip->mco_dma < 32 &&
               hip->mco_pio < 32 && hip->mco_msr < 32,
           "HIP: contiguous orders OBJ %u HST %u GST %u DMA %u PIO %u MSR %u", hip->mco_obj, hip->mco_hst,
           hip->mco_gst, hip->mco_dma, hip->mco_pio, hip->mco_msr);
    tap_ok(!(hip->features & ~(NOVA_FEATURE_IOMMU | NOVA_FEATURE_VMX | NOVA_FEATURE_SVM)),
           "HIP: features %lx", hip->features);
    tap_ok((hip->uefi_map == NOVA_HIP_ABSENT) == (hip->uefi_map_size == 0), "HIP: UEFI map at %lx, %u bytes",
           hip->uefi_map, hip->uefi_map_size);

    if (hip->acpi_rsdp == NOVA_HIP_ABSENT) {
        tap_skip("no ACPI", "HIP: RSDP");
    } else {
        const char *rsdp = map_phys(hip->acpi_rsdp, 8, NOVA_MEM_R, NOVA_MAD_WB);

        tap_ok(!__builtin_memcmp(rsdp, "RSD PTR ", 8), "HIP: RSDP at %lx", hip->acpi_rsdp);
    }
}

/* Root host space: HIP, UTCB and segments, with their permissions, and nothing else. */
static void memory(const struct nova_hip *hip)
{
    uint64_t top = (uint64_t)hip + PAGE_SIZE;
    uint64_t utcb = (uint64_t)hip - PAGE_SIZE;
    struct thread *t = thread_self();

    tap_ok(!(top & (top - 1)) && top >= 1UL << 47 && top <= 1UL << 56, "the HIP is the top user page (%lx)",
           top);
    tap_is(try_store((uint64_t)hip), VECTOR_PF, "the HIP is read-only");
    tap_is(t->fault_error, PF_PRESENT | PF_WRITE | PF_USER, "error code of that fault");
    tap_is(t->fault_address, (uint64_t)hip, "address of that fault");
    tap_is(try_store(utcb), NO_FAULT, "the UTCB is below the HIP and writable");
    tap_is(try_exec(utcb), VECTOR_PF, "the UTCB is not executable");
    tap_is(try_load(utcb - PAGE_SIZE), VECTOR_PF, "nothing is below the UTCB");
    tap_is(try_load(top), VECTOR_GP, "nothing is above the HIP");

    tap_is(try_store((uint64_t)image_text), VECTOR_PF, "R E segment: not writable");
    tap_is(try_store((uint64_t)image_rodata), VECTOR_PF, "R segment: not writable");
    tap_is(try_exec((uint64_t)image_rodata), VECTOR_PF, "R segment: not executable");
    tap_is(t->fault_error, PF_PRESENT | PF_USER | PF_EXEC, "error code of that fault");
    tap_is(try_store((uint64_t)image_data), NO_FAULT, "RW segment: writable");
    tap_is(try_exec((uint64_t)image_data), VECTOR_PF, "RW segment: not executable");
    tap_is(try_load((uint64_t)image_text - PAGE_SIZE), VECTOR_PF, "nothing is below the image");
    tap_is(try_load((uint64_t)image_end), VECTOR_PF, "nothing is above the image");
    tap_is(try_load(0), VECTOR_PF, "nothing is at address 0");
    tap_is(t->fault_error, PF_USER, "error code of that fault");

    tap_is(try_load(0xffffffff80000000), VECTOR_PF, "kernel addresses: not readable");
    tap_is(try_store(0xffff800000000000), VECTOR_PF, "kernel addresses: not writable");
    tap_is(try_exec(0xffffffff80000000), VECTOR_PF, "kernel addresses: not executable");
}

/* Status of delegating one object capability from the NOVA object space into a fresh selector. */
static uint64_t take(uint64_t nova_sel)
{
    uint64_t sel = SEL();

    must(ctrl_pd(sys.nova_obj, sys.root.obj, nova_sel, sel, 0, NOVA_PERM_ALL, 0), "taking a capability");
    return sel;
}

/* A space capability: which of TAKE and GRANT it carries is seen by delegating from and to it. */
static void space_permissions(uint64_t sel, uint64_t root_space, bool grant, const char *name)
{
    const uint64_t unused = 0x700;

    tap_is(ctrl_pd(sel, root_space, unused, unused, 0, 0, 0), NOVA_SUCCESS, "%s: TAKE", name);
    tap_is(ctrl_pd(root_space, sel, unused, unused, 0, 0, 0), grant ? NOVA_SUCCESS : NOVA_BAD_CAP,
           "%s: %sGRANT", name, grant ? "" : "no ");
}

static void root_objects(void)
{
    uint64_t time = 0, sel = SEL();

    space_permissions(sys.nova_obj, sys.root.obj, false, "NOVA object space");
    space_permissions(sys.root.obj, sys.root.obj, true, "root object space");

    tap_is(create_pd(SEL(), sys.root.pd, NOVA_PD_PD), NOVA_SUCCESS, "root PD: create_pd");
    tap_is(create_ec(sel, sys.root.pd, UTCB_WINDOW + 0x1000000, 0, 0, 0, 0), NOVA_SUCCESS,
           "root PD: create_ec");
    tap_is(create_pt(SEL(), sys.root.pd, sel, 0), NOVA_SUCCESS, "root PD: create_pt");
    tap_is(create_sm(SEL(), sys.root.pd, 0), NOVA_SUCCESS, "root PD: create_sm");
    tap_is(create_sc(SEL(), sys.root.pd, sys.ec, NOVA_SCD(0UL, 1)), NOVA_BAD_PAR, "root PD: create_sc");
    tap_is(ctrl_ec(sys.ec, 0), NOVA_SUCCESS, "root EC: ctrl_ec");
    tap_is(create_pt(SEL(), sys.root.pd, sys.ec, 0), NOVA_BAD_CAP,
           "root EC: no portals, it is a global thread");
    tap_is(ctrl_sc(sys.sc, &time), NOVA_SUCCESS, "root SC: ctrl_sc");
    tap_ok(time > 0, "root SC: has consumed %lu ticks", time);

    unsigned bad = 0;
    const uint64_t probe[] = {
        0x40, 0x1ff, 0x200, 0xfff, 0x10000, 0x10001, sys.hip->sel_num / 2, sys.hip->sel_num - 6};

    for (unsigned i = 0; i < sizeof(probe) / sizeof(*probe); i++)
        bad += create_sm(probe[i], sys.root.pd, 0) != NOVA_SUCCESS;
    tap_is(bad, 0, "root object space: other selectors are null capabilities");
}

static void signal(void *arg)
{
    sm_up(*(uint64_t *)arg);
}

/* Makes a CPU leave its idle SC and return to it, so that the time of that SC is up to date. */
static void disturb(unsigned cpu)
{
    uint64_t sm = sm_create(0);

    global_start(cpu, 1, signal, &sm);
    sm_down(sm);
    sleep_us(1000);
}

static void nova_objects(const struct nova_hip *hip)
{
    uint64_t top = hip->sel_num, time = 0, addr, data;

    tap_is(sm_up(sys.console), NOVA_SUCCESS, "console semaphore: up");
    tap_is(sm_down_ms(sys.console, 1), NOVA_SUCCESS, "console semaphore: down");
    tap_is(assign_int(sys.console, 0, 0, NOVA_INT_MASK, &addr, &data), NOVA_BAD_CAP,
           "console semaphore: no interrupt semaphore");
    space_permissions(take(top - NOVA_SEL_NOVA_OBJ), sys.root.obj, false, "NOVA object space (second)");
    space_permissions(sys.nova_hst, sys.root.hst, false, "NOVA host space");
    space_permissions(sys.nova_pio, sys.root.pio, false, "NOVA PIO space");
    space_permissions(take(top - NOVA_SEL_ROOT_OBJ), sys.root.obj, true, "root object space (second)");
    space_permissions(sys.root.hst, sys.root.hst, true, "root host space");
    space_permissions(sys.root.pio, sys.root.pio, true, "root PIO space");

    uint64_t msr = SEL();

    must(create_pd(msr, sys.root.pd, NOVA_PD_MSR), "create_pd (MSR space)");
    space_permissions(sys.nova_msr, msr, false, "NOVA MSR space");

    unsigned bad = 0, idle = 0;

    for (unsigned i = 0; i < hip->int_pin + hip->int_msi; i++) {
        uint64_t sm = take(NOVA_SEL_INT + i);

        bad += sm_up(sm) != NOVA_BAD_CAP;
        bad += assign_int(sm, 0, 0, NOVA_INT_MASK, &addr, &data) != NOVA_SUCCESS;
        bad += ctrl_sm(sm, 1, NOVA_SM_DOWN) != NOVA_TIMEOUT;
    }
    tap_is(bad, 0, "interrupt semaphores: ASSIGN, DN, not UP");
    tap_is(sm_down_ms(take(NOVA_SEL_INT + 0UL + hip->int_pin + hip->int_msi), 1), NOVA_BAD_CAP,
           "no capability behind the last interrupt semaphore");

    for (unsigned cpu = 0; cpu < hip->cpu_num; cpu++) {
        uint64_t sc = take(cpu), before = 0;

        bad += ctrl_sc(sc, &before) != NOVA_SUCCESS;
        sleep_us(20000);
        disturb(cpu);
        bad += ctrl_sc(sc, &time) != NOVA_SUCCESS;
        idle += time - before > ticks(1000);
    }
    tap_is(bad, 0, "idle SCs: ctrl_sc");
    tap_is(idle, hip->cpu_num, "idle SCs: all CPUs were idle while the root EC slept");
    tap_is(ctrl_sc(take(hip->cpu_num), &time), NOVA_BAD_CAP, "no capability behind the last idle SC");
}

/* Number of pages in a physical range that can be read once delegated. */
static unsigned readable_pages(uint64_t start, uint64_t end)
{
    uint64_t va = va_alloc(PAGE_SIZE, PAGE_SIZE);
    unsigned readable = 0;

    for (uint64_t phys = start & ~(PAGE_SIZE - 1); phys < end; phys += PAGE_SIZE) {
        must(
            ctrl_pd(sys.nova_hst, sys.root.hst, phys / PAGE_SIZE, va / PAGE_SIZE, 0, NOVA_MEM_R, NOVA_MAD_UC),
            "delegating a physical page");
        readable += try_load(va) == NO_FAULT;
    }
    ctrl_pd(sys.nova_hst, sys.root.hst, start / PAGE_SIZE, va / PAGE_SIZE, 0, 0, 0);
    return readable;
}

/* Physical address of the first IOAPIC, from the MADT. */
static uint64_t ioapic_address(void)
{
    const struct acpi_table *madt = acpi_find("APIC");

    for (unsigned at = 44; madt && at + 2 <= madt->length; at += (unsigned)acpi_field(madt, at + 1, 1))
        if (acpi_field(madt, at, 1) == 1)
            return acpi_field(madt, at + 4, 4);
    return 0xfec00000;
}

static void protected_memory(const struct nova_hip *hip)
{
    tap_is(readable_pages(hip->nova_start, hip->mbuf_start), 0, "protected: kernel below the console buffer");
    tap_is(readable_pages(hip->mbuf_end, hip->nova_end), 0, "protected: kernel above the console buffer");
    tap_is(readable_pages(ioapic_address(), ioapic_address() + 1), 0, "protected: IOAPIC");
    tap_is(readable_pages(0xfee00000, 0xfee10000), 0, "protected: LAPIC and message range");
    tap_is(readable_pages(hip->mbuf_start, hip->mbuf_start + 1), 1, "not protected: console buffer");
    tap_is(readable_pages(hip->root_start, hip->root_start + 1), 1, "not protected: root image");

    const struct nova_mbuf *mbuf =
        map_phys(hip->mbuf_start, hip->mbuf_end - hip->mbuf_start, NOVA_MEM_R, NOVA_MAD_WB);
    uint64_t size = hip->mbuf_end - hip->mbuf_start - sizeof(*mbuf);

    tap_ok(mbuf->rd < size && mbuf->wr < size && mbuf->rd != mbuf->wr, "console buffer: %u to %u of %lu",
           mbuf->rd, mbuf->wr, size);
    tap_ok(!__builtin_memcmp(map_phys(hip->root_start, 4, NOVA_MEM_R, NOVA_MAD_WB), "\177ELF", 4),
           "root image: starts with its ELF header");
}

/* Delegates one port and tries it. */
static uint64_t port(uint64_t number)
{
    must(ctrl_pd(sys.nova_pio, sys.root.pio, number, number, 0, NOVA_PIO_A, 0), "delegating a port");
    uint64_t vector = try_in((uint16_t)number);

    must(ctrl_pd(sys.nova_pio, sys.root.pio, number, number, 0, 0, 0), "revoking a port");
    return vector;
}

static void ports(void)
{
    const struct acpi_table *fadt = acpi_find("FACP");

    tap_is(try_in(0x80), VECTOR_GP, "root PIO space: empty");
    tap_is(port(0x80), NO_FAULT, "an ordinary port can be delegated");
    tap_is(try_in(0x80), VECTOR_GP, "and revoked");
    if (!fadt) {
        tap_skip("no FADT", "protected ports");
        return;
    }

    const unsigned field[] = {48, 64, 68, 72}; /* SMI_CMD, PM1a_CNT, PM1b_CNT, PM2_CNT */

    for (unsigned i = 0; i < 4; i++) {
        uint64_t number = acpi_field(fadt, field[i], 4);

        if (number)
            tap_is(port(number), VECTOR_GP, "protected: port %lx (FADT offset %u)", number, field[i]);
    }
    tap_is(port(acpi_field(fadt, 64, 4) + 4), NO_FAULT, "not protected: the PM timer's port range");
}

void image_main(const struct nova_hip *hip, uint64_t magic, uint64_t mbi)
{
    tap_is(magic, MULTIBOOT2, "RDI is the boot loader's magic");
    tap_ok(mbi && !(mbi & 7), "RSI is the boot information (%lx)", mbi);
    hip_fields(hip);
    memory(hip);
    root_objects();
    nova_objects(hip);
    protected_memory(hip);
    ports();
}
