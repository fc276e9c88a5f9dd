/* How the control socket's file is made in a folder that another process keeps locked. */
#include "vmm/control/socket.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[64], path[96];
static int foreign_lock;
static struct socket_file file;
static struct cleave_failure failure;

static void make_locked_folder(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/socket-XXXXXX", base && strlen(base) < 40 ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    foreign_lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(flock(foreign_lock, LOCK_EX), 0);
}

static void remove_folder(void)
{
    close(foreign_lock);
    ck_assert_int_eq(rmdir(folder), 0);
}

/* A socket that somebody has bound there; listening or stale. Returns its descriptor, or -1. */
static int leave_socket(bool stale)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    if (stale)
        close(fd);
    return stale ? -1 : fd;
}

static void expect_refused(const char *phrase)
{
    struct stat before, after;
    ck_assert_int_eq(lstat(path, &before), 0);
    ck_assert_int_lt(socket_file_listen(&file, path, &failure), 0);
    ck_assert_int_eq(failure.kind, CLEAVE_BUSY);
    ck_assert_msg(strstr(failure.text, phrase) != NULL, "%s", failure.text);
    ck_assert_int_eq(lstat(path, &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
}

static void expect_made(void)
{
    ck_assert_msg(socket_file_listen(&file, path, &failure) == 0, "%s", failure.text);
    socket_file_remove(&file);
    ck_assert_int_lt(access(path, F_OK), 0);
    close(file.fd);
}

START_TEST(a_socket_is_made_in_a_folder_that_others_keep_locked)
{
    expect_made();
}
END_TEST

START_TEST(a_stale_socket_there_stays_and_is_named)
{
    leave_socket(true);
    expect_refused("stale socket");
    ck_assert_int_eq(flock(foreign_lock, LOCK_UN), 0);
    expect_made();
}
END_TEST

START_TEST(a_live_socket_there_is_in_use)
{
    int fd = leave_socket(false);
    expect_refused("in use");
    close(fd);
    unlink(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control: socket");
    TCase *tests = tcase_create("socket");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, make_locked_folder, remove_folder);
    tcase_add_test(tests, a_socket_is_made_in_a_folder_that_others_keep_locked);
    tcase_add_test(tests, a_stale_socket_there_stays_and_is_named);
    tcase_add_test(tests, a_live_socket_there_is_in_use);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
