/*
 * From a guest's file to guest memory that can be entered: tells the file's kind by content, loads it, and lays out
 * what the guest ABI promises below 1 MiB (page tables made with the cursor, GDT, TSS, IDT, boot_info). It writes
 * through a pointer to guest RAM and knows neither KVM nor threads, so it can be tested without either.
 */
#ifndef VMM_BOOT_BOOT_H
#define VMM_BOOT_BOOT_H

#include "vmm/base/failure.h"

#include <cleave/guest.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Guest RAM: GPA g is at base[g]; size in bytes. Fresh RAM is zero. Beside it the guest has regions, which are not
 * touched. */
struct boot_ram {
    uint8_t *base;
    uint64_t size;
    const struct cleave_region *regions;
    unsigned region_count;
};

struct boot_config {
    const char *path; /* the guest's file */
    const char *args; /* for boot_info, already joined */
    unsigned cpus;    /* 1..GUEST_MAX_CPUS */
    unsigned cpl;     /* 0 or 3 */
};

/* What vCPU state starts from; the same for all vCPUs but where it says so. */
struct boot_entry {
    uint64_t rip;
    uint64_t cr3;
    uint64_t gdt_base; /* each vCPU has a GDT page of its own: gdt_base + index * gdt_stride */
    uint64_t gdt_stride;
    uint32_t gdt_limit;
    uint64_t tss_base; /* vCPU's TSS: tss_base + index * tss_stride */
    uint64_t tss_stride;
    uint32_t tss_limit;
    uint64_t idt_base;
    uint32_t idt_limit;
    uint64_t boot_info; /* GPA, for RDI */
    unsigned cpl;
};

/* Loads config->path into ram and fills *entry. 0, or -1 with *failure: one line that names the file and what is wrong.
 */
int boot_load(const struct boot_ram *ram, const struct boot_config *config, struct boot_entry *entry,
              struct cleave_failure *failure);

/* GPA of boot_info, for refreshing a forked guest's identity. */
#define BOOT_INFO_GPA 0x1000

/* An unhandled exception: the boot IDT's stubs end in a HLT at a known address with a frame on their own stack. */
struct boot_exception {
    unsigned vector;
    bool has_error_code;
    uint64_t error_code, rip, cs, rflags, rsp, ss;
};

/*
 * True where a vCPU that has halted with its next instruction at `rip` did so in a boot IDT stub; `rsp` is its stack
 * pointer and `read` fetches guest memory (returns false outside RAM). Fills *exception.
 */
bool boot_decode_exception(uint64_t rip, uint64_t rsp,
                           bool (*read)(void *context, uint64_t gpa, void *to, size_t length), void *context,
                           struct boot_exception *exception);

/* "#PF page fault" and so on, for vectors 0..255. */
const char *boot_exception_name(unsigned vector);

#endif
