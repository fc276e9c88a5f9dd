/* The event loop where malloc(3) has nothing left: libuv goes on from the reserve. */
#include "vmm/loop_memory.h"

#include <check.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#define DESCRIPTORS 900

/* A sanitizer's malloc does not fail, it ends the process. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MALLOC_FAILS 0
#elif defined(__has_feature)
#define MALLOC_FAILS !(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define MALLOC_FAILS 1
#endif

/* What is left of memory goes to nobody. */
static void use_up_memory(void)
{
    const struct rlimit none = {0, RLIM_INFINITY};
    void *volatile taken; /* or compilers know better */
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
    for (size_t size = 1 << 20; size >= 16; size /= 2)
        do
            taken = malloc(size);
        while (taken);
}

static unsigned heard;

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    heard++;
    uv_poll_stop(poll);
}

START_TEST(loop_takes_more_descriptors_when_memory_is_out)
{
    static uv_poll_t polls[DESCRIPTORS];
    uv_loop_t loop;
    ck_assert_int_eq(loop_memory_init(), 0);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    int fds[DESCRIPTORS];
    for (int i = 0; i < DESCRIPTORS; i++) {
        fds[i] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        ck_assert_int_ge(fds[i], 0);
    }
    if (MALLOC_FAILS)
        use_up_memory();
    unsigned good = 0;
    for (int i = 0; i < DESCRIPTORS; i++)
        good += uv_poll_init(&loop, &polls[i], fds[i]) == 0 && uv_poll_start(&polls[i], UV_READABLE, on_ready) == 0;
    uv_run(&loop, UV_RUN_DEFAULT);
    const struct rlimit plenty = {RLIM_INFINITY, RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &plenty), 0); /* for Check itself */
    ck_assert_uint_eq(good, DESCRIPTORS);
    ck_assert_uint_eq(heard, DESCRIPTORS);
    for (int i = 0; i < DESCRIPTORS; i++) {
        uv_close((uv_handle_t *)&polls[i], NULL);
        close(fds[i]);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("loop memory");
    TCase *tests = tcase_create("loop memory");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, loop_takes_more_descriptors_when_memory_is_out);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
