/*
 * What happens to an exception that the guest does not handle: every gate of the boot IDT leads, on the IST1 stack, to
 * a stub that halts at once. The VMM knows the vector from the halted RIP and finds the CPU's own frame at RSP, so the
 * stubs need no code that could itself go wrong. For the VMM's HLT handling and its crash reports.
 */
#include "vmm/boot/layout.h"

#include <string.h>

void boot_make_stubs(const struct boot_ram *ram)
{
    static const uint8_t stub[STUB_STRIDE] = {
        0xf4,       /*  hlt            the VMM ends the guest here */
        0xeb, 0xfd, /*  jmp stub       so that a stray wake-up (an NMI) changes nothing */
        0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
    };
    for (unsigned vector = 0; vector < 256; vector++)
        memcpy(ram->base + STUB_BASE + vector * STUB_STRIDE, stub, sizeof stub);
}

bool boot_decode_exception(uint64_t rip, uint64_t rsp,
                           bool (*read)(void *context, uint64_t gpa, void *to, size_t length), void *context,
                           struct boot_exception *exception)
{
    /* Halted: the next instruction is the jump, one byte into the stub. */
    if (rip < STUB_BASE || rip >= STUB_BASE + 256 * STUB_STRIDE || (rip - STUB_BASE) % STUB_STRIDE != 1)
        return false;

    /*
     * The CPU aligns RSP to 16 bytes, then pushes five words, and a sixth where the event has an error code. So the
     * alignment tells, and it is right also for an INT instruction with the number of a vector that has one.
     */
    const bool has_error_code = rsp % 16 == 0;
    uint64_t frame[6];
    const size_t words = has_error_code ? 6 : 5;
    if (rsp % 8 != 0 || !read(context, rsp, frame, words * sizeof frame[0]))
        return false;

    const uint64_t *saved = has_error_code ? frame + 1 : frame;
    *exception = (struct boot_exception){
        .vector = (unsigned)((rip - STUB_BASE) / STUB_STRIDE),
        .has_error_code = has_error_code,
        .error_code = has_error_code ? frame[0] : 0,
        .rip = saved[0],
        .cs = saved[1],
        .rflags = saved[2],
        .rsp = saved[3],
        .ss = saved[4],
    };
    return true;
}

const char *boot_exception_name(unsigned vector)
{
    static const char *const names[] = {
        [0] = "#DE divide error",
        [1] = "#DB debug",
        [2] = "NMI",
        [3] = "#BP breakpoint",
        [4] = "#OF overflow",
        [5] = "#BR bound range exceeded",
        [6] = "#UD invalid opcode",
        [7] = "#NM device not available",
        [8] = "#DF double fault",
        [10] = "#TS invalid TSS",
        [11] = "#NP segment not present",
        [12] = "#SS stack fault",
        [13] = "#GP general protection",
        [14] = "#PF page fault",
        [16] = "#MF x87 floating point",
        [17] = "#AC alignment check",
        [18] = "#MC machine check",
        [19] = "#XM SIMD floating point",
        [20] = "#VE virtualization",
        [21] = "#CP control protection",
        [28] = "#HV hypervisor injection",
        [29] = "#VC VMM communication",
        [30] = "#SX security",
    };
    if (vector < sizeof names / sizeof names[0] && names[vector])
        return names[vector];
    return vector < 32 ? "reserved exception" : "interrupt";
}
