/* libcleave: what the fork port tells each vCPU of a guest in which several ask for forks. */
#include <cleave/cleave.h>

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RAM      (UINT64_C(4) << 20)
#define LET_READ UINT64_C(0x300000) /* words that the guest waits for */
#define LET_FORK UINT64_C(0x300008)
#define ANSWER   UINT64_C(0x300010) /* what vCPU 1 has read */
#define NO_WORD  0x55555555

/* A flat binary. vCPU 1 asks for a child at once, and reads what came of it when it may; vCPU 0 asks for one when it
 * may. */
extern const uint8_t guest_code[], guest_code_end[];
__asm__(".pushsection .rodata\n"
        "guest_code:\n"
        "        mov     $1, %eax\n"
        "        test    %esi, %esi\n"
        "        jz      2f\n"
        "        out     %eax, $0xf5\n"
        "1:      pause\n"
        "        cmpl    $0, 0x300000\n"
        "        je      1b\n"
        "        in      $0xf5, %eax\n"
        "        mov     %eax, 0x300010\n"
        "        jmp     4f\n"
        "2:      pause\n"
        "        cmpl    $0, 0x300008\n"
        "        je      2b\n"
        "        out     %eax, $0xf5\n"
        "4:      pause\n"
        "        jmp     4b\n"
        "guest_code_end:\n"
        ".popsection\n");

static struct cleave_family *family;
static struct cleave_failure failure;
static uint64_t newest; /* guest */

static void must(int result)
{
    ck_assert_msg(result == 0, "%s", failure.text);
}

static void on_event(void *context, const struct cleave_event *event)
{
    (void)context;
    if (event->kind == CLEAVE_EVENT_FORKED)
        newest = event->children[0];
}

static void launch(void)
{
    char path[] = "/tmp/cleave_forks.XXXXXX";
    const int fd = mkstemp(path);
    const ssize_t length = guest_code_end - guest_code;
    ck_assert_int_eq(write(fd, guest_code, (size_t)length), length);
    close(fd);
    const struct cleave_config config = {.memory = RAM, .cpus = 2};
    family = cleave_family_new(&config, &failure);
    ck_assert_msg(family != NULL, "%s", failure.text);
    cleave_family_on_event(family, on_event, NULL);
    const struct cleave_launch what = {.path = path};
    uint64_t guest;
    must(cleave_guest_launch(family, &what, &guest, &failure));
    unlink(path);
}

static void await_guest(uint64_t guest)
{
    struct pollfd work = {.fd = cleave_family_descriptor(family), .events = POLLIN};
    while (newest < guest) {
        poll(&work, 1, 1000);
        cleave_family_dispatch(family);
    }
}

static void write_word(uint64_t guest, uint64_t gpa, uint32_t word)
{
    must(cleave_guest_write(family, guest, gpa, sizeof word, &word, &failure));
}

static uint32_t answer_of(uint64_t guest)
{
    uint32_t word = NO_WORD;
    write_word(guest, ANSWER, NO_WORD);
    write_word(guest, LET_READ, 1);
    while (word == NO_WORD) {
        usleep(1000);
        must(cleave_guest_read(family, guest, ANSWER, sizeof word, &word, &failure));
    }
    return word;
}

START_TEST(what_a_vcpu_has_not_read_of_its_fork_outlasts_anothers)
{
    launch();
    await_guest(1); /* by vCPU 1 */
    write_word(1, LET_FORK, 1);
    await_guest(2); /* by vCPU 0 of that child */
    ck_assert_uint_eq(answer_of(0), 0);
    ck_assert_uint_eq(answer_of(1), 1);
    ck_assert_uint_eq(answer_of(2), 1);
    cleave_family_free(family);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cleave_forks");
    TCase *tests = tcase_create("forks");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, what_a_vcpu_has_not_read_of_its_fork_outlasts_anothers);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
