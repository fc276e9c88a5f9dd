/* See exceptions.h. */
#include "tests/hw/rom/exceptions.h"

#include "tests/hw/rom/console.h"
#include "tests/hw/rom/machine.h"

#define VECTORS        32
#define STUB_SIZE      16
#define INTERRUPT_GATE 0x8e00ull

extern const char exception_stubs[]; /* vectors.S: STUB_SIZE bytes each */

static struct {
    uint64_t low, high;
} idt[VECTORS];

void exceptions_open(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } pointer = {sizeof(idt) - 1, (uintptr_t)idt};

    for (unsigned i = 0; i < VECTORS; i++) {
        uint64_t at = (uintptr_t)exception_stubs + i * STUB_SIZE;

        idt[i].low = (at & 0xffff) | SELECTOR_CODE << 16 | INTERRUPT_GATE << 32 | (at & 0xffff0000) << 32;
        idt[i].high = at >> 32;
    }
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

void exceptions_report(const struct exception_frame *frame)
{
    console_text("\nexception ");
    console_hex(frame->vector);
    console_text(" error ");
    console_hex(frame->error_code);
    console_text(" at ");
    console_hex(frame->rip);
    console_text(" cr2 ");
    console_hex(read_cr2());
    machine_fail("an exception in the ROM");
}
