/* What saving refuses and how it ends early: bad targets, bad sources, cancelling; what becomes of the file that is
 * replaced; and several savers at once. */
#include "tests/support/snapshot_case.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static struct snapshot_case c;
static struct snapshot_job job;
static struct snapshot_error error;

static void setup(void)
{
    case_open(&c, 8 * CASE_MIB, 1);
    case_fill(&c, 0, 6 * CASE_MIB);
    job = case_job(&c, case_path(&c, "a.snap"));
}

static void teardown(void)
{
    case_close(&c);
}

/* Saving fails in this class, says this, and leaves as many files as there were. */
static void expect_failure(enum snapshot_error_class class, const char *phrase)
{
    unsigned hidden, before = case_files(&c, &hidden);
    ck_assert_int_eq(snapshot_save(&job, NULL, &error), -1);
    ck_assert_msg(error.class == class, "class %d: %s", error.class, error.text);
    ck_assert_msg(strstr(error.text, phrase) != NULL, "no \"%s\" in: %s", phrase, error.text);
    ck_assert_int_eq(strncmp(error.text, job.path, strlen(job.path) < 150 ? strlen(job.path) : 0), 0);
    ck_assert_uint_eq(case_files(&c, &hidden), before);
}

START_TEST(bad_targets_are_refused)
{
    static char text[5000], sub[CASE_PATH * 2 + 16];
    static const struct {
        const char *path, *phrase;
    } cases[] = {
        {"", "the path is empty"},
        {"/", "is a directory: name a file in it"},
        {".", "is a directory: name a file in it"},
        {"/tmp/..", "is a directory: name a file in it"},
        {"/no/such/folder/a.snap", "cannot open its directory: No such file or directory"},
        {"/dev/null/a.snap", "cannot open its directory: Not a directory"},
        {"/dev/null", "is not a regular file and so is not replaced"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job.path = cases[i].path;
        expect_failure(SNAPSHOT_ARGUMENT, cases[i].phrase);
    }
    job.path = c.folder;
    expect_failure(SNAPSHOT_ARGUMENT, "is a directory: name a file in it");
    snprintf(sub, sizeof sub, "%s/", c.folder);
    job.path = sub;
    expect_failure(SNAPSHOT_ARGUMENT, "is a directory: name a file in it");
    memset(text, 'a', sizeof text - 1);
    job.path = text;
    expect_failure(SNAPSHOT_ARGUMENT, "File name too long");
    text[300] = '\0';
    expect_failure(SNAPSHOT_ARGUMENT, "File name too long");
    job.path = case_path(&c, "fifo");
    ck_assert_int_eq(mkfifo(job.path, 0600), 0);
    expect_failure(SNAPSHOT_ARGUMENT, "is not a regular file and so is not replaced");
    job.path = case_path(&c, "dangling");
    ck_assert_int_eq(symlink("nowhere", job.path), 0);
    expect_failure(SNAPSHOT_ARGUMENT, "cannot follow the symbolic link: No such file or directory");
}
END_TEST

START_TEST(what_may_not_be_written_is_refused)
{
    char below[CASE_PATH * 2];
    case_save(&job);
    ck_assert_int_eq(chmod(job.path, 0444), 0);
    strcpy(below, case_path(&c, "below"));
    ck_assert_int_eq(mkdir(below, 0555), 0);
    case_obey_modes();
    expect_failure(SNAPSHOT_ARGUMENT, "is there already and may not be replaced: Permission denied");
    job.path = case_path(&c, "below/b.snap");
    expect_failure(SNAPSHOT_ARGUMENT, "cannot make a file in its directory: Permission denied");
    ck_assert_int_eq(rmdir(below), 0);
}
END_TEST

static mode_t mode_of(const char *path)
{
    struct stat status;
    ck_assert_int_eq(lstat(path, &status), 0);
    return status.st_mode;
}

START_TEST(the_mode_is_private_or_that_of_the_old_file)
{
    const char *link = case_path(&c, "link");
    umask(0);
    case_save(&job);
    ck_assert_uint_eq(mode_of(job.path), S_IFREG | 0600);
    ck_assert_int_eq(chmod(job.path, 0640), 0);
    ck_assert_int_eq(symlink("a.snap", link), 0);
    case_fill(&c, 0, 4096);
    umask(0777);
    job.path = link; /* which stays one */
    case_save(&job);
    ck_assert(S_ISLNK(mode_of(link)));
    ck_assert_uint_eq(mode_of(case_path(&c, "a.snap")), S_IFREG | 0640);
    case_expect(case_path(&c, "a.snap"), c.ram, c.memory);
}
END_TEST

START_TEST(a_job_that_makes_no_sense_is_refused)
{
    struct snapshot_lineage lineage = {.count = 0};
    job.kind = SNAPSHOT_DIFF;
    expect_failure(SNAPSHOT_ARGUMENT, "a diff has a parent, a full snapshot has none");
    job.kind = SNAPSHOT_FULL;
    job.parent = &lineage;
    job.parent_path = "b";
    expect_failure(SNAPSHOT_ARGUMENT, "a diff has a parent, a full snapshot has none");
    job.kind = SNAPSHOT_DIFF;
    expect_failure(SNAPSHOT_ARGUMENT, "it would build on 0 files: must be 1 to 63");
    lineage.count = SNAPSHOT_CHAIN_MAX;
    expect_failure(SNAPSHOT_ARGUMENT, "it would build on 64 files: must be 1 to 63");
    job.kind = (enum snapshot_kind)3;
    expect_failure(SNAPSHOT_ARGUMENT, "kind is 3");
    job = case_job(&c, job.path);
    c.state.machine.cpus = 2;
    expect_failure(SNAPSHOT_ARGUMENT, "vcpu 1: record type 1 (regs) is missing");
    c.state.machine.cpus = 1;
    c.state.vcpus[0].list[0].bytes--;
    expect_failure(SNAPSHOT_ARGUMENT, "vcpu 0: regs: bytes is 143");
    c.state.vcpus[0].list[0].bytes++;
    c.state.machine.memory++;
    expect_failure(SNAPSHOT_ARGUMENT, "machine: memory is 8388609");
    c.state.machine.memory--;
}
END_TEST

START_TEST(sources_that_make_no_sense_are_refused)
{
    static const struct {
        struct snapshot_source sources[2];
        const char *phrase;
    } cases[] = {
        {{{1, 4096, 0, 0}, {8192, 4096, 0, 0}}, "source 0: its address, length and offset must be multiples"},
        {{{0, 4095, 0, 0}, {8192, 4096, 0, 0}}, "source 0: its address, length and offset must be multiples"},
        {{{0, 4096, 0, 1}, {8192, 4096, 0, 0}}, "source 0: its address, length and offset must be multiples"},
        {{{0, 0, 0, 0}, {8192, 4096, 0, 0}}, "source 0: 0 bytes at 0 are not inside of memory"},
        {{{0, 8192, 0, 0}, {4096, 4096, 0, 0}}, "source 1: address 0x1000 is not above the one before it"},
        {{{4096, 4096, 0, 0}, {0, 4096, 0, 0}}, "source 1: address 0 is not above the one before it"},
        {{{0, 4096, 0, 0}, {8 * CASE_MIB, 4096, 0, 0}}, "source 1: 4096 bytes at 0x800000 are not inside"},
        {{{0, 4096, 0, 0}, {4096, 8 * CASE_MIB, 0, 0}}, "source 1: 8388608 bytes at 0x1000 are not inside"},
        {{{0, 4096, 0, 0}, {4096, UINT64_MAX - 4095, 0, 0}}, "source 1: 18446744073709547520 bytes"},
        {{{0, 4096, 0, UINT64_MAX - 4095}, {8192, 4096, 0, 0}}, "source 0: offset 18446744073709547520 is too large"},
    };
    job.source_count = 2;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job.sources = cases[i].sources;
        expect_failure(SNAPSHOT_ARGUMENT, cases[i].phrase);
    }
}
END_TEST

START_TEST(a_source_that_cannot_be_read_is_an_error)
{
    struct snapshot_source source = {4096, 8192, -2, 0};
    int write_only = open(case_path(&c, "other"), O_WRONLY | O_CREAT, 0600);
    char bytes[8192] = "x";

    job.sources = &source;
    source.fd = write_only;
    ck_assert_int_eq(write(write_only, bytes, sizeof bytes), sizeof bytes);
    expect_failure(SNAPSHOT_IO, "cannot read the memory at 0x1000: Bad file descriptor");
    source.fd = c.fd;
    source.offset = c.memory - 4096; /* its second page lies behind the end */
    expect_failure(SNAPSHOT_IO, "cannot read the memory at 0x2000: the file behind it ends before 8392704");
    case_punch(&c, source.offset, 4096); /* where the last page is a hole, that is seen in another place */
    expect_failure(SNAPSHOT_IO, "cannot read the memory at 0x2000: the file behind it ends before 8392704");
    close(write_only);
}
END_TEST

struct progress {
    uint64_t calls, done, stop_at;
    atomic_bool cancel;
    bool cut;
};

static void on_progress(void *context, uint64_t done, uint64_t total)
{
    struct progress *progress = context;
    ck_assert_uint_eq(total, c.memory);
    ck_assert_uint_gt(done, progress->done);
    ck_assert_uint_le(done, total);
    progress->done = done;
    if (++progress->calls != progress->stop_at)
        return;
    if (progress->cut)
        ck_assert_int_eq(ftruncate(c.fd, 4096), 0);
    else
        atomic_store(&progress->cancel, true);
}

START_TEST(progress_goes_from_nothing_to_all)
{
    struct progress progress = {.stop_at = 0};
    job.progress = on_progress;
    job.context = &progress;
    job.cancel = &progress.cancel;
    case_save(&job);
    ck_assert_uint_eq(progress.done, c.memory);
    ck_assert_uint_eq(progress.calls, c.memory / SNAPSHOT_BLOCK);
}
END_TEST

START_TEST(cancelled_at_any_block_nothing_is_left)
{
    case_save(&job);
    struct forge before = case_read(job.path);
    for (uint64_t at = 1; at <= c.memory / SNAPSHOT_BLOCK; at++) {
        struct progress progress = {.stop_at = at};
        job.progress = on_progress;
        job.context = &progress;
        job.cancel = &progress.cancel;
        expect_failure(SNAPSHOT_CANCELLED, "cancelled");
        ck_assert_uint_eq(progress.calls, at);
    }
    struct forge after = case_read(job.path);
    ck_assert_uint_eq(after.bytes, before.bytes);
    ck_assert_mem_eq(after.data, before.data, before.bytes);
    free(before.data);
    free(after.data);
}
END_TEST

START_TEST(memory_that_is_cut_off_meanwhile_is_an_error)
{
    struct progress progress = {.stop_at = 2, .cut = true};
    job.progress = on_progress;
    job.context = &progress;
    expect_failure(SNAPSHOT_IO, "cannot read the memory at 0x400000: the file behind it ends before");
}
END_TEST

/* A name that only looks like a leftover, or one whose saver is alive, stays. */
START_TEST(only_leftovers_are_removed)
{
    static const struct {
        const char *name;
        bool stays;
    } cases[] = {
        {".a.snap.0123456789abcdef.saving", false}, {".a.snap.fedcba9876543210.saving", true}, /* locked */
        {".a.snap.0123456789abcdeg.saving", true},  {".a.snap.0123456789abcdef0.saving", true},
        {".a.snap.0123456789abcdef.savin", true},   {".b.snap.0123456789abcdef.saving", true},
        {".a.snap.0123456789abcde.saving", true},   {"a.snap.0123456789abcdef.saving", true},
    };
    int locked = -1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd = open(case_path(&c, cases[i].name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        ck_assert_int_ge(fd, 0);
        if (i == 1)
            locked = fd;
        else
            close(fd);
    }
    ck_assert_int_eq(flock(locked, LOCK_EX), 0);
    case_save(&job);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool there = access(case_path(&c, cases[i].name), F_OK) == 0;
        ck_assert_msg(there == cases[i].stays, "%s", cases[i].name);
        unlink(case_path(&c, cases[i].name));
    }
    close(locked);
}
END_TEST

START_TEST(the_longest_name_will_do)
{
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    job.path = case_path(&c, name);
    case_save(&job);
    case_save(&job);
    case_expect(job.path, c.ram, c.memory);
}
END_TEST

static void *saver(void *context)
{
    struct snapshot_error *failure = context;
    struct snapshot_job own = job;
    for (unsigned i = 0; i < 12; i++)
        if (snapshot_save(&own, NULL, failure) < 0)
            return failure;
    return NULL;
}

START_TEST(several_savers_of_one_path)
{
    pthread_t threads[4];
    struct snapshot_error failures[4];
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, saver, &failures[i]), 0);
    for (unsigned i = 0; i < 4; i++) {
        void *failure;
        ck_assert_int_eq(pthread_join(threads[i], &failure), 0);
        ck_assert_msg(!failure, "%s", failure ? failures[i].text : "");
    }
    case_expect(job.path, c.ram, c.memory);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("saving snapshots");
    TCase *tcase = tcase_create("saving snapshots");

    tcase_set_timeout(tcase, 240);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, bad_targets_are_refused);
    tcase_add_test(tcase, what_may_not_be_written_is_refused);
    tcase_add_test(tcase, the_mode_is_private_or_that_of_the_old_file);
    tcase_add_test(tcase, a_job_that_makes_no_sense_is_refused);
    tcase_add_test(tcase, sources_that_make_no_sense_are_refused);
    tcase_add_test(tcase, a_source_that_cannot_be_read_is_an_error);
    tcase_add_test(tcase, progress_goes_from_nothing_to_all);
    tcase_add_test(tcase, cancelled_at_any_block_nothing_is_left);
    tcase_add_test(tcase, memory_that_is_cut_off_meanwhile_is_an_error);
    tcase_add_test(tcase, only_leftovers_are_removed);
    tcase_add_test(tcase, the_longest_name_will_do);
    tcase_add_test(tcase, several_savers_of_one_path);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
