/* The control socket as a file, and how a VMM ends: private, never stolen, removed, and the last reply delivered. */
#include "tests/kvm/control_common.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[] = "/tmp/cleave-test-XXXXXX";
static char path[128];

static void make_folder(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
}

static void remove_folder(void)
{
    end_vmm();
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing else may be left in it */
}

static struct client *connect_at_path(void)
{
    struct client_error error;
    struct client *client = client_open(path, 10000, &error);
    ck_assert_msg(client != NULL, "%s", error.text);
    return client;
}

static void start_at_path(void)
{
    vmm = start_counter(path);
    client_close(connect_at_path());
}

static bool path_exists(void)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

/* A socket file that nobody listens at. */
static void leave_stale_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    close(fd);
}

/* A VMM at that socket ends with status 125 and one line that has the phrase in it. */
static void expect_start_refused(const char *socket, const char *phrase)
{
    struct vmm_process *process = start_counter(socket);
    ck_assert_int_eq(vmm_process_wait(process, 20000), 125);
    char *errors = vmm_process_errors(process);
    ck_assert_msg(strstr(errors, phrase) != NULL, "%s", errors);
    ck_assert_ptr_eq(strchr(errors, '\n'), errors + strlen(errors) - 1);
    free(errors);
    vmm_process_end(process);
}

START_TEST(socket_is_private)
{
    umask(0);
    start_at_path();
    struct stat status;
    ck_assert_int_eq(lstat(path, &status), 0);
    ck_assert(S_ISSOCK(status.st_mode));
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
}
END_TEST

START_TEST(stale_socket_is_replaced)
{
    leave_stale_socket();
    start_at_path();
    vmm_process_signal(vmm, SIGKILL); /* it has no chance to remove its own */
    ck_assert_int_eq(vmm_process_wait(vmm, 10000), 128 + SIGKILL);
    ck_assert(path_exists());
    end_vmm();
    start_at_path();
}
END_TEST

START_TEST(live_socket_is_not_stolen)
{
    start_at_path();
    struct client *client = connect_at_path();
    expect_start_refused(path, "in use");
    ck_assert(path_exists());
    ck_assert_uint_eq(guest_count(client), 1);
    client_close(client);
    client_close(connect_at_path());
}
END_TEST

START_TEST(a_socket_of_another_program_is_not_stolen)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, 1), 0); /* and never accepts */
    for (int i = 0; i < 4; i++)
        expect_start_refused(path, "in use");
    close(fd);
}
END_TEST

START_TEST(one_of_many_gets_a_stale_socket)
{
    leave_stale_socket();
    struct vmm_process *started[6];
    for (int i = 0; i < 6; i++)
        started[i] = start_counter(path);
    int running = 6;
    for (int64_t start = milliseconds(); running > 1 && milliseconds() - start < 20000;) {
        running = 0;
        for (int i = 0; i < 6; i++) {
            int status = vmm_process_wait(started[i], 10);
            ck_assert(status == -1 || status == 125);
            running += status == -1;
        }
    }
    ck_assert_int_eq(running, 1);
    struct client *client = connect_at_path();
    ck_assert_uint_eq(guest_count(client), 1);
    client_close(client);
    for (int i = 0; i < 6; i++)
        vmm_process_end(started[i]);
}
END_TEST

START_TEST(a_file_is_left_alone)
{
    FILE *file = fopen(path, "w");
    fputs("precious", file);
    fclose(file);
    expect_start_refused(path, "no socket");
    struct stat status;
    ck_assert_int_eq(lstat(path, &status), 0);
    ck_assert_int_eq(status.st_size, 8);
    unlink(path);
    ck_assert_int_eq(symlink("/dev/null", path), 0);
    expect_start_refused(path, "no socket");
}
END_TEST

START_TEST(impossible_paths_are_refused)
{
    char text[200];
    memset(text, 'x', sizeof text);
    memcpy(text, "/tmp/", 5);
    text[108] = '\0';
    expect_start_refused(text, "107");
    expect_start_refused("/nonexistent/folder/socket", "/nonexistent/folder/socket");
    expect_start_refused("/proc/socket", "/proc/socket");
    expect_start_refused("", "--control");
}
END_TEST

START_TEST(quit_answers_then_ends)
{
    start_at_path();
    struct client *client = connect_at_path();
    json_decref(must_call(client, "fork", json_pack("{s:i}", "count", 3)));
    json_decref(must_call(client, "quit", NULL));
    ck_assert_int_eq(vmm_process_wait(vmm, 20000), 124);
    ck_assert(!path_exists());
    for (int guest = 0; guest < 4; guest++) {
        json_t *exited = client_wait_event(client, "EXITED", guest, 1000);
        ck_assert_ptr_nonnull(exited);
        json_decref(exited);
    }
    expect_closed(client);
    client_close(client);
}
END_TEST

/* Asks for more than fits into a socket's buffers and reads none of it; only then, `quit`. */
START_TEST(quit_does_not_wait_for_who_does_not_read)
{
    start_at_path();
    struct client *client = connect_at_path();
    for (int i = 0; i < 150; i++)
        send_text(client, "{\"execute\":\"query-commands\"}\n");
    send_text(client, "{\"execute\":\"quit\"}\n");
    struct client *other = connect_at_path();
    client_callf(other, "quit", NULL, NULL, "{}");
    ck_assert_int_eq(vmm_process_wait(vmm, 20000), 124);
    ck_assert(!path_exists());
    client_close(client);
    client_close(other);
}
END_TEST

START_TEST(killing_the_last_guest_is_answered)
{
    start_at_path();
    struct client *client = connect_at_path();
    json_decref(must_call(client, "kill", json_pack("{s:i}", "guest", 0)));
    ck_assert_int_ge(vmm_process_wait(vmm, 20000), 0);
    ck_assert(!path_exists());
    json_t *exited = client_wait_event(client, "EXITED", 0, 1000);
    ck_assert_ptr_nonnull(exited);
    json_decref(exited);
    client_close(client);
}
END_TEST

START_TEST(the_end_of_the_guest_is_told)
{
    char program[256], file[256];
    vmm_build_path(program, sizeof program, "vmm");
    vmm_build_path(file, sizeof file, "guest/hello.bin");
    const char *words[] = {program, "--control", path, "--paused", file, "code=7", NULL};
    struct client_error error;
    vmm = vmm_process_start(words, VMM_PROCESS_NO_CONTROL, &error);
    struct client *client = connect_at_path();
    json_decref(must_call(client, "resume", json_pack("{s:i}", "guest", 0)));
    json_t *exited = client_wait_event(client, "EXITED", 0, 10000);
    ck_assert_str_eq(json_string_value(json_object_get(event_data(exited), "reason")), "exit");
    ck_assert_int_eq(json_integer_value(json_object_get(event_data(exited), "exit_code")), 7);
    json_decref(exited);
    expect_closed(client);
    client_close(client);
    ck_assert_int_eq(vmm_process_wait(vmm, 20000), 7);
    ck_assert(!path_exists());
}
END_TEST

START_TEST(signals_remove_the_socket)
{
    const int signals[] = {SIGINT, SIGTERM};
    for (int i = 0; i < 2; i++) {
        start_at_path();
        vmm_process_signal(vmm, signals[i]);
        ck_assert_int_eq(vmm_process_wait(vmm, 20000), 124);
        ck_assert(!path_exists());
        end_vmm();
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("socket");
    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, socket_is_private);
    tcase_add_test(tests, stale_socket_is_replaced);
    tcase_add_test(tests, live_socket_is_not_stolen);
    tcase_add_test(tests, a_socket_of_another_program_is_not_stolen);
    tcase_add_test(tests, one_of_many_gets_a_stale_socket);
    tcase_add_test(tests, a_file_is_left_alone);
    tcase_add_test(tests, impossible_paths_are_refused);
    tcase_add_test(tests, quit_answers_then_ends);
    tcase_add_test(tests, quit_does_not_wait_for_who_does_not_read);
    tcase_add_test(tests, killing_the_last_guest_is_answered);
    tcase_add_test(tests, the_end_of_the_guest_is_told);
    tcase_add_test(tests, signals_remove_the_socket);
    return run_suite(tests);
}
