/*
 * See baseline.h. The holder reads one-byte commands from a socket and answers each with the time it took, a uint64_t.
 * It ends when the socket does.
 */
#include "tools/ptstat/baseline.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND_FORK 'f'
#define COMMAND_COPY 'c'
#define FAILED       UINT64_MAX /* the answer where a command did not work, or the memory could not be had */

struct baseline {
    int socket;
    pid_t holder;
};

struct memory {
    unsigned char *bytes;
    size_t resident;
    size_t dirty;
};

static unsigned char *small_pages(size_t length)
{
    unsigned char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, length, MADV_NOHUGEPAGE); /* fails only on kernels without huge pages, where it is not needed */
    return memory;
}

static void write_pages(const struct memory *memory, size_t length)
{
    static unsigned char value;

    value++;
    for (size_t at = 0; at < length; at += PAGE_BYTES)
        memory->bytes[at] = value;
}

static uint64_t time_fork(const struct memory *memory)
{
    uint64_t start, end;
    pid_t child;

    write_pages(memory, memory->dirty);
    start = now_ns();
    child = fork();
    if (child == 0)
        _exit(0);
    end = now_ns();
    if (child < 0)
        return FAILED;
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return end - start;
}

static uint64_t time_copy(const struct memory *memory)
{
    unsigned char *copy = small_pages(memory->resident);
    uint64_t start, end;

    if (!copy)
        return FAILED;
    start = now_ns();
    memcpy(copy, memory->bytes, memory->resident);
    end = now_ns();
    munmap(copy, memory->resident);
    return end - start;
}

__attribute__((noreturn)) static void hold(int socket, uint64_t resident, uint64_t dirty)
{
    struct memory memory = {.bytes = small_pages(resident), .resident = resident, .dirty = dirty};
    uint64_t answer = memory.bytes ? 0 : FAILED;
    char command;

    if (memory.bytes)
        write_pages(&memory, resident);
    while (send(socket, &answer, sizeof(answer), MSG_NOSIGNAL) == sizeof(answer) && memory.bytes &&
           recv(socket, &command, 1, 0) == 1)
        answer = command == COMMAND_FORK ? time_fork(&memory) : time_copy(&memory);
    _exit(0);
}

static uint64_t answer_of(struct baseline *baseline, const char *what)
{
    uint64_t answer;

    if (recv(baseline->socket, &answer, sizeof(answer), MSG_WAITALL) != sizeof(answer))
        die(EXIT_RUNTIME, "the baseline process ended while ptstat waited for its %s", what);
    if (answer == FAILED)
        die(EXIT_RUNTIME, "the baseline process has not enough memory for its %s", what);
    return answer;
}

/* Better one line now than the kernel's out-of-memory killer in the middle: guest, holder and copy are there at once.
 */
static void check_memory(uint64_t resident)
{
    char needed[BYTES_TEXT];
    struct sysinfo host;

    if (sysinfo(&host) || resident <= (uint64_t)host.totalram * host.mem_unit / 3)
        return;
    die(EXIT_RUNTIME, "three times %s of memory, for the guest, the baseline and its copy, is more than this host has",
        bytes_text(needed, resident));
}

struct baseline *baseline_start(uint64_t resident, uint64_t dirty)
{
    struct baseline *baseline = malloc(sizeof(*baseline));
    pid_t parent = getpid();
    int ends[2];

    check_memory(resident);
    if (!baseline)
        die(EXIT_RUNTIME, "out of memory");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        die(EXIT_RUNTIME, "cannot make a socket pair: %s", strerror(errno));
    baseline->holder = fork();
    if (baseline->holder < 0)
        die(EXIT_RUNTIME, "cannot start the baseline process: %s", strerror(errno));
    if (baseline->holder == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(0);
        close(ends[0]);
        hold(ends[1], resident, dirty);
    }
    close(ends[1]);
    baseline->socket = ends[0];
    answer_of(baseline, "resident set");
    return baseline;
}

static uint64_t command(struct baseline *baseline, char letter, const char *what)
{
    if (send(baseline->socket, &letter, 1, MSG_NOSIGNAL) != 1)
        die(EXIT_RUNTIME, "the baseline process has ended");
    return answer_of(baseline, what);
}

uint64_t baseline_fork(struct baseline *baseline)
{
    return command(baseline, COMMAND_FORK, "fork(2)");
}

uint64_t baseline_copy(struct baseline *baseline)
{
    return command(baseline, COMMAND_COPY, "full copy");
}

void baseline_end(struct baseline *baseline)
{
    close(baseline->socket);
    while (waitpid(baseline->holder, NULL, 0) < 0 && errno == EINTR)
        ;
    free(baseline);
}
