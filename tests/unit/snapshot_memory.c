/* Every allocation that the library makes fails in its turn: the error is SNAPSHOT_NO_MEMORY, nothing leaks, and at the
 * path is the old file or a whole new one. The linker puts the allocators here in place of the true ones, see the
 * Makefile; what zstd and xxhash allocate inside themselves fails where they are called. */
#include "tests/support/snapshot_operations.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>
#include <zstd_errors.h>

static struct {
    unsigned at; /* which allocation from now on fails; 0: none */
    bool lasts;  /* so do all that come after it */
    const char *failed;
    long live; /* made and not freed */
} fault;

static bool fails(const char *name)
{
    if (!fault.at || (fault.at > 1 && fault.at--))
        return false;
    if (!fault.lasts)
        fault.at = 0;
    if (!fault.failed)
        fault.failed = name;
    errno = ENOMEM;
    return true;
}

#define ALLOCATOR(result, name, parameters, arguments)                                                                 \
    result __real_##name parameters;                                                                                   \
    result __wrap_##name parameters;                                                                                   \
    result __wrap_##name parameters                                                                                    \
    {                                                                                                                  \
        result made = fails(#name) ? NULL : __real_##name arguments;                                                   \
        fault.live += made != NULL;                                                                                    \
        return made;                                                                                                   \
    }

#define RELEASE(result, name, of)                                                                                      \
    result __real_##name(of);                                                                                          \
    result __wrap_##name(of);                                                                                          \
    result __wrap_##name(of gone)                                                                                      \
    {                                                                                                                  \
        fault.live -= gone != NULL;                                                                                    \
        return __real_##name(gone);                                                                                    \
    }

ALLOCATOR(void *, malloc, (size_t bytes), (bytes))
ALLOCATOR(void *, calloc, (size_t count, size_t bytes), (count, bytes))
ALLOCATOR(void *, aligned_alloc, (size_t to, size_t bytes), (to, bytes))
ALLOCATOR(char *, strdup, (const char *text), (text))
ALLOCATOR(DIR *, fdopendir, (int fd), (fd))
ALLOCATOR(ZSTD_CCtx *, ZSTD_createCCtx, (void), ())
ALLOCATOR(ZSTD_DCtx *, ZSTD_createDCtx, (void), ())
ALLOCATOR(XXH3_state_t *, XXH3_createState, (void), ())
RELEASE(int, closedir, DIR *)
RELEASE(size_t, ZSTD_freeCCtx, ZSTD_CCtx *)
RELEASE(size_t, ZSTD_freeDCtx, ZSTD_DCtx *)
RELEASE(XXH_errorcode, XXH3_freeState, XXH3_state_t *)

void __real_free(void *gone);
void __wrap_free(void *gone);
void __wrap_free(void *gone)
{
    fault.live -= gone != NULL;
    __real_free(gone);
}

void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes)
{
    void *made = fails("realloc") ? NULL : __real_realloc(old, bytes);
    fault.live += made && !old;
    return made;
}

#define NO_ZSTD_MEMORY ((size_t)-ZSTD_error_memory_allocation)

size_t __real_ZSTD_compressCCtx(ZSTD_CCtx *zstd, void *to, size_t room, const void *from, size_t bytes, int level);
size_t __wrap_ZSTD_compressCCtx(ZSTD_CCtx *zstd, void *to, size_t room, const void *from, size_t bytes, int level);
size_t __wrap_ZSTD_compressCCtx(ZSTD_CCtx *zstd, void *to, size_t room, const void *from, size_t bytes, int level)
{
    if (fails("ZSTD_compressCCtx"))
        return NO_ZSTD_MEMORY;
    return __real_ZSTD_compressCCtx(zstd, to, room, from, bytes, level);
}

size_t __real_ZSTD_decompressDCtx(ZSTD_DCtx *zstd, void *to, size_t room, const void *from, size_t bytes);
size_t __wrap_ZSTD_decompressDCtx(ZSTD_DCtx *zstd, void *to, size_t room, const void *from, size_t bytes);
size_t __wrap_ZSTD_decompressDCtx(ZSTD_DCtx *zstd, void *to, size_t room, const void *from, size_t bytes)
{
    if (fails("ZSTD_decompressDCtx"))
        return NO_ZSTD_MEMORY;
    return __real_ZSTD_decompressDCtx(zstd, to, room, from, bytes);
}

int __wrap_fsync(int fd); /* nothing here outlives the test */
int __wrap_fsync(int fd)
{
    (void)fd;
    return 0;
}

static void check_result(const char *where, int result, const struct snapshot_error *error)
{
    /* What was left behind may stay; then the operation goes on. */
    bool may_pass = strcmp(fault.failed, "fdopendir") == 0;
    if (result == 0) {
        ck_assert_msg(may_pass, "%s: goes on", where);
        return;
    }
    ck_assert_msg(error->class == SNAPSHOT_NO_MEMORY, "%s: class %d: %s", where, error->class, error->text);
    ck_assert_msg(strstr(error->text, "out of memory") != NULL, "%s: %s", where, error->text);
    ck_assert_msg(strncmp(error->text, operations_case.folder, strlen(operations_case.folder)) == 0, "%s: %s", where,
                  error->text);
}

static void fail_everywhere(const struct operation *operation, bool lasts)
{
    struct snapshot_error error;
    char where[200];
    unsigned at = 1;

    for (bool more = true; more; at++) {
        if (operation->saves)
            operations_restore();
        unsigned before = operations_descriptors();
        fault.failed = NULL;
        fault.live = 0;
        fault.lasts = lasts;
        fault.at = at;
        int result = operation->run(&error);
        fault.at = 0;
        more = fault.failed != NULL;
        snprintf(where, sizeof where, "%s, allocation %u: %s", operation->name, at, more ? fault.failed : "");
        if (more)
            check_result(where, result, &error);
        else
            ck_assert_msg(result == 0, "%s: %s", where, result ? error.text : "");
        ck_assert_msg(fault.live == 0, "%s: %ld are not freed", where, fault.live);
        ck_assert_msg(operations_descriptors() == before, "%s: a file is not closed", where);
        if (operation->saves)
            operations_check();
    }
    ck_assert_msg(at > 2, "%s: no allocations", operation->name);
}

START_TEST(one_allocation_fails)
{
    fail_everywhere(&operations[_i], false);
}
END_TEST

START_TEST(allocations_fail_from_here_on)
{
    fail_everywhere(&operations[_i], true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshots and memory");
    TCase *tcase = tcase_create("snapshots and memory");

    tcase_set_timeout(tcase, 280);
    tcase_add_checked_fixture(tcase, operations_setup, operations_teardown);
    tcase_add_loop_test(tcase, one_allocation_fails, 0, OPERATIONS);
    tcase_add_loop_test(tcase, allocations_fail_from_here_on, 0, OPERATIONS);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
