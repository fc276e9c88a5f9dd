/* Every call that the library makes of the kernel fails in its turn, with every errno of a table: the error's class is
 * the one that the table says, nothing is left open, and at the path is the old file or a whole new one. The linker
 * puts the calls here in place of libc's, see the Makefile. */
#include "tests/support/snapshot_operations.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- The calls ---- */

static struct {
    unsigned at; /* which call from now on fails; 0: none */
    int error;
    const char *failed; /* the call that has */
} fault;

static bool fails(const char *name)
{
    if (!fault.at || --fault.at)
        return false;
    fault.failed = name;
    errno = fault.error;
    return true;
}

#define CALL(result, name, parameters, arguments)                                                                      \
    result __real_##name parameters;                                                                                   \
    result __wrap_##name parameters;                                                                                   \
    result __wrap_##name parameters                                                                                    \
    {                                                                                                                  \
        return fails(#name) ? -1 : __real_##name arguments;                                                            \
    }

CALL(int, stat, (const char *path, struct stat *status), (path, status))
CALL(int, lstat, (const char *path, struct stat *status), (path, status))
CALL(int, fstat, (int fd, struct stat *status), (fd, status))
CALL(int, fstatat, (int folder, const char *path, struct stat *status, int flags), (folder, path, status, flags))
CALL(int, faccessat, (int folder, const char *path, int mode, int flags), (folder, path, mode, flags))
CALL(int, open, (const char *path, int flags, mode_t mode), (path, flags, mode))
CALL(ssize_t, pread, (int fd, void *to, size_t bytes, off_t offset), (fd, to, bytes, offset))
CALL(ssize_t, pwrite, (int fd, const void *from, size_t bytes, off_t offset), (fd, from, bytes, offset))
CALL(off_t, lseek, (int fd, off_t offset, int whence), (fd, offset, whence))
CALL(int, ftruncate, (int fd, off_t bytes), (fd, bytes))
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode))
CALL(int, linkat, (int from, const char *old, int to, const char *new, int flags), (from, old, to, new, flags))
CALL(int, renameat, (int from, const char *old, int to, const char *new), (from, old, to, new))
CALL(int, flock, (int fd, int how), (fd, how))
CALL(ssize_t, getrandom, (void *to, size_t bytes, unsigned flags), (to, bytes, flags))

int __real_openat(int folder, const char *path, int flags, mode_t mode);
int __wrap_openat(int folder, const char *path, int flags, mode_t mode);
int __wrap_openat(int folder, const char *path, int flags, mode_t mode)
{
    const char *name = (flags & O_TMPFILE) == O_TMPFILE ? "openat, no name"
                       : flags & O_DIRECTORY            ? "openat, folder"
                                                        : "openat";
    return fails(name) ? -1 : __real_openat(folder, path, flags, mode);
}

int __wrap_fsync(int fd); /* nothing here outlives the test */
int __wrap_fsync(int fd)
{
    (void)fd;
    return fails("fsync") ? -1 : 0;
}

char *__real_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved)
{
    return fails("realpath") ? NULL : __real_realpath(path, resolved);
}

/* ---- What is to come of it ---- */

/* What an errno means of a path, and of an open file. */
static const struct {
    int error;
    enum snapshot_error_class path, file;
} classes[] = {
    {ENOENT, SNAPSHOT_ARGUMENT, SNAPSHOT_IO},
    {ENOTDIR, SNAPSHOT_ARGUMENT, SNAPSHOT_IO},
    {EISDIR, SNAPSHOT_ARGUMENT, SNAPSHOT_IO},
    {ELOOP, SNAPSHOT_ARGUMENT, SNAPSHOT_IO},
    {ENAMETOOLONG, SNAPSHOT_ARGUMENT, SNAPSHOT_IO},
    {EINVAL, SNAPSHOT_ARGUMENT, SNAPSHOT_IO},
    {EACCES, SNAPSHOT_ARGUMENT, SNAPSHOT_IO},
    {EPERM, SNAPSHOT_ARGUMENT, SNAPSHOT_IO},
    {EROFS, SNAPSHOT_ARGUMENT, SNAPSHOT_IO},
    {EBUSY, SNAPSHOT_ARGUMENT, SNAPSHOT_IO},
    {EOPNOTSUPP, SNAPSHOT_ARGUMENT, SNAPSHOT_IO},
    {EMFILE, SNAPSHOT_NO_MEMORY, SNAPSHOT_NO_MEMORY},
    {ENFILE, SNAPSHOT_NO_MEMORY, SNAPSHOT_NO_MEMORY},
    {ENOMEM, SNAPSHOT_NO_MEMORY, SNAPSHOT_NO_MEMORY},
    {EIO, SNAPSHOT_IO, SNAPSHOT_IO},
    {ENOSPC, SNAPSHOT_IO, SNAPSHOT_IO},
    {EDQUOT, SNAPSHOT_IO, SNAPSHOT_IO},
    {EFBIG, SNAPSHOT_IO, SNAPSHOT_IO},
    {ESTALE, SNAPSHOT_IO, SNAPSHOT_IO},
};

#define ANY (-1)

/* Which calls are of a path, and what does not keep the library from going on. */
static const struct rule {
    const char *call;
    bool path;
    int passes[4];
} rules[] = {
    {"stat", true, {0}},
    {"lstat", true, {ENOENT, ENOTDIR}}, /* another call will tell */
    {"fstat", false, {0}},
    {"fstatat", true, {ENOENT}}, /* there is nothing to replace */
    {"faccessat", true, {0}},
    {"open", true, {0}},
    {"openat", true, {ENOENT, ELOOP}},
    {"openat, folder", true, {ANY}}, /* what was left behind stays */
    {"openat, no name", true, {EOPNOTSUPP, EISDIR, ENOENT, EINVAL}},
    {"realpath", true, {0}},
    {"pread", false, {0}},
    {"pwrite", false, {0}},
    {"lseek", false, {0}},
    {"ftruncate", false, {0}},
    {"fchmod", false, {0}},
    {"fsync", false, {EINVAL}},
    {"linkat", true, {ENOENT}}, /* it has two ways */
    {"renameat", true, {0}},
    {"flock", false, {ANY}},
    {"getrandom", false, {0}},
};

static const struct rule *rule_of(const char *call)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i].call, call) == 0)
            return &rules[i];
    ck_abort_msg("no rule for %s", call);
    return NULL;
}

static bool passes(const struct rule *rule, int error)
{
    for (unsigned i = 0; i < 4 && rule->passes[i]; i++)
        if (rule->passes[i] == ANY || rule->passes[i] == error)
            return true;
    return false;
}

static struct snapshot_error error;

static void check_result(const struct operation *operation, unsigned at, size_t row, int result)
{
    const struct rule *rule = rule_of(fault.failed);
    int number = classes[row].error;
    enum snapshot_error_class wanted = rule->path ? classes[row].path : classes[row].file;
    bool elsewhere = wanted == SNAPSHOT_ARGUMENT;
    char where[200];

    snprintf(where, sizeof where, "%s, call %u: %s: %s", operation->name, at, fault.failed, strerrordesc_np(number));
    if (result == 0) {
        bool moved = operation->chain && strcmp(rule->call, "realpath") == 0; /* the file, while it was open */
        bool may = passes(rule, number) || (elsewhere && (operation->diff || moved));
        ck_assert_msg(may, "%s: goes on", where);
        return;
    }
    bool right = error.class == wanted || (operation->chain && elsewhere && error.class == SNAPSHOT_INVALID);
    ck_assert_msg(right, "%s: class %d: %s", where, error.class, error.text);
    ck_assert_msg(error.class == SNAPSHOT_INVALID || strstr(error.text, strerrordesc_np(number)), "%s: %s", where,
                  error.text);
    ck_assert_msg(strncmp(error.text, operations_case.folder, strlen(operations_case.folder)) == 0, "%s: %s", where,
                  error.text);
}

START_TEST(every_call_fails_in_every_way)
{
    const struct operation *operation = &operations[_i];
    unsigned at = 1;
    for (bool more = true; more; at++) {
        for (size_t row = 0; row < sizeof classes / sizeof *classes && more; row++) {
            if (operation->saves)
                operations_restore();
            unsigned before = operations_descriptors();
            fault.failed = NULL;
            fault.error = classes[row].error;
            fault.at = at;
            int result = operation->run(&error);
            fault.at = 0;
            ck_assert_uint_eq(operations_descriptors(), before);
            more = fault.failed != NULL;
            if (more)
                check_result(operation, at, row, result);
            else
                ck_assert_msg(result == 0, "%s: %s", operation->name, result ? error.text : "");
            if (operation->saves)
                operations_check();
        }
    }
    ck_assert_msg(at > 2 || strcmp(operation->name, "map") == 0, "%s: no calls", operation->name);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshots and failing calls");
    TCase *tcase = tcase_create("snapshots and failing calls");

    tcase_set_timeout(tcase, 280);
    tcase_add_checked_fixture(tcase, operations_setup, operations_teardown);
    tcase_add_loop_test(tcase, every_call_fails_in_every_way, 0, OPERATIONS);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
