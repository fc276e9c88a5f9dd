/* A VMM started for the length of a measurement or a test: see vmm_process.h. */
#include "tools/client/vmm_process.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_MS 10000

struct vmm_process {
    pid_t pid;
    int pidfd;  /* readable once the process has ended; it cannot come to mean another process, as a pid can */
    int status; /* exit status, or 128 + signal; -1 until it has ended and was waited for */
    char directory[64];
    char socket[80];
    char output[80];
    char errors[80];
};

/* In the child, between fork and exec: only calls that are safe there. */
static void run_child(const struct vmm_process *process, char **argv, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    int input = open("/dev/null", O_RDONLY);
    int output = open(process->output, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int errors = open(process->errors, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (input < 0 || output < 0 || errors < 0)
        _exit(127);
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    closefrom(3);
    execv(argv[0], argv);
    dprintf(STDERR_FILENO, "%s: cannot execute: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* argv with "--control SOCKET" after the program; the strings stay the caller's. */
static char **arguments_of(const struct vmm_process *process, const char *const argv[], unsigned flags)
{
    size_t count = 0;
    while (argv[count])
        count++;
    const char **out = calloc(count + 3, sizeof *out);
    if (!out)
        return NULL;
    size_t n = 0;
    out[n++] = argv[0];
    if (!(flags & VMM_PROCESS_NO_CONTROL)) {
        out[n++] = "--control";
        out[n++] = process->socket;
    }
    memcpy(out + n, argv + 1, (count - 1) * sizeof *out);
    return (char **)out;
}

static int make_directory(struct vmm_process *process, struct client_error *error)
{
    const char *base = getenv("TMPDIR");
    if (!base || strlen(base) > 40) /* the socket's path has to fit into a socket address */
        base = "/tmp";
    snprintf(process->directory, sizeof process->directory, "%s/cleave-XXXXXX", base);
    if (!mkdtemp(process->directory)) {
        client_fail(error, CLIENT_CONNECTION, "%s: cannot make a temporary folder: %s", base, strerror(errno));
        process->directory[0] = '\0';
        return -1;
    }
    snprintf(process->socket, sizeof process->socket, "%s/control", process->directory);
    snprintf(process->output, sizeof process->output, "%s/stdout", process->directory);
    snprintf(process->errors, sizeof process->errors, "%s/stderr", process->directory);
    return 0;
}

struct vmm_process *vmm_process_start(const char *const argv[], unsigned flags, struct client_error *error)
{
    struct vmm_process *process = calloc(1, sizeof *process);
    if (!process) {
        client_fail(error, CLIENT_CONNECTION, "out of memory");
        return NULL;
    }
    process->pid = process->pidfd = process->status = -1;
    char **arguments = NULL;
    if (make_directory(process, error) < 0)
        goto failed;
    arguments = arguments_of(process, argv, flags);
    pid_t parent = getpid();
    process->pid = arguments ? fork() : -1;
    if (process->pid == 0)
        run_child(process, arguments, parent);
    if (process->pid > 0)
        process->pidfd = pidfd_open(process->pid, 0);
    if (process->pidfd < 0) {
        client_fail(error, CLIENT_CONNECTION, "%s: cannot start a process: %s", argv[0], strerror(errno));
        goto failed;
    }
    free(arguments);
    return process;
failed:
    free(arguments);
    vmm_process_end(process);
    return NULL;
}

pid_t vmm_process_pid(const struct vmm_process *process)
{
    return process->pid;
}

const char *vmm_process_directory(const struct vmm_process *process)
{
    return process->directory;
}

const char *vmm_process_socket(const struct vmm_process *process)
{
    return process->socket;
}

/* Blocks until the child has ended. */
static void reap(struct vmm_process *process)
{
    int status;
    while (waitpid(process->pid, &status, 0) < 0)
        if (errno != EINTR) {
            process->status = 127;
            return;
        }
    process->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int vmm_process_wait(struct vmm_process *process, int timeout_ms)
{
    if (process->status >= 0)
        return process->status;
    struct pollfd poller = {.fd = process->pidfd, .events = POLLIN};
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int left = timeout_ms;
    int n;
    while ((n = poll(&poller, 1, left)) < 0 && errno == EINTR) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        int passed = (int)((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000);
        if (timeout_ms >= 0)
            left = passed < timeout_ms ? timeout_ms - passed : 0;
    }
    if (n > 0)
        reap(process);
    return process->status;
}

bool vmm_process_running(struct vmm_process *process)
{
    return vmm_process_wait(process, 0) < 0;
}

void vmm_process_signal(struct vmm_process *process, int signal)
{
    if (process->status < 0)
        kill(process->pid, signal); /* not reaped yet, so the pid is still its own */
}

/* The whole of a small file, zero-ended. An absent file is an empty one. */
static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return strdup("");
    char *text = NULL;
    struct stat status;
    if (fstat(fileno(file), &status) == 0)
        text = malloc((size_t)status.st_size + 1);
    if (text)
        text[fread(text, 1, (size_t)status.st_size, file)] = '\0';
    fclose(file);
    return text;
}

char *vmm_process_output(const struct vmm_process *process)
{
    return read_file(process->output);
}

char *vmm_process_errors(const struct vmm_process *process)
{
    return read_file(process->errors);
}

struct client *vmm_process_connect(struct vmm_process *process, struct client_error *error)
{
    for (int waited = 0; waited < CONNECT_MS && vmm_process_running(process); waited += 100) {
        struct client *client = client_open(process->socket, 100, error);
        if (client)
            return client;
    }
    if (vmm_process_running(process))
        return NULL;
    char *errors = vmm_process_errors(process);
    client_fail(error, CLIENT_CONNECTION, "the VMM ended with status %d: %s", process->status, errors ? errors : "");
    free(errors);
    return NULL;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

void vmm_process_end(struct vmm_process *process)
{
    if (!process)
        return;
    if (process->pid > 0 && process->status < 0) {
        kill(process->pid, SIGKILL);
        reap(process);
    }
    if (process->pidfd >= 0)
        close(process->pidfd);
    if (process->directory[0])
        nftw(process->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(process);
}

void vmm_build_path(char *path, size_t size, const char *name)
{
    const char *build = getenv("BUILD");
    snprintf(path, size, "%s/%s", build && *build ? build : "build", name);
}
