/*
 * ptdump as its users and scripts see it: on a live guest before and after a fork, beside what the VMM says by other
 * commands; on files; and one line for each error.
 */
#include "tests/support/image_tree.h"
#include "tests/support/kvm_random.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_WORDS    16
#define EXIT_RUNTIME 1
#define EXIT_USAGE   2
#define MIB          (UINT64_C(1) << 20)
#define LIVE_HEADS   "FIRST          LAST              HPA             PG  RWXU  MT  ADGI\n"
#define IMAGE_HEADS  "FIRST          LAST              HPA             PG  RWXU  MT  ADGI  SW\n"
#define PTDUMP(...)  run_ptdump((const char *const[]){__VA_ARGS__, NULL})

static char *read_all(FILE *stream)
{
    char *text = NULL;
    size_t size = 0;
    rewind(stream);
    if (getdelim(&text, &size, '\0', stream) < 0 && text)
        text[0] = '\0';
    fclose(stream);
    ck_assert_ptr_nonnull(text);
    return text;
}

/* Runs the built ptdump with these words and keeps what it says. */
static struct outcome run_ptdump(const char *const words[])
{
    FILE *output = tmpfile(), *errors = tmpfile();
    char *argv[MAX_WORDS + 2] = {NULL};
    char path[PATH_MAX];
    vmm_build_path(path, sizeof path, "tools/ptdump");
    argv[0] = path;
    for (size_t i = 0; words[i]; i++) {
        ck_assert_uint_lt(i, MAX_WORDS);
        argv[i + 1] = (char *)words[i];
    }
    ck_assert(output && errors);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        dup2(fileno(output), STDOUT_FILENO);
        dup2(fileno(errors), STDERR_FILENO);
        execv(path, argv);
        _exit(127);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return (struct outcome){
        .status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
        .output = read_all(output),
        .errors = read_all(errors),
    };
}

/* What it prints when all goes well, for the caller to free. */
static char *output_of(struct outcome outcome)
{
    ck_assert_msg(outcome.status == 0, "exit status %d: %s", outcome.status, outcome.errors);
    ck_assert_str_eq(outcome.errors, "");
    free(outcome.errors);
    return outcome.output;
}

static json_t *json_of(struct outcome outcome)
{
    char *text = output_of(outcome);
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(value != NULL, "not JSON: %.300s", text);
    free(text);
    return value;
}

static void check_output(struct outcome outcome, const char *want)
{
    char *text = output_of(outcome);
    ck_assert_str_eq(text, want);
    free(text);
}

/* Ends with `status` and one line on stderr that has `word` in it, and prints nothing else. */
static void check_refusal(struct outcome outcome, int status, const char *word)
{
    const size_t length = strlen(outcome.errors);
    ck_assert_msg(outcome.status == status, "exit status %d, want %d: %s", outcome.status, status, outcome.errors);
    ck_assert_str_eq(outcome.output, "");
    ck_assert_msg(!strncmp(outcome.errors, "ptdump: ", 8), "no 'ptdump: ' in: %s", outcome.errors);
    ck_assert_msg(length && strchr(outcome.errors, '\n') == outcome.errors + length - 1, "not one line: %s",
                  outcome.errors);
    ck_assert_msg(strstr(outcome.errors, word) != NULL, "no '%s' in: %s", word, outcome.errors);
    outcome_free(&outcome);
}

/* --- A live guest ------------------------------------------------------------------------------------------------- */

static const char *socket_of(const struct rig *rig)
{
    return vmm_process_socket(rig->process);
}

static uint64_t hexadecimal(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    ck_assert_msg(text != NULL, "no '%s'", key);
    return strtoull(text, NULL, 16);
}

static uint64_t integer(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    ck_assert_msg(json_is_integer(value), "'%s' is no integer", key);
    return (uint64_t)json_integer_value(value);
}

/* One page of a run as `translate` sees it. */
static void check_page(struct rig *rig, uint64_t guest, const json_t *run, uint64_t gpa)
{
    json_t *t = rig_call(rig, "translate", "{s:I, s:I}", "guest", (json_int_t)guest, "gpa", (json_int_t)gpa);
    char rights[5];
    snprintf(rights, sizeof rights, "%c%c%c-", json_is_true(json_object_get(t, "read")) ? 'r' : '-',
             json_is_true(json_object_get(t, "write")) ? 'w' : '-',
             json_is_true(json_object_get(t, "execute")) ? 'x' : '-');
    ck_assert_uint_eq(integer(t, "hpa"), hexadecimal(run, "hpa") + (gpa - hexadecimal(run, "start")));
    ck_assert_str_eq(json_string_value(json_object_get(run, "rights")), rights);
    ck_assert(json_object_get(run, "accessed") == json_object_get(t, "accessed"));
    ck_assert(json_object_get(run, "dirty") == json_object_get(t, "dirty"));
    ck_assert_str_eq(json_string_value(json_object_get(run, "page")), integer(t, "page_size") == 4096      ? "4K"
                                                                      : integer(t, "page_size") == 2 * MIB ? "2M"
                                                                                                           : "1G");
    json_decref(t);
}

/* The runs of a paused guest cover its RAM without gaps; every `stride`-th is looked at by `translate` too. */
static json_t *runs_of(struct rig *rig, const char *guest, uint64_t memory, size_t stride)
{
    json_t *runs = json_of(PTDUMP("--socket", socket_of(rig), "--guest", guest, "--json"));
    uint64_t next = 0;
    size_t i;
    const json_t *run;
    json_array_foreach(runs, i, run)
    {
        ck_assert_uint_eq(hexadecimal(run, "start"), next);
        next = hexadecimal(run, "last") + 1;
        ck_assert_str_eq(json_string_value(json_object_get(run, "memory")), "wb");
        if (i % stride)
            continue;
        check_page(rig, strtoull(guest, NULL, 10), run, hexadecimal(run, "start"));
        check_page(rig, strtoull(guest, NULL, 10), run, hexadecimal(run, "last"));
    }
    ck_assert_uint_eq(next, memory);
    return runs;
}

static bool has(const json_t *runs, const char *key, const char *value)
{
    size_t i;
    const json_t *run;
    json_array_foreach(runs, i, run)
    {
        const json_t *member = json_object_get(run, key);
        const char *text = json_is_true(member) ? "true" : json_is_false(member) ? "false" : json_string_value(member);
        if (strcmp(text, value) == 0)
            return true;
    }
    return false;
}

/* The range shows this run of 2 MiB pages, whose HPA translate knows, and nothing else. */
static void check_range(struct rig *rig, const char *range, uint64_t start, uint64_t last, const char *rights)
{
    json_t *t = rig_call(rig, "translate", "{s:i, s:I}", "guest", 0, "gpa", (json_int_t)start);
    char line[256];
    snprintf(line, sizeof line, LIVE_HEADS "0x%012" PRIx64 "-0x%012" PRIx64 " -> 0x%012" PRIx64 "  2M  %s  wb  ----\n",
             start, last, integer(t, "hpa"), rights);
    check_output(PTDUMP("--socket", socket_of(rig), "--range", range), line);
    json_decref(t);
}

/* A paused guest that has written since it was forked into a paused child. */
static struct rig forked_counter(void)
{
    struct rig rig = RIG("--memory", "16M", "--linger", "@counter", "quiet=1");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 1000);
    rig_fork(&rig, 0, 1, true, NULL);
    uint64_t counter = rig_probe(&rig, 0).counter;
    RIG_UNTIL(rig_probe(&rig, 0).counter > counter);
    rig_do(&rig, "pause", 0);
    return rig;
}

START_TEST(a_guest_is_shown_before_and_after_a_fork)
{
    struct rig rig = RIG("--memory", "16M", "@counter", "quiet=1");
    RIG_UNTIL(rig_probe(&rig, 0).counter > 1000);
    check_range(&rig, "2M:4K", 0x200000, 0x3fffff, "rwx-");
    rig_do(&rig, "pause", 0);
    json_t *runs = runs_of(&rig, "0", 16 * MIB, 1);
    ck_assert(has(runs, "rights", "rwx-") && !has(runs, "rights", "r-x-"));
    json_decref(runs);

    /* Paused, so that nobody has written since but the VMM, below 1 MiB of the child: the views are equal, and nothing
     * may be written in place. */
    ck_assert_uint_eq(rig_fork(&rig, 0, 1, true, NULL), 1);
    runs = runs_of(&rig, "0", 16 * MIB, 1);
    ck_assert(has(runs, "rights", "r-x-") && !has(runs, "rights", "rwx-") && !has(runs, "dirty", "true"));
    json_decref(runs);
    char *parent = output_of(PTDUMP("--socket", socket_of(&rig), "--range", "2M:14M")), *all;
    check_output(PTDUMP("-s", socket_of(&rig), "-g", "1", "--range", "2M:14M"), parent);
    free(parent);
    json_decref(runs_of(&rig, "1", 16 * MIB, 1));
    all = output_of(PTDUMP("--socket", socket_of(&rig)));

    /* The child writes: its view says so, the parent's is as before. */
    uint64_t counter = rig_probe(&rig, 1).counter;
    rig_do(&rig, "resume", 1);
    RIG_UNTIL(rig_probe(&rig, 1).counter > counter + 1000);
    rig_do(&rig, "pause", 1);
    runs = runs_of(&rig, "1", 16 * MIB, 1);
    ck_assert(has(runs, "dirty", "true") && has(runs, "page", "4K"));
    check_output(PTDUMP("--socket", socket_of(&rig)), all);
    free(all);

    /* What it wrote is published for its own child: pages from elsewhere between the others. */
    size_t before = json_array_size(runs);
    json_decref(runs);
    ck_assert_uint_eq(rig_fork(&rig, 1, 1, true, NULL), 2);
    runs = runs_of(&rig, "1", 16 * MIB, 1);
    ck_assert_uint_ge(json_array_size(runs), before);
    ck_assert(!has(runs, "dirty", "true"));
    json_decref(runs);
    json_decref(runs_of(&rig, "2", 16 * MIB, 1));
    rig_quit(&rig);
}
END_TEST

/* More runs than one reply can hold. */
START_TEST(a_scattered_guest_is_shown_whole)
{
    struct rig rig = RIG("--memory", "64M", "@random", "pages=15000", "pace_us=100", "run=1", "seed=3");
    random_wait_started(&rig, 0);
    rig_fork(&rig, 0, 1, true, NULL);
    RIG_UNTIL(rig_stat(&rig, 0, "overlay_bytes") > 16 * MIB);
    rig_do(&rig, "pause", 0);
    json_t *runs = runs_of(&rig, "0", 64 * MIB, 97);
    ck_assert_uint_gt(json_array_size(runs), 4096);
    ck_assert(has(runs, "dirty", "true"));
    json_decref(runs);
    rig_quit(&rig);
}
END_TEST

START_TEST(one_address_is_shown_with_its_entries)
{
    struct rig rig = RIG("--memory", "16M", "@counter", "quiet=1");
    rig_do(&rig, "pause", 0);
    json_t *path = json_of(PTDUMP("--socket", socket_of(&rig), "--at", "0x2abcde", "--json"));
    json_t *t = rig_call(&rig, "translate", "{s:i, s:i}", "guest", 0, "gpa", 0x2abcde);
    const json_t *shown = json_object_get(path, "steps"), *steps = json_object_get(t, "steps");
    ck_assert_uint_eq(hexadecimal(path, "hpa"), integer(t, "hpa"));
    check_page(&rig, 0, json_object_get(path, "slot"), 0x2abcde);
    ck_assert(json_is_true(json_object_get(json_object_get(path, "slot"), "tracked")));
    ck_assert_uint_eq(json_array_size(shown), json_array_size(steps));
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *one = json_array_get(shown, i), *other = json_array_get(steps, i);
        ck_assert(json_equal(json_object_get(one, "level"), json_object_get(other, "level")));
        ck_assert(json_equal(json_object_get(one, "entry"), json_object_get(other, "entry")));
    }
    ck_assert_uint_eq(integer(json_array_get(shown, 2), "index"), 1);
    json_decref(t);
    json_decref(path);
    char *text = output_of(PTDUMP("--socket", socket_of(&rig), "--at", "1G"));
    ck_assert_msg(strstr(text, IMAGE_HEADS "0x000040000000-0x00007fffffff  hole\nLEVEL  INDEX  ENTRY ") == text, "%s",
                  text);
    free(text);
    rig_quit(&rig);
}
END_TEST

START_TEST(a_summary_is_what_the_counters_say)
{
    struct rig rig = forked_counter();
    json_t *summary = json_of(PTDUMP("--socket", socket_of(&rig), "--summary", "--json"));
    const json_t *levels = json_object_get(summary, "levels");
    ck_assert_uint_eq(integer(json_array_get(levels, 1), "leaves"), rig_stat(&rig, 0, "leaves_2m"));
    ck_assert_uint_eq(integer(json_array_get(levels, 2), "leaves"), rig_stat(&rig, 0, "leaves_4k"));
    ck_assert_uint_gt(integer(json_array_get(levels, 2), "leaves"), 0);
    ck_assert_uint_eq(integer(summary, "tables"), rig_stat(&rig, 0, "tables"));
    ck_assert_uint_eq(integer(summary, "bytes"), 16 * MIB);
    ck_assert_uint_eq(integer(summary, "bad"), 0);
    json_decref(summary);
    rig_quit(&rig);
}
END_TEST

START_TEST(a_range_of_a_guest_is_what_touches_it)
{
    struct rig rig = RIG("--memory", "16M", "@counter", "quiet=1");
    const char *socket = socket_of(&rig);
    check_range(&rig, "0x3ff000:2", 0x200000, 0x3fffff, "rwx-");
    check_range(&rig, "0x3fffff:2", 0x200000, 0x5fffff, "rwx-");
    check_range(&rig, "14M:100G", 0xe00000, 0xffffff, "rwx-");
    check_output(PTDUMP("--socket", socket, "--range", "16M:1G"), "");
    check_output(PTDUMP("--socket", socket, "--range", "16M:1G", "--json"), "[]\n");
    rig_quit(&rig);
}
END_TEST

/* The command below it: however few are asked for at once, they are the same. */
START_TEST(mappings_come_in_pieces_of_any_size)
{
    struct rig rig = forked_counter();
    json_t *whole = rig_call(&rig, "query-mappings", NULL);
    const json_t *all = json_object_get(whole, "mappings");
    ck_assert_uint_gt(json_array_size(all), 2);
    ck_assert_ptr_null(json_object_get(whole, "next"));
    json_int_t gpa = 0;
    for (size_t i = 0; i < json_array_size(all); i++) {
        json_t *one = rig_call(&rig, "query-mappings", "{s:I, s:i}", "gpa", gpa, "count", 1);
        ck_assert_uint_eq(json_array_size(json_object_get(one, "mappings")), 1);
        ck_assert(json_equal(json_array_get(json_object_get(one, "mappings"), 0), json_array_get(all, i)));
        ck_assert_int_eq(json_object_get(one, "next") != NULL, i + 1 < json_array_size(all));
        gpa = json_integer_value(json_object_get(one, "next"));
        json_decref(one);
    }
    /* From the middle of a run of pages: the rest of it, from the page that holds the address. */
    json_t *rest = rig_call(&rig, "query-mappings", "{s:i, s:i, s:i}", "guest", 0, "gpa", 0x12345, "count", 1);
    const json_t *first = json_array_get(json_object_get(rest, "mappings"), 0);
    ck_assert_uint_eq(integer(first, "gpa"), 0x12000);
    ck_assert_uint_eq(integer(first, "hpa") - integer(json_array_get(all, 0), "hpa"), 0x12000);
    ck_assert_uint_eq(integer(first, "bytes") + 0x12000, integer(json_array_get(all, 0), "bytes"));
    json_decref(rest);
    rest = rig_call(&rig, "query-mappings", "{s:I}", "gpa", (json_int_t)(16 * MIB));
    ck_assert_uint_eq(json_array_size(json_object_get(rest, "mappings")), 0);
    ck_assert_ptr_null(json_object_get(rest, "next"));
    json_decref(rest);
    rig_refused(&rig, "InvalidArgument", "48 bits", "query-mappings", "{s:I}", "gpa", (json_int_t)1 << 48);
    rig_do(&rig, "kill", 1);
    rig_refused(&rig, "GuestNotFound", "1", "query-mappings", "{s:i}", "guest", 1);
    json_decref(whole);
    rig_quit(&rig);
}
END_TEST

/* The number alone is enough where a socket is known; a file of that name comes first, unless there is --socket. */
START_TEST(a_guest_is_named_by_its_number)
{
    struct rig rig = forked_counter();
    const char *socket = socket_of(&rig);
    char *parent = output_of(PTDUMP("--socket", socket, "--guest", "0")), folder[PATH_MAX];
    char *child = output_of(PTDUMP("--socket", socket, "--guest", "1"));
    ck_assert_str_ne(parent, child);
    check_output(PTDUMP("--socket", socket, "0"), parent);
    check_output(PTDUMP("1", "--socket", socket), child);
    ck_assert(getcwd(folder, sizeof folder) && chdir(vmm_process_directory(rig.process)) == 0);
    char line[PATH_MAX], program[2 * PATH_MAX], command[4 * PATH_MAX];
    vmm_build_path(line, sizeof line, "tools/ptdump");
    snprintf(program, sizeof program, "%s%s%s", *line == '/' ? "" : folder, *line == '/' ? "" : "/", line);
    static const char *const shells[][2] = {
        {"CLEAVE_SOCKET='%s' '%s' 1 | cut -c 1-5 | head -n 1", "FIRST\n"},
        {"touch 1; CLEAVE_SOCKET='%s' '%s' 1 2>&1 | cut -c 1-10; rm 1", "ptdump: 1:\n"},
        {"touch 1; '%2$s' --socket '%1$s' 1 | cut -c 1-5 | head -n 1; rm 1", "FIRST\n"},
    };
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++) {
        snprintf(command, sizeof command, shells[i][0], socket, program);
        FILE *pipe = popen(command, "r");
        ck_assert(pipe && fgets(line, sizeof line, pipe));
        ck_assert_str_eq(line, shells[i][1]);
        pclose(pipe);
    }
    ck_assert_int_eq(chdir(folder), 0);
    free(parent);
    free(child);
    rig_quit(&rig);
}
END_TEST

START_TEST(a_guest_that_cannot_be_shown_is_one_line)
{
    struct rig rig = RIG("--memory", "16M", "--linger", "@counter", "quiet=1");
    const char *socket = socket_of(&rig);
    check_refusal(PTDUMP("--socket", socket, "--guest", "7"), EXIT_RUNTIME, "(GuestNotFound)");
    check_refusal(PTDUMP("--socket", socket, "--guest", "7", "--json"), EXIT_RUNTIME, "guest 7");
    check_refusal(PTDUMP("--socket", socket, "--guest", "7", "--at", "0"), EXIT_RUNTIME, "(GuestNotFound)");
    check_refusal(PTDUMP("--socket", socket, "--guest", "7", "--summary"), EXIT_RUNTIME, "(GuestNotFound)");
    check_refusal(PTDUMP("--socket", socket, "--at", "0x1000000000000"), EXIT_RUNTIME, "48 bits");
    check_refusal(PTDUMP("--socket", socket, "--range", "0x1000000000000:1"), EXIT_RUNTIME, "48 bits");
    rig_fork(&rig, 0, 1, false, NULL);
    rig_do(&rig, "kill", 1);
    check_refusal(PTDUMP("--socket", socket, "--guest", "1"), EXIT_RUNTIME, "(GuestNotFound)");
    check_refusal(PTDUMP("--socket", "/nowhere/socket"), EXIT_RUNTIME, "/nowhere/socket");
    check_refusal(PTDUMP("--socket", "/dev/null"), EXIT_RUNTIME, "/dev/null");
    ck_assert_int_eq(setenv("CLEAVE_SOCKET", socket, 1), 0);
    char *text = output_of(PTDUMP("--range", "2M:1"));
    const char *first = LIVE_HEADS "0x000000200000-0x0000003fffff -> ";
    ck_assert_msg(strncmp(text, first, strlen(first)) == 0, "%s", text);
    free(text);
    rig_quit(&rig);
}
END_TEST

/* --- Files -------------------------------------------------------------------------------------------------------- */

static char image_path[PATH_MAX];

static void write_image(const struct bytes *bytes)
{
    snprintf(image_path, sizeof image_path, "%s/image", getenv("TMPDIR"));
    FILE *out = fopen(image_path, "w");
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(bytes->data, 1, bytes->length, out), bytes->length);
    ck_assert_int_eq(fclose(out), 0);
}

START_TEST(a_file_is_shown_as_the_library_shows_the_tree)
{
    struct tree tree;
    tree_open(&tree, &tree_kinds[_i], 5);
    tree_fill(&tree);
    struct bytes image = tree_image(&tree, 0x200000), text = tree_dump(&tree, PT_DUMP_TEXT),
                 json = tree_dump(&tree, PT_DUMP_JSON);
    write_image(&image);
    char *with_heads = output_of(PTDUMP(image_path));
    ck_assert(strncmp(with_heads, IMAGE_HEADS, strlen(IMAGE_HEADS)) == 0);
    ck_assert_str_eq(with_heads + strlen(IMAGE_HEADS), text.data);
    free(with_heads);
    check_output(PTDUMP(image_path, "--json"), json.data);

    struct pt_statistics want;
    tree.kind->count(&tree.world.pt, &want);
    json_t *summary = json_of(PTDUMP(image_path, "--summary", "-j"));
    ck_assert_uint_eq(integer(summary, "bytes"), want.frames * 4096);
    const json_t *levels = json_object_get(summary, "levels");
    ck_assert_uint_eq(json_array_size(levels), tree.kind->levels);
    for (unsigned i = 0; i < tree.kind->levels; i++) {
        unsigned level = tree.kind->levels - i;
        ck_assert_uint_eq(integer(json_array_get(levels, i), "level"), level);
        ck_assert_uint_eq(integer(json_array_get(levels, i), "tables"), want.tables[level]);
        ck_assert_uint_eq(integer(json_array_get(levels, i), "leaves"), want.leaves[level]);
    }
    json_decref(summary);
    bytes_free(&image);
    bytes_free(&text);
    bytes_free(&json);
    tree_close(&tree);
    unlink(image_path);
}
END_TEST

START_TEST(parts_of_a_file_are_shown)
{
    struct tree tree;
    tree_open(&tree, &tree_kinds[2], 0);
    tree_map(&tree, 0x3000, 0x5000, 1, 4, PT_RX | PT_WB);
    tree_map(&tree, tree.world.pt.size - 2 * MIB, 2 * MIB, 2, 1, PT_RW | PT_WB);
    struct bytes image = tree_image(&tree, 0x200000);
    write_image(&image);
    check_output(PTDUMP(image_path, "--range", "0x3fff:2"),
                 IMAGE_HEADS "0x000000003000-0x000000004fff -> 0x000000005000  4K  r-x-  wb  ----  ---\n");
    check_output(PTDUMP(image_path, "--range", "0xfffffffffffff000:4K"), /* canonical */
                 IMAGE_HEADS "0xffffffe00000-0xffffffffffff -> 0x000000200000  2M  rw--  wb  ----  ---\n");
    check_output(PTDUMP(image_path, "--range", "0xfffffffff000:100G"),
                 IMAGE_HEADS "0xffffffe00000-0xffffffffffff -> 0x000000200000  2M  rw--  wb  ----  ---\n");
    check_output(PTDUMP(image_path, "--at", "0x6004"),
                 IMAGE_HEADS "0x000000006000-0x000000006fff -> 0x000000008000  4K  r-x-  wb  ----  ---\n"
                             "0x6004 -> 0x8004\n"
                             "LEVEL  INDEX  ENTRY               MEANS\n"
                             "4          0  0x0010000000201007  table 0x201000, rwxu\n"
                             "3          0  0x0010000000203007  table 0x203000, rwxu\n"
                             "2          0  0x0010000000205007  table 0x205000, rwxu\n"
                             "1          6  0x0010000000008001  leaf 0x8000, r-x-, wb\n");
    check_output(PTDUMP(image_path, "--summary"), "LEVEL      TABLES      LEAVES            BYTES\n"
                                                  "4               1           0                0\n"
                                                  "3               2           0                0\n"
                                                  "2               2           1          2097152\n"
                                                  "1               1           4            16384\n"
                                                  "all             6           5          2113536\n");
    check_refusal(PTDUMP(image_path, "--at", "0x1000000000000"), EXIT_RUNTIME, "0x1000000000000");
    check_refusal(PTDUMP(image_path, "--range", "0x1000000000000:1", "--json"), EXIT_RUNTIME, "4 levels");
    bytes_free(&image);
    tree_close(&tree);
    unlink(image_path);
}
END_TEST

START_TEST(a_file_that_is_no_tree_is_shown_as_far_as_it_goes)
{
    struct tree tree;
    tree_open(&tree, &tree_kinds[0], 0);
    struct bytes image = tree_image(&tree, 0x200000);
    uint64_t *root = (uint64_t *)(void *)(image.data + 4096);
    for (unsigned i = 0; i < 512; i++)
        root[i] = 0x200007;
    write_image(&image);
    struct outcome outcome = PTDUMP(image_path, "--json");
    ck_assert_int_eq(outcome.status, EXIT_RUNTIME);
    ck_assert_msg(strstr(outcome.errors, "no tree") && strstr(outcome.errors, "0x200000"), "%s", outcome.errors);
    json_t *runs = json_loads(outcome.output, 0, NULL);
    ck_assert_uint_eq(json_array_size(runs), 512);
    json_decref(runs);
    outcome_free(&outcome);
    image.length -= 8;
    write_image(&image);
    check_refusal(PTDUMP(image_path), EXIT_RUNTIME, "tables:");
    check_refusal(PTDUMP(image_path, "--json", "--summary"), EXIT_RUNTIME, image_path);
    check_refusal(PTDUMP("/nowhere/image"), EXIT_RUNTIME, "/nowhere/image");
    bytes_free(&image);
    tree_close(&tree);
    unlink(image_path);
}
END_TEST

/* --- The command line --------------------------------------------------------------------------------------------- */

START_TEST(usage_errors_are_one_line_and_exit_with_2)
{
    static const struct {
        const char *words[6];
        const char *names; /* what the line has to name */
    } bad[] = {
        {{NULL}, "FILE"},
        {{"--socket", ""}, "--socket"},
        {{"a", "b"}, "'b'"},
        {{"a", "--socket", "b"}, "--socket"},
        {{"a", "--guest", "0"}, "--guest"},
        {{"1"}, "there is no file '1'; if guest 1 of a VMM is meant, give --socket PATH or set CLEAVE_SOCKET"},
        {{"1", "--guest", "1"}, "both --guest and '1'"},
        {{"--socket", "a", "1", "-g", "1"}, "both --guest and '1'"},
        {{"--socket", "a", "99999999999999999999"}, "too large"},
        {{"a", "--at", "here"}, "here"},
        {{"a", "--at", "-1"}, "-1"},
        {{"a", "--at", ""}, "--at"},
        {{"a", "--at", "0x"}, "0x"},
        {{"a", "--at", "1T"}, "1T"},
        {{"a", "--at", "1KK"}, "1KK"},
        {{"a", "--at", "0x10000000000000000"}, "too large"},
        {{"a", "--at", "0x1000000000000000G"}, "too large"},
        {{"a", "--at", "0", "--summary"}, "--at"},
        {{"a", "--at", "0", "--range", "0:1"}, "--at"},
        {{"a", "--range", "5"}, "colon"},
        {{"a", "--range", ":5"}, "--range"},
        {{"a", "--range", "5:"}, "--range"},
        {{"a", "--range", "5:0"}, "length"},
        {{"a", "--range", "5:1:1"}, "1:1"},
        {{"a", "--range", "0xffffffffffffffff:2"}, "beyond"},
        {{"--socket", "a", "--guest", "0x8000000000000000"}, "--guest"},
        {{"--socket", "a", "--guest", "one"}, "one"},
        {{"--socket", "a", "--at", "0xffffffff00000000"}, "--at"},
    };
    unsetenv("CLEAVE_SOCKET");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_refusal(run_ptdump(bad[i].words), EXIT_USAGE, bad[i].names);
}
END_TEST

START_TEST(options_that_are_wrong_get_advice)
{
    static const char *const bad[][3] = {{"--bogus"}, {"a", "-x"}, {"a", "--at"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct outcome outcome = run_ptdump(bad[i]);
        ck_assert_int_eq(outcome.status, EXIT_USAGE);
        ck_assert_msg(strncmp(outcome.errors, "ptdump: ", 8) == 0 &&
                          strstr(outcome.errors, "\nTry 'ptdump --help'.\n") != NULL,
                      "%s", outcome.errors);
        outcome_free(&outcome);
    }
}
END_TEST

START_TEST(output_that_cannot_be_written_is_an_error)
{
    struct tree tree;
    tree_open(&tree, &tree_kinds[0], 0);
    tree_map(&tree, 0x3000, 0x5000, 1, 4, PT_RX | PT_WB);
    struct bytes image = tree_image(&tree, 0x200000);
    write_image(&image);
    char program[PATH_MAX], line[3 * PATH_MAX];
    vmm_build_path(program, sizeof program, "tools/ptdump");
    snprintf(line, sizeof line, "%s %s 2>&1 >/dev/full", program, image_path);
    FILE *pipe = popen(line, "r");
    ck_assert_ptr_nonnull(pipe);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, pipe));
    ck_assert_msg(strncmp(line, "ptdump: cannot write the output: ", 33) == 0, "%s", line);
    ck_assert_int_eq(WEXITSTATUS(pclose(pipe)), EXIT_RUNTIME);
    bytes_free(&image);
    tree_close(&tree);
    unlink(image_path);
}
END_TEST

START_TEST(help_and_version_are_there)
{
    char *text = output_of(PTDUMP("--help"));
    static const char *const words[] = {"--socket", "--guest", "--json", "--at", "--range", "--summary", "FILE"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        ck_assert_msg(strstr(text, words[i]) != NULL, "no '%s' in:\n%s", words[i], text);
    free(text);
    check_output(PTDUMP("--version"), "ptdump " CLEAVE_VERSION "\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ptdump");
    TCase *live = tcase_create("live"), *files = tcase_create("files"), *words = tcase_create("words");
    tcase_set_timeout(live, RIG_TIMEOUT_S);
    tcase_set_timeout(files, RIG_TIMEOUT_S);
    tcase_set_timeout(words, RIG_TIMEOUT_S);
    tcase_add_test(live, a_guest_is_shown_before_and_after_a_fork);
    tcase_add_test(live, a_scattered_guest_is_shown_whole);
    tcase_add_test(live, one_address_is_shown_with_its_entries);
    tcase_add_test(live, a_summary_is_what_the_counters_say);
    tcase_add_test(live, a_range_of_a_guest_is_what_touches_it);
    tcase_add_test(live, mappings_come_in_pieces_of_any_size);
    tcase_add_test(live, a_guest_is_named_by_its_number);
    tcase_add_test(live, a_guest_that_cannot_be_shown_is_one_line);
    tcase_add_loop_test(files, a_file_is_shown_as_the_library_shows_the_tree, 0, TREE_KINDS);
    tcase_add_test(files, parts_of_a_file_are_shown);
    tcase_add_test(files, a_file_that_is_no_tree_is_shown_as_far_as_it_goes);
    tcase_add_test(words, usage_errors_are_one_line_and_exit_with_2);
    tcase_add_test(words, options_that_are_wrong_get_advice);
    tcase_add_test(words, output_that_cannot_be_written_is_an_error);
    tcase_add_test(words, help_and_version_are_there);
    suite_add_tcase(suite, live);
    suite_add_tcase(suite, files);
    suite_add_tcase(suite, words);
    return rig_main(suite);
}
