/* The process: see process.h. */
#include "vmm/process.h"

#include "vmm/base/failure.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define LOOP_DESCRIPTORS 12        /* what the event loop opens, and some */
#define LOOP_MEMORY      (1 << 20) /* more than it allocates */

/* Every guest, layer and client needs descriptors; the soft limit is low for the sake of select(2), not used here. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Where a standard descriptor is closed, the next file opened would take its number and be mistaken for it. */
static void fill_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* What is large goes back to the kernel when it is freed. By itself malloc learns to keep it, for each thread that has
 * ever saved a guest. */
static void give_large_memory_back(void)
{
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
}

void process_init(void)
{
    fill_standard_descriptors();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of what writes it */
    raise_file_limit();
    give_large_memory_back();
}

int process_check_room(struct cleave_failure *failure)
{
    int fds[LOOP_DESCRIPTORS], count = 0, error = 0;
    while (count < LOOP_DESCRIPTORS && !error) {
        fds[count] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fds[count] < 0)
            error = errno;
        else
            count++;
    }
    while (count)
        close(fds[--count]);
    if (error)
        return fail_errno(failure, error, "cannot open as many files as an event loop needs (see ulimit -n)");
    void *volatile memory = malloc(LOOP_MEMORY);
    free(memory);
    return memory ? 0 : fail_errno(failure, ENOMEM, "cannot make an event loop (see ulimit -v)");
}

void process_block_ends(void)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
}
