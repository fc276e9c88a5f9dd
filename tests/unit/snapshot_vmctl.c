/* vmctl snapshot-info and snapshot-verify as people and scripts use them, without a VMM. */
#include "tests/support/snapshot_case.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct snapshot_case c;
static struct snapshot_result full, diff;
static char output[1 << 16];

static void setup(void)
{
    uint8_t *dirty;
    case_open(&c, 16 * CASE_MIB, 2);
    memcpy(&c.cpuid[0].ebx, "Genu", 4);
    memcpy(&c.cpuid[0].edx, "ineI", 4);
    memcpy(&c.cpuid[0].ecx, "ntel", 4);
    case_fill(&c, 2 * CASE_MIB, 3 * CASE_MIB);
    struct snapshot_job job = case_job(&c, case_path(&c, "base.snap"));
    full = case_save(&job);

    dirty = calloc(c.memory / SNAPSHOT_PAGE, 1);
    memset(dirty + 512, 1, 3);
    case_punch(&c, 2 * CASE_MIB, SNAPSHOT_PAGE);
    diff = case_save_diff(&c, case_path(&c, "diff.snap"), &full.lineage, job.path, dirty, true);
    free(dirty);
}

static void teardown(void)
{
    case_close(&c);
}

/* Runs the vmctl of this build in the folder, without a socket, errors going where output goes. Its exit status. */
static int vmctl(const char *words)
{
    char self[PATH_MAX] = "", line[2 * PATH_MAX];
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    char *tests = strstr(self, "/tests/unit/");
    ck_assert_ptr_nonnull(tests);
    *tests = '\0';
    snprintf(line, sizeof line, "cd '%s' && env -u CLEAVE_SOCKET LC_ALL=C '%s/tools/vmctl' %s 2>&1", c.folder, self,
             words);
    FILE *pipe = popen(line, "r");
    ck_assert_ptr_nonnull(pipe);
    output[fread(output, 1, sizeof output - 1, pipe)] = '\0';
    int status = pclose(pipe);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect(const char *words, int status, const char *phrase)
{
    ck_assert_msg(vmctl(words) == status, "vmctl %s: %s", words, output);
    ck_assert_msg(strstr(output, phrase) != NULL, "vmctl %s: no \"%s\" in: %s", words, phrase, output);
}

START_TEST(info_is_shown)
{
    expect("snapshot-info base.snap", 0, "kind         full\n");
    ck_assert_ptr_nonnull(strstr(output, "saved        2025-12-01 00:00:00 UTC\n"));
    ck_assert_ptr_nonnull(strstr(output, "memory       16 MiB\n"));
    ck_assert_ptr_nonnull(strstr(output, "pages        768 (3 MiB) in 2 runs, 1 of them whole 2 MiB\n"));
    ck_assert_ptr_nonnull(strstr(output, "zero         3328 pages (13 MiB)\n"));
    ck_assert_ptr_nonnull(strstr(output, "processor    GenuineIntel, 3 CPUID entries, TSC 2000000 kHz\n"));
    ck_assert_ptr_null(strstr(output, "parent"));
    expect("snapshot-info diff.snap", 0, "kind               diff, compressed\n");
    ck_assert_ptr_nonnull(strstr(output, "parent             base.snap\n"));
    ck_assert_ptr_nonnull(strstr(output, "/base.snap, one of 2 files in all\n"));
    ck_assert_ptr_nonnull(strstr(output, "zero since parent  1 pages (4 KiB)\n"));
}
END_TEST

static json_t *json_of_output(void)
{
    json_error_t error;
    json_t *value = json_loads(output, 0, &error);
    ck_assert_msg(value != NULL, "%s: %s", error.text, output);
    ck_assert_ptr_eq(strchr(output, '\n'), output + strlen(output) - 1);
    return value;
}

static json_int_t number(const json_t *object, const char *key)
{
    ck_assert_msg(json_is_integer(json_object_get(object, key)), "%s: %s", key, output);
    return json_integer_value(json_object_get(object, key));
}

START_TEST(info_is_json)
{
    char identity[33];
    for (unsigned i = 0; i < 16; i++)
        snprintf(identity + (size_t)2 * i, 3, "%02x", full.lineage.names[0].id[i]);
    expect("snapshot-info --json diff.snap", 0, "{");
    json_t *info = json_of_output(), *parent = json_object_get(info, "parent");
    ck_assert_str_eq(json_string_value(json_object_get(info, "kind")), "diff");
    ck_assert_int_eq(number(info, "bytes"), (json_int_t)diff.bytes);
    ck_assert_int_eq(number(info, "pages"), 2);
    ck_assert_int_eq(number(info, "zero_pages"), 1);
    ck_assert_int_eq(number(info, "vcpus"), 2);
    ck_assert_int_eq(number(info, "memory"), 16 * CASE_MIB);
    ck_assert_int_eq(number(info, "generation"), (json_int_t)1 << 40);
    ck_assert_int_eq(number(info, "chain"), 2);
    ck_assert(json_is_true(json_object_get(info, "compressed")));
    ck_assert(json_is_true(json_object_get(parent, "found")));
    ck_assert_str_eq(json_string_value(json_object_get(parent, "identity")), identity);
    json_decref(info);
}
END_TEST

START_TEST(a_parent_that_is_missing_is_said)
{
    ck_assert_int_eq(unlink(case_path(&c, "base.snap")), 0);
    expect("snapshot-info diff.snap", 0, "parent file        not found: ");
    expect("snapshot-info --json diff.snap", 0, "\"found\":false");
    expect("snapshot-verify diff.snap", 1, "base.snap: No such file or directory");
}
END_TEST

START_TEST(a_good_chain_is_verified)
{
    expect("snapshot-verify diff.snap", 0, "/base.snap: good, ");
    ck_assert_ptr_nonnull(strstr(output, "diff.snap: good, "));
    ck_assert_ptr_null(strchr(output, '\r')); /* no progress where there is no terminal */
    expect("-j snapshot-verify diff.snap", 0, "{");
    json_t *reply = json_of_output();
    ck_assert_uint_eq(json_array_size(json_object_get(reply, "good")), 2);
    json_decref(reply);
}
END_TEST

/* One bit of page data, of a file that the one asked for builds on. */
START_TEST(a_bit_that_changed_is_found)
{
    const char *path = case_path(&c, "base.snap");
    struct forge forge = case_read(path);
    forge.data[3 * CASE_MIB] ^= 4;
    case_write(path, &forge);
    expect("snapshot-verify diff.snap", 1, "base.snap: run 0: its checksum is wrong");
    ck_assert_int_eq(strncmp(output, "vmctl: ", 7), 0);
    ck_assert_ptr_null(strstr(output, "good"));
    expect("snapshot-verify --json base.snap", 1, "run 0: its checksum is wrong");
    expect("snapshot-info base.snap", 0, "full");
    free(forge.data);
}
END_TEST

/* The path of a parent is whatever somebody wrote into the file. */
START_TEST(a_file_cannot_draw_on_the_terminal)
{
    const char *path = case_path(&c, "diff.snap");
    struct forge forge = case_read(path);
    struct layout_section *section = forge_section(&forge, LAYOUT_PARENT);
    memcpy((char *)forge_content(&forge, section) + sizeof(struct layout_parent), "\033[2J\xff\n\xc2\x9b.", 9);
    forge_repair(&forge);
    case_write(path, &forge);
    expect("snapshot-info diff.snap", 0, "?[2J");
    ck_assert_ptr_null(strchr(output, '\033'));
    ck_assert_ptr_null(strstr(output, "\xc2\x9b"));
    expect("snapshot-info --json diff.snap", 0, "\\u001B[2J");
    json_decref(json_of_output());
    expect("snapshot-verify diff.snap", 1, "its parent cannot be opened");
    ck_assert_ptr_null(strchr(output, '\033'));
    ck_assert_ptr_null(strstr(output, "\xc2\x9b"));
    free(forge.data);
}
END_TEST

START_TEST(what_is_no_snapshot_is_refused)
{
    expect("snapshot-info", 2, "FILE is missing");
    expect("snapshot-info base.snap diff.snap", 2, "one argument too many");
    expect("snapshot-verify --raw base.snap", 2, "snapshot-verify does not take --raw");
    expect("snapshot-info nothing", 1, "vmctl: nothing: No such file or directory\n");
    expect("snapshot-info ''", 1, "the path is empty");
    expect("snapshot-info .", 1, "vmctl: .: is a directory, not a snapshot file\n");
    expect("snapshot-info /dev/null", 1, "vmctl: /dev/null: is not a regular file\n");
    expect("snapshot-verify /proc/self/exe", 1, "magic: it is not a snapshot file");
    expect("guests", 2, "no socket");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vmctl and snapshot files");
    TCase *tcase = tcase_create("vmctl and snapshot files");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, info_is_shown);
    tcase_add_test(tcase, info_is_json);
    tcase_add_test(tcase, a_parent_that_is_missing_is_said);
    tcase_add_test(tcase, a_good_chain_is_verified);
    tcase_add_test(tcase, a_bit_that_changed_is_found);
    tcase_add_test(tcase, a_file_cannot_draw_on_the_terminal);
    tcase_add_test(tcase, what_is_no_snapshot_is_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
