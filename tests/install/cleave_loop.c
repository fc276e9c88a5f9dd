/* A program of somebody who has libcleave installed, in C and in C++: runs a guest from the point where it is ready
 * again and again, each time with another input, and compares what it makes of it. The guest is guest/target.c.
 * tests/install/check_install compiles and runs it, and tests/kvm/cleave_installed.c; cleave(3) shows it. */
#include <cleave/cleave.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT  UINT64_C(0x800000) /* of the guest's RAM: 1 KiB that it reads */
#define RESULT UINT64_C(0x801000) /* where it leaves the sum of these bytes */
#define BYTES  1024

static struct cleave_failure failure;

static int failed(void)
{
    fprintf(stderr, "%s\n", failure.text);
    return EXIT_FAILURE;
}

/* Launches the guest, and makes the point where it is ready the one that it returns to. */
static int prepare(struct cleave_family *family, const char *path, uint64_t *guest)
{
    struct cleave_launch launch = {path, "bytes=1024 input=8388608 result=8392704", 0, true};
    struct cleave_checkpoint_report report;
    struct cleave_stop stop;

    if (cleave_guest_launch(family, &launch, guest, &failure) < 0 ||
        cleave_guest_run(family, *guest, CLEAVE_UNTIL_READY, 0, &stop, &failure) < 0)
        return -1;
    return cleave_guest_checkpoint(family, *guest, &report, &failure);
}

/* Resets the guest, gives it an input, and lets it run to its end, for a second at most. */
static int run(struct cleave_family *family, uint64_t guest, const void *input, struct cleave_stop *stop)
{
    struct cleave_reset_report report;

    if (cleave_guest_reset(family, guest, CLEAVE_RESET_PAUSED, &report, &failure) < 0 ||
        cleave_guest_write(family, guest, INPUT, BYTES, input, &failure) < 0)
        return -1;
    return cleave_guest_run(family, guest, 0, UINT64_C(1000000000), stop, &failure);
}

/* One turn of the loop, with an input of its own. 1 where the result is right, 0 where it is not, -1 where it failed.
 */
static int turn(struct cleave_family *family, uint64_t guest, unsigned number)
{
    const unsigned char input[BYTES] = {'x', (unsigned char)number, (unsigned char)(number >> 8)};
    struct cleave_stop stop;
    uint32_t sum;

    if (run(family, guest, input, &stop) < 0 ||
        cleave_guest_read(family, guest, RESULT, sizeof sum, &sum, &failure) < 0)
        return -1;
    return stop.reason == CLEAVE_STOP_EXIT && stop.value == sum && sum == (uint32_t)input[0] + input[1] + input[2];
}

int main(int argc, char **argv)
{
    const unsigned times = argc == 3 ? (unsigned)atoi(argv[2]) : 0;
    static struct cleave_config config; /* all zero, but for: */
    struct cleave_family *family;
    unsigned good = 0;
    uint64_t guest;

    config.memory = UINT64_C(16) << 20;
    config.cpus = 1;
    family = cleave_family_new(&config, &failure);
    if (!family || prepare(family, argv[1], &guest) < 0)
        return failed();
    for (unsigned i = 0; i < times; i++) {
        const int right = turn(family, guest, i);
        if (right < 0)
            return failed();
        good += (unsigned)right;
    }
    cleave_family_free(family);
    printf("%u of %u runs gave their result\n", good, times);
    return good == times ? EXIT_SUCCESS : EXIT_FAILURE;
}
