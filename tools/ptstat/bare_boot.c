/* See bare_boot.h. Addresses below are guest-physical. */
#include "tools/ptstat/bare_boot.h"
#include "cleave/guest_abi.h"
#include "tools/ptstat/workload.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define INFO_AT   UINT64_C(0x1000)
#define GDT_AT    UINT64_C(0x10000)
#define TSS_AT    UINT64_C(0x11000)
#define STACK_TOP UINT64_C(0x14000) /* for ring 0, where the guest comes back to it */
#define TABLES_AT UINT64_C(0x40000) /* top table, one of 1 GiB slots, then one of 2 MiB slots for each GiB */

#define TSS_BYTES       104
#define IO_BITMAP_BYTES 128                           /* ports below 0x400 */
#define TSS_LIMIT       (TSS_BYTES + IO_BITMAP_BYTES) /* one more byte, of ones, ends the bitmap */

#define ENTRY_TABLE UINT64_C(0x07) /* present, writable, user */
#define ENTRY_LARGE UINT64_C(0xe7) /* the same, accessed, dirty, 2 MiB */

#define CR0_START  UINT64_C(0x80010033) /* PG, WP, NE, ET, MP, PE */
#define CR4_START  UINT64_C(0x620)      /* OSXMMEXCPT, OSFXSR, PAE */
#define EFER_START UINT64_C(0xd01)      /* NXE, LMA, LME, SCE */

static void put64(uint8_t *ram, uint64_t at, uint64_t value)
{
    memcpy(ram + at, &value, sizeof(value));
}

static void make_tables(uint8_t *ram, uint64_t size)
{
    const uint64_t gib = UINT64_C(1) << 30;
    const uint64_t large = UINT64_C(2) << 20;
    const uint64_t level3 = TABLES_AT + 0x1000;
    const uint64_t level2 = TABLES_AT + 0x2000;

    put64(ram, TABLES_AT, level3 | ENTRY_TABLE);
    for (uint64_t i = 0; i * gib < size; i++)
        put64(ram, level3 + 8 * i, (level2 + 0x1000 * i) | ENTRY_TABLE);
    for (uint64_t i = 0; i * large < size; i++)
        put64(ram, level2 + 8 * i, i * large | ENTRY_LARGE);
}

static void make_gdt(uint8_t *ram)
{
    put64(ram, GDT_AT + GUEST_KERNEL_CODE, UINT64_C(0x00af9b000000ffff));
    put64(ram, GDT_AT + GUEST_KERNEL_DATA, UINT64_C(0x00cf93000000ffff));
    put64(ram, GDT_AT + GUEST_USER_DATA, UINT64_C(0x00cff3000000ffff));
    put64(ram, GDT_AT + GUEST_USER_CODE, UINT64_C(0x00affb000000ffff));
    put64(ram, GDT_AT + GUEST_TSS, UINT64_C(0x00008b0000000000) | (TSS_AT & 0xffffff) << 16 | TSS_LIMIT);
}

/* The guest works in ring 3 and reaches its ports through the I/O bitmap: all of those below 0x400 are open here. */
static void make_tss(uint8_t *ram)
{
    const uint16_t bitmap_at = TSS_BYTES;

    put64(ram, TSS_AT + 4, STACK_TOP);
    memcpy(ram + TSS_AT + 102, &bitmap_at, sizeof(bitmap_at));
    memset(ram + TSS_AT + TSS_BYTES, 0, IO_BITMAP_BYTES);
    ram[TSS_AT + TSS_LIMIT] = 0xff;
}

static void make_info(uint8_t *ram, uint64_t size, const struct workload *workload)
{
    struct boot_info info = {.version = BOOT_INFO_VERSION, .cpus = 1, .ram_bytes = size};
    char text[WORKLOAD_ARGUMENTS * WORKLOAD_ARGUMENT] = "";

    memcpy(info.magic, BOOT_INFO_MAGIC, sizeof(info.magic));
    for (unsigned i = 0; i < workload->count; i++)
        info.args_length += (uint32_t)snprintf(text + info.args_length, sizeof(text) - info.args_length, "%s%s",
                                               i ? " " : "", workload->text[i]);
    memcpy(ram + INFO_AT, &info, sizeof(info));
    memcpy(ram + INFO_AT + sizeof(info), text, info.args_length + 1);
}

static struct kvm_segment segment(uint16_t selector, uint8_t type)
{
    return (struct kvm_segment){
        .limit = 0xffffffff,
        .selector = selector,
        .type = type,
        .present = 1,
        .dpl = selector & 3,
        .s = 1,
        .g = 1,
        .l = type & 8 ? 1 : 0,  /* code is 64-bit, */
        .db = type & 8 ? 0 : 1, /* data says it is 32-bit, which 64-bit mode ignores */
    };
}

void bare_boot(uint8_t *ram, uint64_t size, const struct workload *workload, struct kvm_regs *regs,
               struct kvm_sregs *sregs)
{
    make_tables(ram, size);
    make_gdt(ram);
    make_tss(ram);
    make_info(ram, size, workload);
    sregs->cs = segment(GUEST_KERNEL_CODE, 0xb);
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = segment(GUEST_KERNEL_DATA, 0x3);
    sregs->tr =
        (struct kvm_segment){.base = TSS_AT, .limit = TSS_LIMIT, .selector = GUEST_TSS, .type = 0xb, .present = 1};
    sregs->gdt = (struct kvm_dtable){.base = GDT_AT, .limit = GUEST_TSS + 15};
    sregs->idt = (struct kvm_dtable){0};
    sregs->cr0 = CR0_START;
    sregs->cr3 = TABLES_AT;
    sregs->cr4 = CR4_START;
    sregs->efer = EFER_START;
    *regs = (struct kvm_regs){.rip = GUEST_LOAD_ADDRESS, .rsp = GUEST_STACK_TOP, .rdi = INFO_AT, .rflags = 2};
}

void bare_boot_forked(uint8_t *ram)
{
    put64(ram, INFO_AT + offsetof(struct boot_info, guest_id), 1);
    put64(ram, INFO_AT + offsetof(struct boot_info, generation), 1);
}
