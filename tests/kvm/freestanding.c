/* The page-table library on a machine without libc: the guests of tests/freestanding, which hold the whole library as
 * each compiler makes it with nothing but its own headers, must find all they expect. */
#include "tests/support/kvm_rig.h"

#include <stdlib.h>
#include <string.h>

static const char *const images[] = {"@freestanding/gcc-O2.elf", "@freestanding/gcc-Os.elf",
                                     "@freestanding/clang-O2.elf", "@freestanding/clang-Os.elf"};
#define IMAGES (sizeof images / sizeof images[0])

/* What the guest printed, for the caller to free. Its exit code says whether all was as expected, and its last line
 * that it came to its end. */
static char *output_of(const char *image, const char *level)
{
    struct outcome outcome = RUN("--memory", "16M", "--cpl", level, image);
    ck_assert_msg(outcome.status == 0, "%s at level %s: exit status %d:\n%s%s", image, level, outcome.status,
                  outcome.output, outcome.errors);
    ck_assert_msg(strstr(outcome.output, " all hold\n") != NULL, "%s: no last line:\n%s", image, outcome.output);
    char *output = strdup(outcome.output);
    ck_assert_ptr_nonnull(output);
    outcome_free(&outcome);
    return output;
}

START_TEST(library_without_libc_works_in_a_guest)
{
    char *output = output_of(images[_i], "3");
    /* Both formats, four levels and five; the dumps of their trees are not empty. */
    static const char *const words[] = {"ept levels 4\n0x", "x86 levels 4\n0x", "ept levels 5\n0x", "x86 levels 5\n0x"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        ck_assert_msg(strstr(output, words[i]) != NULL, "%s: no '%s':\n%s", images[_i], words[i], output);
    free(output);
}
END_TEST

START_TEST(every_compiler_and_level_gives_the_same_output)
{
    char *first = output_of(images[0], "0");
    for (size_t i = 1; i < IMAGES; i++) {
        char *other = output_of(images[i], "0");
        ck_assert_str_eq(first, other);
        free(other);
    }
    free(first);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("freestanding");
    TCase *tests = tcase_create("freestanding");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_loop_test(tests, library_without_libc_works_in_a_guest, 0, IMAGES);
    tcase_add_test(tests, every_compiler_and_level_gives_the_same_output);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
