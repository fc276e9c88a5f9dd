/* The page-table library in a machine of ours that has no libc: a guest that exercises both formats in its own memory
 * and exits with 0, or with 1 and a line that says what was not as expected. tests/kvm/freestanding.c runs it. */
#include "tests/freestanding/exercise.h"
#include "tests/freestanding/expect.h"

uint64_t expectations;

static void run(const char *format, void (*exercise)(unsigned levels), unsigned levels)
{
    print_text(format);
    print_field("levels", levels);
    print_text("\n");
    exercise(levels);
}

unsigned guest_main(boot_info *info, unsigned cpu)
{
    (void)info;
    (void)cpu;
    for (unsigned levels = 4; levels <= 5; levels++) {
        run("ept", exercise_ept, levels);
        run("x86", exercise_x86, levels);
    }
    print_text("freestanding");
    print_field("expectations", expectations);
    print_text(" all hold\n");
    return 0;
}
