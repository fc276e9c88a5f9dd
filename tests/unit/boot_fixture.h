/* What the tests of vmm/boot/ share: guest RAM with a guard behind it, guest files, and loading them. */
#ifndef TESTS_UNIT_BOOT_FIXTURE_H
#define TESTS_UNIT_BOOT_FIXTURE_H

#include "vmm/boot/layout.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* Fresh guest RAM; the page after it cannot be touched. It is never freed: each test is a process of its own. */
static inline struct boot_ram make_ram(uint64_t size)
{
    uint8_t *base =
        mmap(NULL, (size_t)(size + PAGE_BYTES), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(base, MAP_FAILED);
    ck_assert_int_eq(mprotect(base, (size_t)size, PROT_READ | PROT_WRITE), 0);
    return (struct boot_ram){.base = base, .size = size};
}

/* A guest file with these contents, removed by the caller; its path is in `path`. */
#define GUEST_PATH_BYTES 64
static inline void write_guest(char path[GUEST_PATH_BYTES], const void *bytes, size_t length)
{
    snprintf(path, GUEST_PATH_BYTES, "/tmp/boot-test-XXXXXX");
    const int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, length), (ssize_t)length);
    close(fd);
}

static inline int load_path(const struct boot_ram *ram, const char *path, struct boot_entry *entry,
                            struct cleave_failure *failure)
{
    const struct boot_config config = {.path = path, .args = "a=1 b", .cpus = 1, .cpl = 0};
    memset(failure, 0, sizeof *failure);
    return boot_load(ram, &config, entry, failure);
}

static inline int load_bytes(const struct boot_ram *ram, const void *bytes, size_t length, struct boot_entry *entry,
                             struct cleave_failure *failure)
{
    char path[GUEST_PATH_BYTES];
    write_guest(path, bytes, length);
    const int result = load_path(ram, path, entry, failure);
    unlink(path);
    return result;
}

/* One line, not empty, that holds `what`. */
static inline void assert_says(const struct cleave_failure *failure, const char *what)
{
    ck_assert_str_ne(failure->text, "");
    ck_assert_ptr_null(strchr(failure->text, '\n'));
    ck_assert_msg(strstr(failure->text, what), "\"%s\" does not say \"%s\"", failure->text, what);
}

static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
