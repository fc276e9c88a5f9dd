/*
 * crash: ends, or does not end, in each way a guest can; how=WORD says which and ring=0|3 from which level. For tests
 * that a VMM reports each rightly and that no sibling is disturbed.
 */
#include "guest/lib/args.h"
#include "guest/lib/clock.h"
#include "guest/lib/console.h"
#include "guest/lib/identity.h"

const unsigned guest_options = GUEST_STAY_RING0;

#define UNMAPPED      0x700000000000 /* canonical, and the boot tables map nothing there */
#define NON_CANONICAL 0x8000000000000000
#define UNKNOWN_PORT  0x2f0        /* no device has it */
#define MMIO_VIRTUAL  0x8000000000 /* the second slot of the top table, which the boot tables leave empty */

#define PAGE_FLAGS 0x67 /* present, writable, user, accessed, dirty */
#define PAGE_LARGE 0x80
#define ADDRESS    0x000ffffffffff000

static _Alignas(4096) uint64_t mmio_tables[2][512];

static void crash_ud(boot_info *info)
{
    (void)info;
    __asm__ volatile("ud2");
}

static void crash_write(boot_info *info)
{
    (void)info;
    __asm__ volatile("movq $1, (%0)" : : "r"(UNMAPPED) : "memory");
}

static void crash_read(boot_info *info)
{
    uint64_t value;
    (void)info;
    __asm__ volatile("movq (%1), %0" : "=r"(value) : "r"(UNMAPPED + 8) : "memory");
}

static void crash_jump(boot_info *info)
{
    (void)info;
    __asm__ volatile("jmp *%0" : : "r"(UNMAPPED + 0x10));
}

static void crash_gp(boot_info *info)
{
    (void)info;
    __asm__ volatile("movq $1, (%0)" : : "r"(NON_CANONICAL) : "memory");
}

static void crash_de(boot_info *info)
{
    (void)info;
    __asm__ volatile("xorl %%edx, %%edx; movl $1, %%eax; xorl %%ecx, %%ecx; divl %%ecx" : : : "eax", "ecx", "edx");
}

static void crash_bp(boot_info *info)
{
    (void)info;
    __asm__ volatile("int3");
}

/* Uses all stack there can be: it runs into the end of what is mapped. */
static void crash_stack(boot_info *info)
{
    (void)info;
    __asm__ volatile("movq %0, %%rsp; pushq $0" : : "r"(UNMAPPED));
}

/* HLT: the end of a vCPU in ring 0, #GP in ring 3. */
static void crash_hlt(boot_info *info)
{
    (void)info;
    for (;;)
        __asm__ volatile("hlt");
}

/* Ring 0: an exception with no IDT to report it. Ring 3 may not load the IDT, which is a #GP. */
static void crash_triple(boot_info *info)
{
    static const struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } empty = {0, 0};
    (void)info;
    __asm__ volatile("lidt %0; ud2" : : "m"(empty));
}

/* Ring 0: a VEX instruction, which some software-backed KVMs cannot emulate there. Elsewhere it does nothing, exit 3.
 */
static void crash_vex(boot_info *info)
{
    (void)info;
    __asm__ volatile("andnl %%eax, %%eax, %%eax" : : : "eax");
    guest_exit(3);
}

static void crash_hang(boot_info *info)
{
    (void)info;
    for (;;)
        cpu_pause();
}

static void crash_exit(boot_info *info)
{
    guest_exit((uint32_t)arg_number(info, "code", 0));
}

/* A port that no device has: in ring 0 it reads as all ones; ring 3 may not use it, which is a #GP. */
static void crash_port(boot_info *info)
{
    (void)info;
    port_out32(UNKNOWN_PORT, 1);
    const uint32_t value = port_in32(UNKNOWN_PORT);
    print_text("crash: port reads ");
    print_hex(value);
    print_text("\n");
    guest_exit(value == UINT32_MAX ? 0 : 1);
}

/* Maps the GPA right after RAM, rounded up to 2 MiB, at MMIO_VIRTUAL. Only ring 0 can: it needs CR3. */
static void map_mmio(boot_info *info)
{
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    const uint64_t gpa = (info->ram_bytes + 0x1fffff) & ~UINT64_C(0x1fffff);
    mmio_tables[1][0] = gpa | PAGE_FLAGS | PAGE_LARGE;
    mmio_tables[0][0] = (uint64_t)mmio_tables[1] | PAGE_FLAGS;
    ((volatile uint64_t *)(cr3 & ADDRESS))[1] = (uint64_t)mmio_tables[0] | PAGE_FLAGS;
}

/* Reads and writes where no RAM is: reads as all ones. Started in ring 3 nothing is mapped there, which is a #PF. */
static void crash_mmio(boot_info *info)
{
    (void)info;
    uint64_t value;
    __asm__ volatile("movq %1, (%2); movq (%2), %0" : "=&r"(value) : "r"(UINT64_C(1)), "r"(MMIO_VIRTUAL) : "memory");
    print_text("crash: mmio reads ");
    print_hex(value);
    print_text("\n");
    guest_exit(value == UINT64_MAX ? 0 : 1);
}

static const struct {
    void (*run)(boot_info *info);
    unsigned ring; /* the usual level */
} ways[] = {
    {crash_ud, 3},  {crash_write, 3}, {crash_read, 3},  {crash_jump, 3}, {crash_gp, 3},
    {crash_de, 3},  {crash_bp, 3},    {crash_stack, 3}, {crash_hlt, 0},  {crash_triple, 0},
    {crash_vex, 0}, {crash_hang, 3},  {crash_exit, 3},  {crash_port, 0}, {crash_mmio, 0},
};
#define WAYS "ud write read jump gp de bp stack hlt triple vex hang exit port mmio"

unsigned guest_main(boot_info *info, unsigned cpu)
{
    (void)cpu;
    args_check(info, "how ring code delay_us tsc_mhz");
    const unsigned way = arg_choice(info, "how", WAYS);
    const uint64_t ring = arg_number(info, "ring", ways[way].ring);
    if (cpu_level() == 0)
        map_mmio(info);
    if (ring != 0)
        drop_to_ring3();

    probe_start(info, "crash");
    const uint64_t delay = arg_number(info, "delay_us", 0) * clock_ticks_per_us(info);
    for (const uint64_t start = read_tsc(); read_tsc() - start < delay;)
        cpu_pause();
    ways[way].run(info);
    print_text("crash: still running\n");
    return 1;
}
