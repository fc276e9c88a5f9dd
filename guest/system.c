/*
 * system: keeps values that change with every round in all that ring 0 and the ports can set beside the general
 * registers: MSRs, debug and control registers, the TSC, the UART. Memory says which round it is, so where the VMM
 * takes memory back and forgets any of the others, or the other way round, this guest finds out.
 */
#include "guest/lib/args.h"
#include "guest/lib/clock.h"
#include "guest/lib/console.h"
#include "guest/lib/hash.h"
#include "guest/lib/identity.h"
#include "guest/lib/marks.h"

const unsigned guest_options = GUEST_STAY_RING0;

#define MSR_TSC      0x10
#define MSR_FS_BASE  0xc0000100
#define TSC_LEAP     (UINT64_C(1) << 42) /* about an hour: more than any test takes */
#define CPUID_XSAVE  (1u << 26)          /* leaf 1, ECX */
#define CR4_PCE      (1u << 8)           /* user mode may read performance counters: nothing here does */
#define CR4_OSXSAVE  (1u << 18)
#define UART_LOOP    0x10                     /* of the modem control register */
#define ADDRESS_MASK UINT64_C(0x7ffffffff000) /* of a canonical address that is page-aligned */

/* SYSENTER_CS, ESP and EIP, LSTAR, CSTAR, SFMASK, KERNEL_GS_BASE. */
static const uint32_t msrs[] = {0x174, 0x175, 0x176, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, MSR_FS_BASE};
#define MSRS (sizeof msrs / sizeof *msrs)

static bool has_xsave;
static uint64_t tsc_before;             /* when this round's TSC was set */
static volatile uint8_t *identity_page; /* that of boot_info: the guest may write there, too */

static uint64_t read_msr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
    return (uint64_t)high << 32 | low;
}

static void write_msr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(msr) : "memory");
}

static uint64_t read_cr4(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}

static void write_cr4(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

static uint64_t read_xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static void write_xcr0(uint64_t value)
{
    __asm__ volatile("xsetbv" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(0));
}

static uint64_t address_for(uint64_t round, unsigned item)
{
    return hash_mix(round * 64 + item) & ADDRESS_MASK;
}

/* As wide as all processors have them: AMD's SYSENTER_ESP and EIP are of 32 bits, SYSENTER_CS is a selector. */
static uint64_t msr_value(uint64_t round, unsigned i)
{
    uint64_t value = address_for(round, i);
    if (msrs[i] == 0x174)
        return value >> 16 & 0xfff8;
    return msrs[i] < 0x200 || msrs[i] == 0xc0000084 ? value & 0x7ffff000 : value;
}

#define DR_READ(n)                                                                                                     \
    ({                                                                                                                 \
        uint64_t v_;                                                                                                   \
        __asm__ volatile("mov %%dr" #n ", %0" : "=r"(v_));                                                             \
        v_;                                                                                                            \
    })
#define DR_WRITE(n, value) __asm__ volatile("mov %0, %%dr" #n : : "r"(value))

static void write_debug(uint64_t round)
{
    DR_WRITE(0, address_for(round, 16));
    DR_WRITE(1, address_for(round, 17));
    DR_WRITE(2, address_for(round, 18));
    DR_WRITE(3, address_for(round, 19));
}

/* A byte is sent to the UART itself and received in the next round. The divisor lies behind a bit of the line control
 * register. */
static void write_uart(uint64_t round)
{
    port_out8(PORT_UART + 4, UART_LOOP | (uint8_t)(round & 0x0f));
    port_out8(PORT_UART, (uint8_t)(round * 11));
    port_out8(PORT_UART + 1, (uint8_t)(round * 13));
    port_out8(PORT_UART + 2, (uint8_t)(round & 1));
    port_out8(PORT_UART + 3, 0x83);
    port_out8(PORT_UART, (uint8_t)(round * 3));
    port_out8(PORT_UART + 1, (uint8_t)(round * 5));
    port_out8(PORT_UART + 3, 0x03);
    port_out8(PORT_UART + 7, (uint8_t)(round * 7));
}

static void write_all(uint64_t round)
{
    for (unsigned i = 0; i < MSRS; i++)
        write_msr(msrs[i], msr_value(round, i));
    write_debug(round);
    __asm__ volatile("mov %0, %%cr2" : : "r"(address_for(round, 20)));
    write_cr4((read_cr4() & ~(uint64_t)CR4_PCE) | (round % 2 ? CR4_PCE : 0));
    if (has_xsave)
        write_xcr0(round % 2 ? 3 : 1);
    write_uart(round);
    identity_page[4095] = (uint8_t)round;
    write_msr(MSR_TSC, read_tsc() + TSC_LEAP);
    tsc_before = read_tsc();
}

static void expect(const char *what, uint64_t found, uint64_t wanted)
{
    if (found == wanted)
        return;
    print_text("system wrong ");
    print_text(what);
    print_text(" ");
    print_hex(found);
    print_text(" want ");
    print_hex(wanted);
    print_field("round", PROBE->counter);
    print_text("\n");
    mark(MARK_WRONG);
    guest_exit(1);
}

static void check_uart(uint64_t round)
{
    expect("scratch", port_in8(PORT_UART + 7), (uint8_t)(round * 7));
    expect("modem control", port_in8(PORT_UART + 4), UART_LOOP | (round & 0x0f));
    expect("interrupt enable", port_in8(PORT_UART + 1), (uint8_t)(round * 13) & 0x0f);
    expect("fifo", port_in8(PORT_UART + 2) >> 6, round & 1 ? 3 : 0);
    expect("line status", port_in8(PORT_UART + 5) & 1, 1);
    expect("looped byte", port_in8(PORT_UART), (uint8_t)(round * 11));
    port_out8(PORT_UART + 3, 0x83);
    const uint8_t low = port_in8(PORT_UART), high = port_in8(PORT_UART + 1);
    port_out8(PORT_UART + 3, 0x03);
    expect("divisor", (uint64_t)high << 8 | low, (uint64_t)(uint8_t)(round * 5) << 8 | (uint8_t)(round * 3));
}

static void check_all(uint64_t round)
{
    for (unsigned i = 0; i < MSRS; i++)
        expect("msr", read_msr(msrs[i]), msr_value(round, i));
    expect("dr0", DR_READ(0), address_for(round, 16));
    expect("dr1", DR_READ(1), address_for(round, 17));
    expect("dr2", DR_READ(2), address_for(round, 18));
    expect("dr3", DR_READ(3), address_for(round, 19));
    uint64_t cr2;
    __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
    expect("cr2", cr2, address_for(round, 20));
    expect("cr4", read_cr4() & CR4_PCE, round % 2 ? CR4_PCE : 0);
    if (has_xsave)
        expect("xcr0", read_xcr0(), round % 2 ? 3 : 1);
    check_uart(round);
    expect("boot_info", identity_page[4095], (uint8_t)round);
    expect("tsc", (read_tsc() - tsc_before) / (TSC_LEAP / 2), 0);
}

/* XSETBV and XGETBV are beyond some KVMs that interpret ring 0. */
static bool find_xsave(boot_info *info)
{
    uint32_t a = 1, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (!(c & CPUID_XSAVE) || arg_number(info, "xcr", 0) == 0)
        return false;
    write_cr4(read_cr4() | CR4_OSXSAVE);
    return true;
}

/* Some KVMs have guests read the host's TSC, whatever is written to it. */
static bool tsc_is_own(void)
{
    const uint64_t before = read_tsc();
    write_msr(MSR_TSC, before + TSC_LEAP);
    return read_tsc() - before >= TSC_LEAP;
}

unsigned guest_main(boot_info *info, unsigned cpu)
{
    (void)cpu;
    args_check(info, "xcr");
    if (cpu_level() != 0) {
        print_text("system: wants to start in ring 0\n");
        return ARGS_EXIT;
    }
    probe_start(info, "system");
    print_text(tsc_is_own() ? "system tsc own" : "system tsc host");
    print_field("khz", clock_khz_told());
    print_text("\n");
    has_xsave = find_xsave(info);
    identity_page = (volatile uint8_t *)(uintptr_t)info;
    write_all(0);
    for (;;) {
        const uint64_t round = PROBE->counter;
        check_all(round);
        write_all(round + 1);
        PROBE->counter = round + 1;
    }
}
