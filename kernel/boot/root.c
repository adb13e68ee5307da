/*
 * The root protection domain and the NOVA spaces that it takes everything from.
 *
 * SPDX-License-Identifier: MIT
 */

#include "boot/boot.h"

#include <elf.h>

#include "core/sm.h"
#include "lib/console.h"
#include "lib/panic.h"
#include "lib/string.h"
#include "virt/virt.h"
#include "x86/acpi.h"
#include "x86/cpu.h"
#include "x86/device.h"

#define ROOT_BUDGET_MS 1000
#define HIP_ADDR (USER_END - PAGE_SIZE)
#define UTCB_ADDR (USER_END - 2 * PAGE_SIZE)

static uint8_t pio_bitmap[2 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t msr_bitmap[2 * PAGE_SIZE]; /* as much as any layout needs */

static void protect_ports(const struct acpi_register *r)
{
    if (r->width && r->space == 1)
        for (uint64_t port = r->addr; port < r->addr + r->width / 8 && port < PIO_SELECTORS; port++)
            pio_bitmap[port / 8] |= (uint8_t)(1U << port % 8);
}

/* UEFI Specification 2.10, 7.2: memory descriptors of runtime services code and data. */
static void protect_runtime_services(void)
{
    const struct {
        uint32_t type, pad;
        uint64_t phys, virt, pages, attribute;
    } * desc;
    const char *map = boot_window(hip->uefi_map, hip->uefi_map_size);

    if (!map || hip->uefi_desc_size < sizeof(*desc))
        return;
    for (uint32_t at = 0; at + hip->uefi_desc_size <= hip->uefi_map_size; at += hip->uefi_desc_size) {
        desc = (const void *)(map + at);
        if (desc->type == 5 || desc->type == 6)
            hst_protect(desc->phys, desc->phys + desc->pages * PAGE_SIZE);
    }
}

static void protect_memory(void)
{
    extern char image_start[], image_end[];

    hst_protect(phys_of(image_start), phys_of(image_end));
    hst_protect(acpi.lapic_addr, acpi.lapic_addr + PAGE_SIZE);
    hst_protect(0xfee00000, 0xfef00000); /* MSI */
    for (unsigned i = 0; i < acpi.ioapics; i++)
        hst_protect(acpi.ioapic[i].addr, acpi.ioapic[i].addr + PAGE_SIZE);
    if (hip->uefi_map != NOVA_HIP_ABSENT)
        protect_runtime_services();
}

static void put_cap(struct space_obj *obj, uint64_t sel, struct object *object, unsigned perms)
{
    if (!object_get(object) || obj_insert(obj, sel, cap_make(object, perms)) != NOVA_SUCCESS)
        panic("no memory for the initial capabilities");
}

static void init_space(struct space *space, enum object_type type, uint64_t selectors, unsigned sel)
{
    object_init(&space->object, type, 0);
    space->selectors = selectors;
    put_cap(&nova_obj, OBJ_SELECTORS - sel, &space->object, NOVA_SPC_TAKE);
}

void nova_spaces_init(void)
{
    static cap *tables[OBJ_SLOTS];

    for (unsigned i = 0; i < OBJ_SLOTS; i++)
        tables[i] = OBJ_NO_TABLE;
    nova_obj.tables = tables;
    nova_hst.physical = true;
    nova_pio.bitmap = pio_bitmap;
    nova_msr.bitmap = msr_bitmap;
    init_space(&nova_obj.space, OBJECT_OBJ, OBJ_SELECTORS, NOVA_SEL_NOVA_OBJ);
    init_space(&nova_hst.mem.space, OBJECT_HST, 1UL << (cpu_phys_bits - PAGE_BITS), NOVA_SEL_NOVA_HST);
    init_space(&nova_pio.space, OBJECT_PIO, PIO_SELECTORS, NOVA_SEL_NOVA_PIO);
    init_space(&nova_msr.space, OBJECT_MSR, MSR_SELECTORS, NOVA_SEL_NOVA_MSR);

    protect_memory();
    protect_ports(&acpi.pm1a_cnt);
    protect_ports(&acpi.pm1b_cnt);
    protect_ports(&acpi.pm2_cnt);
    protect_ports(&(struct acpi_register){.space = 1, .width = acpi.smi_cmd ? 8 : 0, .addr = acpi.smi_cmd});
    memset(msr_bitmap, 0xff, sizeof(msr_bitmap));
    msr_allow(&nova_msr);

    put_cap(&nova_obj, OBJ_SELECTORS - NOVA_SEL_CONSOLE, &console_sm.object,
            NOVA_SM_CTRL_UP | NOVA_SM_CTRL_DN);
    for (unsigned i = 0; i < cpu_count; i++)
        put_cap(&nova_obj, i, &cpu_of(i)->idle_sc.object, NOVA_SC_CTRL);
}

/* Maps one loadable segment of the root image in place. */
static void map_segment(struct space_hst *hst, const Elf64_Phdr *p)
{
    uint64_t start = p->p_vaddr & ~(PAGE_SIZE - 1), phys = hip->root_start + p->p_offset;
    unsigned perm = (p->p_flags & PF_R ? NOVA_MEM_R : 0) | (p->p_flags & PF_W ? NOVA_MEM_W : 0) |
                    (p->p_flags & PF_X ? NOVA_MEM_XU : 0);

    if (p->p_filesz != p->p_memsz || (p->p_vaddr - phys) % PAGE_SIZE ||
        p->p_vaddr + p->p_memsz < p->p_vaddr || p->p_vaddr + p->p_memsz > UTCB_ADDR ||
        p->p_offset > hip->root_end - hip->root_start ||
        p->p_filesz > hip->root_end - hip->root_start - p->p_offset)
        panic("root image: segment at %#lx cannot be mapped", p->p_vaddr);
    phys &= ~(PAGE_SIZE - 1);
    for (uint64_t v = start; v < p->p_vaddr + p->p_memsz; v += PAGE_SIZE, phys += PAGE_SIZE)
        if (hst_delegate(&nova_hst, &hst->mem, phys >> PAGE_BITS, v >> PAGE_BITS, 0, perm, NOVA_MAD_WB) !=
            NOVA_SUCCESS)
            panic("root image: no memory for page tables");
}

/* Maps the root image; returns its entry point. */
static uint64_t map_image(struct space_hst *hst)
{
    uint64_t size = hip->root_end - hip->root_start;
    const Elf64_Ehdr *e = boot_window(hip->root_start, min_u64(size, 4 * PAGE_SIZE));
    const Elf64_Phdr *p;

    if (!hip->root_end || size < sizeof(*e) || memcmp(e->e_ident, ELFMAG, SELFMAG) != 0 ||
        e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_type != ET_EXEC || e->e_machine != EM_X86_64 ||
        e->e_phentsize != sizeof(*p) || e->e_entry >= USER_END || e->e_phoff % 8 ||
        e->e_phoff > min_u64(size, 4 * PAGE_SIZE) ||
        e->e_phnum > (min_u64(size, 4 * PAGE_SIZE) - e->e_phoff) / sizeof(*p))
        panic("root image: missing, or no x86-64 executable");
    p = (const void *)((const char *)e + e->e_phoff);
    for (unsigned i = 0; i < e->e_phnum; i++)
        if (p[i].p_type == PT_LOAD && p[i].p_memsz)
            map_segment(hst, &p[i]);
    return e->e_entry;
}

static void *create_space(enum object_type type)
{
    struct object *object;

    if (space_create(type, pd_root, &object) != NOVA_SUCCESS)
        panic("no memory for the root PD");
    return object;
}

void root_create(void)
{
    struct space_obj *obj;
    struct space_hst *hst;
    struct space_bitmap *pio;
    struct ec *ec;
    struct sc *sc;

    pd_root = pd_create(0, pool_free());
    if (!pd_root)
        panic("no memory for the root PD");
    obj = create_space(OBJECT_OBJ);
    hst = create_space(OBJECT_HST);
    pio = create_space(OBJECT_PIO);
    if (ec_create(pd_root, NOVA_EC_GLOBAL | NOVA_EC_FPU, UTCB_ADDR | cpu_bsp, HIP_ADDR, 0, &ec) !=
            NOVA_SUCCESS ||
        sc_create(pd_root, ec, NOVA_SCD((uint64_t)NOVA_PRIO_MAX, ROOT_BUDGET_MS), &sc) != NOVA_SUCCESS ||
        !hst_map_kernel(hst, HIP_ADDR >> PAGE_BITS, hip, NOVA_MEM_R))
        panic("no memory for the root PD");
    ec->frame.rip = map_image(hst);
    ec->frame.gpr[R_RDI] = boot_info.magic;
    ec->frame.gpr[R_RSI] = boot_info.info;
    ec->cont = CONT_IRET;

    put_cap(&nova_obj, OBJ_SELECTORS - NOVA_SEL_ROOT_OBJ, &obj->space.object, NOVA_PERM_ALL);
    put_cap(&nova_obj, OBJ_SELECTORS - NOVA_SEL_ROOT_HST, &hst->mem.space.object, NOVA_PERM_ALL);
    put_cap(&nova_obj, OBJ_SELECTORS - NOVA_SEL_ROOT_PIO, &pio->space.object, NOVA_PERM_ALL);
    put_cap(obj, OBJ_SELECTORS - NOVA_ROOT_SEL_NOVA_OBJ, &nova_obj.space.object, NOVA_SPC_TAKE);
    put_cap(obj, OBJ_SELECTORS - NOVA_ROOT_SEL_OBJ, &obj->space.object, NOVA_PERM_ALL);
    put_cap(obj, OBJ_SELECTORS - NOVA_ROOT_SEL_PD, &pd_root->object, NOVA_PERM_ALL);
    put_cap(obj, OBJ_SELECTORS - NOVA_ROOT_SEL_EC, &ec->object, NOVA_PERM_ALL);
    put_cap(obj, OBJ_SELECTORS - NOVA_ROOT_SEL_SC, &sc->object, NOVA_PERM_ALL);
    sc_start(sc);
}
