/*
 * fork(2), for each page of a process with 1 GiB resident in 4 KiB pages: the operating system's price for sharing
 * memory copy-on-write, beside which copy_from is to be seen.
 */
#include "tests/bench/harness.h"

#include <sys/wait.h>
#include <unistd.h>

#define FORKS 5

static uint64_t time_fork(void)
{
    const uint64_t start = now_ns();
    const pid_t child = fork();

    if (child == 0)
        _exit(0);

    const uint64_t end = now_ns();

    if (child < 0)
        give_up("fork", "failed");
    waitpid(child, NULL, 0);
    return end - start;
}

int main(int argc, char **argv)
{
    const struct operation copy = {.name = "fork2_per_page", .units = LEAVES, .floor = FLOOR_COPY, .counts = true};
    uint64_t quickest = UINT64_MAX, floor = UINT64_MAX;
    struct floors floors;
    unsigned char *memory = mmap(NULL, GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        give_up("1 GiB of memory", "there is not enough");
    madvise(memory, GIB, MADV_NOHUGEPAGE);
    floors_start(&floors);
    for (unsigned i = 0; i < FORKS; i++) {
        for (uint64_t at = 0; at < GIB; at += PAGE) /* what the last fork write-protected is writable again */
            memory[at] = (unsigned char)i;

        const uint64_t ns = time_fork();
        const uint64_t floor_ns = time_floor(&floors, &copy, true);

        quickest = ns < quickest ? ns : quickest;
        floor = floor_ns < floor ? floor_ns : floor;
    }
    bench_report(argc > 1 ? argv[1] : NULL, copy.name, "host", (double)quickest / (double)LEAVES,
                 (double)floor / (double)LEAVES);
    floors_end(&floors);
    munmap(memory, GIB);
    return 0;
}
