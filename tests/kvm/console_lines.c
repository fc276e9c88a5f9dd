/* Lines of guests that are forked in the middle of one: each child's console consists of whole lines, in query-console
 * and where it is passed on to. */
#include "tests/support/kvm_rig.h"
#include "tests/support/rounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WHOLE_START "a line that somebody"
#define WHOLE_END   "more like it here"

/* Is all of it whole lines, but for the last, unfinished one? */
static void check_lines(const char *text)
{
    while (strchr(text, '\n')) {
        const size_t length = strcspn(text, "\n"), least = strlen(WHOLE_START) + strlen(WHOLE_END);
        ck_assert_msg(length > least && strncmp(text, WHOLE_START, strlen(WHOLE_START)) == 0 &&
                          strncmp(text + length - strlen(WHOLE_END), WHOLE_END, strlen(WHOLE_END)) == 0,
                      "not a whole line: %.*s", (int)length, text);
        text += length + 1;
    }
}

/* Of a child that has written little so far. */
static bool has_lines(struct rig *rig, uint64_t child)
{
    char *text = rig_console(rig, child);
    const bool found = strchr(text, '\n') != NULL;
    free(text);
    return found;
}

START_TEST(child_that_is_forked_in_the_middle_of_a_line_prints_whole_lines)
{
    char option[600];
    snprintf(option, sizeof option, "file:%s/console", getenv("TMPDIR"));
    struct rig rig = RIG("--memory", "8M", "--console", option, "@flood");
    for (unsigned i = 0; i < rounds(40, 8); i++) {
        const uint64_t child = rig_fork(&rig, 0, 1, true, NULL);
        char *text = rig_console(&rig, child);
        ck_assert_str_eq(text, ""); /* it has written nothing */
        free(text);
        rig_do(&rig, "resume", child);
        RIG_UNTIL(has_lines(&rig, child));
        rig_do(&rig, "pause", child);
        text = rig_console(&rig, child);
        ck_assert_uint_lt(strlen(text), 60000);
        check_lines(text);
        free(text);
        rig_do(&rig, "kill", child);
    }
    rig_quit(&rig);

    FILE *file = fopen(option + 5, "r");
    ck_assert_ptr_nonnull(file);
    char line[256];
    unsigned of_children = 0;
    while (fgets(line, sizeof line, file)) {
        unsigned child;
        int lead = 0;
        if (sscanf(line, "[g%u] %n", &child, &lead) != 1 || !lead)
            continue;
        /* The last line of one that was killed ends where it was. */
        const size_t length = strcspn(line + lead, "\n"), start = strlen(WHOLE_START);
        ck_assert_msg(strncmp(line + lead, WHOLE_START, length < start ? length : start) == 0, "not a whole line: %s",
                      line);
        of_children++;
    }
    ck_assert_uint_ge(of_children, rounds(40, 8));
    fclose(file);
    unlink(option + 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("console_lines");
    TCase *tests = tcase_create("lines");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, child_that_is_forked_in_the_middle_of_a_line_prints_whole_lines);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
