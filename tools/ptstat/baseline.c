/* See baseline.h. */
#include "tools/ptstat/baseline.h"
#include "tools/ptstat/arguments.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/holder.h"
#include "tools/ptstat/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

struct baseline {
    int socket;
    pid_t holder;
};

static uint64_t answer_of(struct baseline *baseline, const char *what)
{
    uint64_t answer;

    if (recv(baseline->socket, &answer, sizeof(answer), MSG_WAITALL) != sizeof(answer))
        die(EXIT_RUNTIME, "the baseline process ended while ptstat waited for its %s", what);
    if (answer == HOLDER_FAILED)
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

struct baseline *baseline_start(const struct arguments *arguments)
{
    return baseline_start_with(&(struct holder_memory){arguments->resident, arguments->dirty, arguments->scatter});
}

struct baseline *baseline_start_with(const struct holder_memory *memory)
{
    struct baseline *baseline = malloc(sizeof(*baseline));
    pid_t parent = getpid();
    int ends[2];

    check_memory(memory->resident);
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
        hold(ends[1], memory);
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
    return command(baseline, HOLDER_FORK, "fork(2)");
}

uint64_t baseline_run(struct baseline *baseline)
{
    return command(baseline, HOLDER_RUN, "run");
}

uint64_t baseline_copy(struct baseline *baseline)
{
    return command(baseline, HOLDER_COPY, "full copy");
}

void baseline_add(struct baseline *baseline)
{
    command(baseline, HOLDER_ADD, "child");
}

uint64_t baseline_weigh(struct baseline *baseline)
{
    return command(baseline, HOLDER_WEIGH, "child's memory");
}

void baseline_end(struct baseline *baseline)
{
    close(baseline->socket);
    while (waitpid(baseline->holder, NULL, 0) < 0 && errno == EINTR)
        ;
    free(baseline);
}
