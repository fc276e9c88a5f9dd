/* See started.h. */
#include "tools/ptstat/started.h"
#include "tools/ptstat/bare_hello.h"
#include "tools/ptstat/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define GREETING "hello from"

struct started {
    int output; /* the end of the pipe to read from */
    pid_t process;
    uint64_t since;
};

static void make_pipe(int ends[2])
{
    exit_if_interrupted();
    if (pipe2(ends, O_CLOEXEC))
        die(EXIT_RUNTIME, "cannot make a pipe: %s", strerror(errno));
}

/* All that it says, by a name for it where that is not what it should be. */
static void watch(const struct started *started, const char *what, struct start_times *times)
{
    char said[256] = "";
    size_t length = 0;
    ssize_t count;
    int status;

    *times = (struct start_times){0};
    do {
        count = read(started->output, said + length, length ? sizeof(said) - 1 - length : 1);
        if (length == 0)
            times->first_byte = now_ns() - started->since;
        length += count > 0 ? (size_t)count : 0;
    } while (count > 0 || (count < 0 && errno == EINTR));
    close(started->output);
    while (waitpid(started->process, &status, 0) < 0 && errno == EINTR)
        ;
    times->end = now_ns() - started->since;
    said[strcspn(said, "\n")] = '\0';
    if (status != 0 || strncmp(said, GREETING, sizeof(GREETING) - 1) != 0)
        die(EXIT_RUNTIME, "%s did not run the guest to its end, and says: %s", what, said[0] ? said : "nothing");
}

void started_vmm(const char *const words[], struct start_times *times)
{
    posix_spawn_file_actions_t actions;
    struct started started;
    int ends[2], error;

    make_pipe(ends);
    error = posix_spawn_file_actions_init(&actions);
    error = error ? error : posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    error = error ? error : posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    error = error ? error : posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    started.since = now_ns();
    error = error ? error : posix_spawn(&started.process, words[0], &actions, NULL, (char **)words, environ);
    if (error)
        die(EXIT_RUNTIME, "cannot start %s: %s", words[0], strerror(error));
    close(ends[1]);
    started.output = ends[0];
    watch(&started, words[0], times);
    posix_spawn_file_actions_destroy(&actions);
}

void started_bare(int image, struct start_times *times)
{
    const pid_t parent = getpid();
    struct started started;
    int ends[2];

    make_pipe(ends);
    started.since = now_ns();
    started.process = fork();
    if (started.process < 0)
        die(EXIT_RUNTIME, "cannot make a process: %s", strerror(errno));
    if (started.process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || dup2(ends[1], STDERR_FILENO) < 0)
            _exit(EXIT_RUNTIME);
        _exit(bare_hello(image, STARTED_MEMORY, ends[1]));
    }
    close(ends[1]);
    started.output = ends[0];
    watch(&started, "the process with a bare VM", times);
}
