/* Exceptions of the ROM itself: none is expected, each is told and ends the machine. */
#ifndef TESTS_HW_ROM_EXCEPTIONS_H
#define TESTS_HW_ROM_EXCEPTIONS_H

#include <stdint.h>

/* What vectors.S pushes, the processor's own last (SDM volume 3, "64-bit mode stack frame"). */
struct exception_frame {
    uint64_t vector, error_code; /* 0 where there is none */
    uint64_t rip, cs, rflags, rsp, ss;
};

/* Points the IDT at all 32 vectors. Interrupts stay off. */
void exceptions_open(void);

/* Called by vectors.S. */
_Noreturn void exceptions_report(const struct exception_frame *frame);

#endif
