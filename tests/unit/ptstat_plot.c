/*
 * The scripts that ptstat has gnuplot draw, by gnuplot itself: what comes out is a well-formed SVG file with everything
 * in it that a reader needs.
 */
#include "tools/ptstat/plot_script.h"

#include <check.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_DEPTH 64

static struct plot plot;

static void add_curve(struct panel *panel, const char *name, const char *beside, bool is_baseline, uint64_t scale)
{
    struct curve *curve = &panel->curves[panel->count++];

    snprintf(curve->name, sizeof(curve->name), "%s", name);
    snprintf(curve->beside, sizeof(curve->beside), "%s", beside);
    curve->is_baseline = is_baseline;
    for (uint64_t x = 4096; x <= 1 << 26; x *= 4)
        curve->points[curve->count++] =
            (struct point){x, {.count = 3, .min = scale, .p50 = scale + x, .p90 = scale + 2 * x, .max = 3 * x}};
}

static struct panel *add_panel(const char *title, enum unit unit)
{
    struct panel *panel = &plot.panels[plot.count++];

    *panel =
        (struct panel){.x_label = "size of things", .y_label = "height of things", .x_is_size = true, .unit = unit};
    snprintf(panel->title, sizeof(panel->title), "%s", title);
    add_curve(panel, "one_figure", "its_base", false, 1000);
    add_curve(panel, "other_figure", "", false, 50000);
    add_curve(panel, "its_base", "", true, 300);
    add_curve(panel, "lone_base", "", true, 9000000);
    return panel;
}

static void setup(void)
{
    memset(&plot, 0, sizeof(plot));
    snprintf(plot.title, sizeof(plot.title), "a plot's title");
    snprintf(plot.place, sizeof(plot.place), "cpu 'Quoted' \\ <A&B>\nsecond $line `date` %%d");
}

static char *text_of(FILE *file)
{
    char *text = NULL;
    size_t size = 0;

    rewind(file);
    ck_assert_int_ge(getdelim(&text, &size, '\0', file), 0);
    fclose(file);
    return text;
}

/* What gnuplot makes of the script, without a word of complaint. */
static char *draw(void)
{
    FILE *script = tmpfile(), *svg = tmpfile(), *errors = tmpfile();
    int status;
    pid_t child;

    ck_assert(script && svg && errors);
    plot_script(&plot, script);
    rewind(script);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        dup2(fileno(script), STDIN_FILENO);
        dup2(fileno(svg), STDOUT_FILENO);
        dup2(fileno(errors), STDERR_FILENO);
        execlp("gnuplot", "gnuplot", "-", (char *)NULL);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "gnuplot's status is 0x%x", (unsigned)status);
    fseek(errors, 0, SEEK_END);
    ck_assert_msg(ftell(errors) == 0, "gnuplot complains: %.200s", text_of(errors));
    fclose(errors);
    fclose(script);
    return text_of(svg);
}

struct tags {
    char names[MOST_DEPTH][32];
    size_t depth;
    size_t roots; /* elements outside of all others */
};

/* The tag that begins at `at`; its end. */
static const char *take_tag(struct tags *tags, const char *at)
{
    const char *end = strchr(at, '>');
    const bool is_end = at[1] == '/';
    const char *name = at + 1 + is_end;
    const size_t length = strcspn(name, " \t\n/>");

    ck_assert_ptr_nonnull(end);
    if (*name == '?' || *name == '!')
        return end;
    ck_assert_uint_lt(length, sizeof(tags->names[0]));
    if (is_end) {
        ck_assert_uint_gt(tags->depth, 0);
        tags->depth--;
        ck_assert_msg(strlen(tags->names[tags->depth]) == length && !strncmp(tags->names[tags->depth], name, length),
                      "<%s> is ended by </%.*s>", tags->names[tags->depth], (int)length, name);
        return end;
    }
    tags->roots += tags->depth == 0;
    if (end[-1] == '/')
        return end;
    ck_assert_uint_lt(tags->depth, MOST_DEPTH);
    snprintf(tags->names[tags->depth++], sizeof(tags->names[0]), "%.*s", (int)length, name);
    return end;
}

/* Tags nest, there is one root, an svg, and every & is a reference. */
static void check_svg(const char *svg)
{
    struct tags tags = {0};

    for (const char *at = svg; *at; at++) {
        if (!strncmp(at, "<!--", 4))
            at = strstr(at, "-->");
        else if (*at == '<')
            at = take_tag(&tags, at);
        else if (*at == '&')
            ck_assert_msg(strcspn(at, ";") < 8, "a lone & at: %.40s", at);
        else
            ck_assert_msg(tags.depth || isspace((unsigned char)*at), "text outside of all: %.40s", at);
        ck_assert_ptr_nonnull(at);
    }
    ck_assert_uint_eq(tags.depth, 0);
    ck_assert_uint_eq(tags.roots, 1);
    ck_assert_ptr_nonnull(strstr(svg, "<svg"));
}

static size_t times(const char *text, const char *word)
{
    size_t count = 0;

    for (; (text = strstr(text, word)); text++)
        count++;
    return count;
}

static void check_words(const char *svg, const char *const words[])
{
    for (size_t i = 0; words[i]; i++)
        ck_assert_msg(strstr(svg, words[i]) != NULL, "no %s", words[i]);
}

START_TEST(panels_that_are_alike_share_a_legend_and_a_scale)
{
    static const char *const words[] = {"a plot’s title",
                                        "first panel",
                                        "second panel",
                                        "size of things",
                                        "height of things",
                                        "one_figure",
                                        "other_figure",
                                        ">its_base (baseline)<",
                                        ">lone_base (baseline)<",
                                        ">4K<",
                                        ">64M<",
                                        ">100 ms<",
                                        ">1 µs<",
                                        NULL};
    char *svg;

    add_panel("first panel", UNIT_NS);
    add_panel("second panel", UNIT_NS);
    svg = draw();
    check_svg(svg);
    check_words(svg, words);
    ck_assert_uint_eq(times(svg, ">one_figure"), 1);
    ck_assert_uint_eq(times(svg, ">height of things<"), 1);
    ck_assert_uint_eq(times(svg, ">1 µs<"), 1);
    free(svg);
}
END_TEST

START_TEST(panels_that_differ_have_their_own)
{
    static const char *const words[] = {">1 µs<", ">64 KiB<", ">16 MiB<", NULL};
    char *svg;

    add_panel("first panel", UNIT_NS);
    add_panel("second panel", UNIT_BYTES);
    svg = draw();
    check_svg(svg);
    check_words(svg, words);
    ck_assert_uint_eq(times(svg, ">one_figure"), 2);
    ck_assert_uint_eq(times(svg, ">height of things<"), 2);
    free(svg);
}
END_TEST

START_TEST(one_panel_is_a_plot)
{
    char *svg;

    add_panel("only panel", UNIT_NS);
    svg = draw();
    check_svg(svg);
    ck_assert_uint_eq(times(svg, ">one_figure"), 1);
    free(svg);
}
END_TEST

/* What is not told by its name, and what the reader looks for first: how far it is from its baseline. */
START_TEST(the_legend_says_what_a_curve_means)
{
    static const char *const words[] = {">one_figure: what it is  [2.00 of its_base]<",
                                        ">other_figure  [0.01 to ",
                                        " of its_base]<",
                                        ">its_base (baseline): the least there is<",
                                        ">What follows: this,<",
                                        ">and that.<",
                                        NULL};
    struct panel *panel = add_panel("only panel", UNIT_NS);
    char *svg;

    panel->curves[0].meaning = "what it is";
    panel->curves[2].meaning = "the least there is";
    for (size_t i = 0; i < panel->curves[0].count; i++) {
        panel->curves[0].points[i].y.p50 = 2 * panel->curves[2].points[i].y.p50;
        panel->curves[1].points[i].y.p50 = (i + 1) * panel->curves[2].points[i].y.p50 / 100 + 1;
    }
    plot.follows[0] = "What follows: this,";
    plot.follows[1] = "and that.";
    svg = draw();
    check_svg(svg);
    check_words(svg, words);
    free(svg);
}
END_TEST

/* Where a script has "NAME NUMBER", the number, for each time. */
static size_t numbers_after(const char *script, const char *name, double numbers[], size_t most)
{
    size_t count = 0;

    for (const char *at = script; (at = strstr(at, name)); at++) {
        ck_assert_uint_lt(count, most);
        numbers[count++] = strtod(at + strlen(name), NULL);
    }
    return count;
}

/* Has the text up to the end `end` the word in it? */
static bool strstr_within(const char *text, char end, const char *word)
{
    const char *found = strstr(text, word);

    return found && found < strchr(text, end);
}

/* Curves that are the same: no point of one lies on that of another, and the first that is drawn is the broadest. */
START_TEST(curves_that_meet_do_not_hide_each_other)
{
    struct panel *panel = add_panel("only panel", UNIT_NS);
    double widths[16];
    size_t count, points = 0;
    static char at_place[128][64];
    char *svg, *text = NULL;
    FILE *script = tmpfile();

    for (size_t i = 1; i < panel->count; i++)
        memcpy(panel->curves[i].points, panel->curves[0].points, sizeof(panel->curves[0].points));
    plot_script(&plot, script);
    text = text_of(script);
    count = numbers_after(text, "linespoints lw ", widths, 16);
    ck_assert_uint_eq(count, 4);
    ck_assert(widths[0] > widths[1] + 0.5);
    free(text);

    svg = draw();
    check_svg(svg);
    for (const char *at = svg; (at = strstr(at, "transform='translate(")); at++) {
        if (!strncmp(strchr(at, ')') + 1, " scale", 6) && !strstr_within(at, '>', "#FFFFFF")) {
            snprintf(at_place[points], sizeof(at_place[0]), "%.*s", (int)strcspn(at, ")"), at);
            for (size_t i = 0; i < points; i++)
                ck_assert_str_ne(at_place[i], at_place[points]);
            ck_assert_uint_lt(++points, 128);
        }
    }
    ck_assert_uint_ge(points, 4 * panel->curves[0].count);
    free(svg);
}
END_TEST

/* What the host says of itself reaches the reader as it is, and gnuplot as nothing but text. */
START_TEST(text_is_only_text)
{
    char *svg;

    add_panel("$(x) @y `z` ''", UNIT_NS);
    svg = draw();
    check_svg(svg);
    check_words(svg,
                (const char *const[]){"cpu ’Quoted’ \\ &lt;A&amp;B> second $line `date` %d", "$(x) @y `z` ’’", NULL});
    free(svg);
}
END_TEST

/* A figure of bytes may be 0, which has no place on a logarithmic axis. */
START_TEST(zero_is_left_out)
{
    struct panel *panel = add_panel("only panel", UNIT_BYTES);
    char *svg;

    panel->curves[0].points[0].y = (struct summary){.count = 1};
    svg = draw();
    check_svg(svg);
    check_words(svg, (const char *const[]){"one_figure", ">16 MiB<", NULL});
    free(svg);
}
END_TEST

START_TEST(a_single_point_is_a_plot)
{
    struct panel *panel = add_panel("only panel", UNIT_NS);
    char *svg;

    for (size_t i = 0; i < panel->count; i++) {
        panel->curves[i].points[0].y = (struct summary){1, 5, 5, 5, 5, 5};
        panel->curves[i].count = 1;
    }
    svg = draw();
    check_svg(svg);
    check_words(svg, (const char *const[]){"one_figure", ">4K<", NULL});
    free(svg);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ptstat_plot");
    TCase *scripts = tcase_create("scripts");
    SRunner *runner = srunner_create(suite);
    int failures;

    tcase_set_timeout(scripts, 120);
    tcase_add_checked_fixture(scripts, setup, NULL);
    tcase_add_test(scripts, panels_that_are_alike_share_a_legend_and_a_scale);
    tcase_add_test(scripts, panels_that_differ_have_their_own);
    tcase_add_test(scripts, one_panel_is_a_plot);
    tcase_add_test(scripts, the_legend_says_what_a_curve_means);
    tcase_add_test(scripts, curves_that_meet_do_not_hide_each_other);
    tcase_add_test(scripts, text_is_only_text);
    tcase_add_test(scripts, zero_is_left_out);
    tcase_add_test(scripts, a_single_point_is_a_plot);
    suite_add_tcase(suite, scripts);
    srunner_run_all(runner, CK_NORMAL);
    failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
