/**
 * @file
 * Instruction emulation: what a guest's access to a device did, when the exit does not say it all.
 *
 * Pure functions on the state of the vCPU as the exit message brings it (struct nova_arch_state): no globals,
 * no allocation, no system calls. Code, page tables and operands are guest memory, which other vCPUs may
 * change at any moment: everything is read once. Faults that the instruction itself has are exact, and come
 * before its first effect.
 *
 * Usage, in the handler of a memory exit:
 * @code{.c}
 *   struct emu emu = {.state = state, .ops = &ops, .context = vcpu, .cache = &vcpu->cache};
 *
 *   if (final) { // the access itself has exited, not the walk to it: EXITINFO1 bit 32, qualification bit 8
 *       emu.hint = is_write ? EMU_HINT_WRITE : EMU_HINT_READ;
 *       emu.hint_gpa = state->qual[2];
 *   }
 *
 *   switch (emu_run(&emu)) {
 *   case EMU_DONE: break;               // registers, RIP and RFLAGS have changed
 *   case EMU_AGAIN: break;              // resume the guest: the instruction goes on, with another exit
 *   case EMU_FAULT: inject(emu.fault);  // nothing has changed, but what REP had already done
 *   case EMU_UNSUPPORTED: report(emu.insn, emu.bytes, emu.available);
 *   }
 * @endcode
 *
 * Fields of the state that are read: general registers, RIP, RFLAGS, CS, SS, CR0, CR3, CR4, EFER; FS and GS
 * for operands in these segments; outside 64-bit mode DS and ES too; PDPTEs if `pdpte_registers`; TR only for
 * IN, OUT, INS, OUTS with less privilege than IOPL. Fields that are written: general registers, RIP, RFLAGS,
 * intr_state (the shadow of STI or MOV SS ends).
 *
 * Chapter and section numbers: Intel SDM volume 3 unless said otherwise.
 *
 * SPDX-License-Identifier: MIT
 */

#pragma once

#include <nova/abi/utcb.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EMU_INSN_MAX 15    /**< Bytes of the longest instruction. */
#define EMU_NO_REGISTER 16 /**< struct emu_insn: there is none. */

/** Outcome of all functions here. */
enum emu_result {
    EMU_DONE,  /**< Carried out. */
    EMU_AGAIN, /**< Not finished: a long string instruction, or other vCPUs interfere. The state is consistent
                    and RIP at the instruction: resume the guest, or call again. */
    EMU_FAULT, /**< The guest gets the exception in struct emu_fault. */
    EMU_UNSUPPORTED, /**< Not a form that is emulated; or code or page tables not in RAM. Nothing changed. */
    EMU_SHORT        /**< Only from emu_decode(): the bytes end before the instruction does. */
};

/** Exception for the guest. */
struct emu_fault {
    uint8_t vector; /**< 6 \#UD, 12 \#SS, 13 \#GP, 14 \#PF, 17 \#AC. */
    bool has_error; /**< Whether it has an error code (never in real mode). */
    uint32_t error; /**< The error code. */
    uint64_t cr2;   /**< Page fault: the new CR2. */
};

/** What an instruction does. Operand kinds are in enum emu_operand. */
enum emu_op {
    /* Two operands; the order of the first eight is that of their opcodes. */
    EMU_ADD,
    EMU_OR,
    EMU_ADC,
    EMU_SBB,
    EMU_AND,
    EMU_SUB,
    EMU_XOR,
    EMU_CMP,
    EMU_TEST,
    EMU_XCHG,
    EMU_CMPXCHG,
    EMU_XADD,
    EMU_BT,
    EMU_BTS,
    EMU_BTR,
    EMU_BTC,
    EMU_MOV,
    EMU_MOVZX,
    EMU_MOVSX,
    EMU_MOVBE,
    /* One operand. */
    EMU_INC,
    EMU_DEC,
    EMU_NOT,
    EMU_NEG,
    EMU_PUSH,
    EMU_POP,
    /* Strings and ports. */
    EMU_MOVS,
    EMU_CMPS,
    EMU_STOS,
    EMU_LODS,
    EMU_SCAS,
    EMU_INS,
    EMU_OUTS,
    EMU_IN,
    EMU_OUT,
    /* Decoded for their length and operands only: what SVM intercepts. */
    EMU_CONTROL
};

/** Kind of an operand. */
enum emu_operand {
    EMU_NONE,     /**< There is none, or the operation implies it. */
    EMU_RM,       /**< Register or memory that ModRM names. */
    EMU_REG,      /**< Register that ModRM.reg names. */
    EMU_SEG,      /**< Segment register that ModRM.reg names. */
    EMU_OPCODE,   /**< Register that the opcode names. */
    EMU_RAX,      /**< AL, AX, EAX, RAX. */
    EMU_RDX,      /**< DX, for ports. */
    EMU_OFFSET,   /**< Memory at an offset in the instruction. */
    EMU_IMMEDIATE /**< In the instruction. */
};

/** A decoded instruction. */
struct emu_insn {
    uint8_t length;   /**< Bytes, prefixes included; also set with EMU_FAULT, if the end was found. */
    uint8_t op;       /**< enum emu_op. */
    uint16_t opcode;  /**< Last byte of the opcode; 0x0f.. in the two-byte map, 0x38.. in the map 0f 38. */
    uint8_t dst, src; /**< enum emu_operand. */
    uint8_t size;     /**< Bytes of the operands: 1, 2, 4, 8. */
    uint8_t src_size; /**< Of the source, when it differs (MOVZX, MOVSX). */
    uint8_t address_size; /**< 2, 4, 8. */
    uint8_t rep;          /**< 0, 0xf2 or 0xf3. */
    bool lock;            /**< Has LOCK. */
    bool rex;             /**< Has REX: byte registers 4 to 7 are SPL to DIL. */
    bool memory;          /**< Has an operand in memory that ModRM or an offset names. */
    bool ip_relative;     /**< Its address is relative to the next instruction. */
    uint8_t modrm;        /**< ModRM, without extension by REX. */
    uint8_t reg, rm;      /**< Registers, extended by REX; rm: of ModRM, or of the opcode. */
    uint8_t segment;      /**< Of the memory operand: 0 ES, 1 CS, 2 SS, 3 DS, 4 FS, 5 GS. */
    uint8_t base, index;  /**< Registers of its address, or EMU_NO_REGISTER. */
    uint8_t scale;        /**< Shift of the index. */
    uint64_t offset;      /**< Displacement, sign-extended. */
    uint64_t immediate;   /**< Sign-extended where the instruction does. */
};

/** What the emulation needs of the machine. All functions get `context`. */
struct emu_ops {
    /** Where [gpa, gpa + bytes) is, for good, if all of it is RAM that the guest may read and write; else
     * null. Never crosses a page. */
    void *(*ram)(void *context, uint64_t gpa, uint64_t bytes);
    /** Read of what is not RAM: 1, 2, 4 or 8 bytes, naturally aligned (other accesses are split). All ones
     * where nothing is. */
    void (*mmio_read)(void *context, uint64_t gpa, unsigned bytes, uint64_t *value);
    /** Write to what is not RAM. */
    void (*mmio_write)(void *context, uint64_t gpa, unsigned bytes, uint64_t value);
    /** Port input of 1, 2 or 4 bytes. */
    void (*port_in)(void *context, uint16_t port, unsigned bytes, uint64_t *value);
    /** Port output. */
    void (*port_out)(void *context, uint16_t port, unsigned bytes, uint64_t value);
    uint8_t physical_bits; /**< MAXPHYADDR: higher bits are reserved in page tables. */
    bool pages_1g;         /**< The CPU has 1 GiB pages. */
    bool pdpte_registers;  /**< PAE paging uses state->pdpte (VMX); else the table in memory (SVM). */
};

#define EMU_CACHE 64 /**< Instructions in a cache. */
#define EMU_LEVELS 5 /**< Levels of page tables. */

/** How a page of code was found. */
struct emu_path {
    const void *code;                 /**< First byte of the instruction. */
    unsigned count;                   /**< Entries; 0: it cannot be remembered. */
    const uint64_t *slot[EMU_LEVELS]; /**< Where they are, */
    uint64_t entry[EMU_LEVELS];       /**< and what they were. */
};

/** A remembered instruction. */
struct emu_cached {
    uint64_t rip, cr3, cr4, efer; /**< It is for this state only. */
    uint32_t ss_ar;               /**< And for this privilege. */
    uint64_t half[2], mask[2];    /**< Its bytes. */
    struct emu_path path;         /**< Its page. */
    struct emu_insn insn;         /**< What it is. */
};

/**
 * Instructions that exited lately, for one vCPU. Starts as zero. It needs no invalidation: all that is in
 * memory is compared before it is used.
 */
struct emu_cache {
    struct emu_cached entry[EMU_CACHE]; /**< By a hash of RIP. */
};

/** What the exit says about the access. */
enum emu_hint {
    EMU_HINT_NONE, /**< Nothing; or it exited while it walked the page tables, or fetched. */
    EMU_HINT_READ, /**< A read of hint_gpa exited, */
    EMU_HINT_WRITE /**< or a write: the CPU has translated and checked the address already. */
};

/** Emulation of one instruction. The caller sets the first part, the rest starts as zero. */
struct emu {
    struct nova_arch_state *state; /**< Of the vCPU. */
    const struct emu_ops *ops;     /**< The machine. */
    void *context;                 /**< For the functions of ops. */
    enum emu_hint hint;            /**< Spares the walk for the operand of a simple instruction. */
    uint64_t hint_gpa;             /**< Guest-physical address of the access that exited. */
    struct emu_cache *cache;       /**< Spares fetch and decoder for instructions that exit often; or null. */

    struct emu_fault fault;      /**< With EMU_FAULT. */
    uint8_t bytes[EMU_INSN_MAX]; /**< What was fetched, */
    uint8_t available;           /**< and how many. A caller that has them (decode assists) may set both. */
    struct emu_insn insn;        /**< What was decoded. */
    bool step;                   /**< With EMU_DONE or EMU_AGAIN: RFLAGS.TF asks for \#DB now. */
    struct emu_path *path;       /**< Internal. */
};

/** Kinds of access, for emu_translate(). */
enum emu_access {
    EMU_READ = 0,         /**< Data, with the privilege of the vCPU. */
    EMU_WRITE = 1 << 0,   /**< Data. */
    EMU_EXECUTE = 1 << 1, /**< Instruction fetch. */
    EMU_SYSTEM = 1 << 2   /**< By the CPU itself (descriptor tables, TSS): always supervisor. */
};

/**
 * Current mode: 2, 4 or 8 for 16-, 32- and 64-bit code.
 */
unsigned emu_mode(const struct nova_arch_state *state);

/**
 * Translates a linear address with the guest's page tables (chapter 4; AMD APM volume 2, chapter 5), with all
 * checks, and sets accessed and dirty bits. Real mode and CR0.PG = 0: the address itself.
 *
 * @param emu     state, ops, context; gets the fault
 * @param linear  address, already checked to be canonical
 * @param access  enum emu_access
 * @param gpa     gets the guest-physical address
 * @return EMU_DONE; EMU_FAULT: a page fault; EMU_AGAIN; EMU_UNSUPPORTED
 */
enum emu_result emu_translate(struct emu *emu, uint64_t linear, unsigned access, uint64_t *gpa);

/**
 * Fetches more bytes at CS:RIP: up to the end of the page, at most 15 in all.
 *
 * @param emu  emu.bytes, emu.available grow by at least one byte
 * @return EMU_DONE; EMU_FAULT: \#PF, or \#GP for what is beyond the segment, not canonical, or the sixteenth
 *         byte; EMU_AGAIN; EMU_UNSUPPORTED
 */
enum emu_result emu_fetch(struct emu *emu);

/**
 * Decodes an instruction.
 *
 * @param bytes  its bytes
 * @param count  how many, at most EMU_INSN_MAX are used
 * @param mode   2, 4, 8: as emu_mode()
 * @param insn   gets the result
 * @return EMU_DONE; EMU_SHORT; EMU_FAULT: no CPU carries it out (\#UD); EMU_UNSUPPORTED
 */
enum emu_result emu_decode(const uint8_t *bytes, size_t count, unsigned mode, struct emu_insn *insn);

/**
 * Fetches and decodes the instruction at CS:RIP, as many bytes as it has and no more.
 *
 * @param emu  gets bytes, available, insn
 * @return as emu_fetch() and emu_decode(), never EMU_SHORT
 */
enum emu_result emu_identify(struct emu *emu);

/**
 * Carries out emu.insn. A string instruction with REP does a bounded number of iterations.
 *
 * @param emu  all fields
 * @return any but EMU_SHORT
 */
enum emu_result emu_execute(struct emu *emu);

/**
 * emu_identify(), then emu_execute().
 */
enum emu_result emu_run(struct emu *emu);

/**
 * Finds an instruction that emu_identify(), or what calls it, has put into the cache, if its code and the
 * page tables through which it was found are as they were: 64-bit code only. For callers that know little of
 * the state: it is up to them whether the address space, the mode and the rights are the same as in the
 * entry.
 *
 * @param cache  of the vCPU
 * @param rip    address of the instruction
 * @return null if there is none; else it stays valid until the cache is used again
 */
const struct emu_cached *emu_find(const struct emu_cache *cache, uint64_t rip);

/**
 * The same, if it is what 64-bit code in this state would execute now.
 */
const struct emu_cached *emu_known(const struct emu_cache *cache, const struct nova_arch_state *state);

/**
 * Length of the instruction at CS:RIP, for exits of SVM that do not say it: CPUID, HLT, RDMSR, WRMSR, IN,
 * OUT, INS, OUTS, MOV to and from control and debug registers, CLTS, LMSW, VMMCALL and the other SVM
 * instructions, INVD, WBINVD, INVLPG, XSETBV, RDTSC(P), RDPMC, PAUSE, MONITOR, MWAIT and so on, with any
 * prefixes.
 *
 * @param emu  gets bytes, available, insn; insn.reg and insn.rm: registers of MOV to and from control
 * registers
 * @return 0 if it cannot be found
 */
unsigned emu_length(struct emu *emu);
