/* What a guest without libc asserts with: the first thing that is not as expected is printed and ends the guest with
 * exit code 1. For the files of this folder. */
#ifndef TESTS_FREESTANDING_EXPECT_H
#define TESTS_FREESTANDING_EXPECT_H

#include "guest/lib/console.h"
#include "guest/lib/guest.h"

/* How many expectations held; for the last line of the output. */
extern uint64_t expectations;

static inline void expect(bool holds, const char *file, unsigned line, const char *what)
{
    expectations++;
    if (holds)
        return;
    print_text(file);
    print_text(":");
    print_decimal(line);
    print_text(": this does not hold: ");
    print_text(what);
    print_text("\n");
    guest_exit(1);
}

#define EXPECT(condition) expect((condition), __FILE__, __LINE__, #condition)

#endif
