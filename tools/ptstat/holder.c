/* See holder.h. */
#include "tools/ptstat/holder.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/process_memory.h"
#include "tools/ptstat/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define INPUT_BYTES 1024

struct holder {
    const struct holder_memory *memory;
    unsigned char *bytes;
    uint32_t *result; /* shared with children; what one that runs leaves */
    pid_t *children;  /* those that stay, oldest first */
    size_t count;
};

static unsigned char *small_pages(size_t length)
{
    unsigned char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, length, MADV_NOHUGEPAGE); /* fails only on kernels without huge pages, where it is not needed */
    return memory;
}

static void write_pages(unsigned char *bytes, size_t length, size_t stride)
{
    static unsigned char value;

    value++;
    for (size_t at = 0; at < length; at += PAGE_BYTES)
        bytes[at * stride] = value;
}

static void write_dirty(const struct holder *holder)
{
    const size_t spread = holder->memory->resident / holder->memory->dirty;

    write_pages(holder->bytes, holder->memory->dirty, holder->memory->scatter ? spread : 1);
}

static void reap(pid_t child)
{
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
}

static uint64_t time_fork(const struct holder *holder)
{
    uint64_t start, end;
    pid_t child;

    write_dirty(holder);
    start = now_ns();
    child = fork();
    if (child == 0)
        _exit(0);
    end = now_ns();
    if (child < 0)
        return HOLDER_FAILED;
    reap(child);
    return end - start;
}

static uint32_t sum_of(const volatile unsigned char *bytes, size_t length)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < length; i++)
        sum += bytes[i];
    return sum;
}

/* What a guest does that is run from a checkpoint (target.h), by a process: the child is where it is ready. */
static uint64_t time_run(const struct holder *holder)
{
    static unsigned char input[INPUT_BYTES];
    static unsigned char value;
    uint64_t start, end;
    pid_t child;

    *holder->result = 0;
    value = (unsigned char)(value % 100 + 1);
    start = now_ns();
    memset(input, value, sizeof(input));
    child = fork();
    if (child == 0) {
        const uint32_t sum = sum_of(input, sizeof(input));

        write_dirty(holder);
        *holder->result = sum;
        _exit(0);
    }
    if (child < 0)
        return HOLDER_FAILED;
    reap(child);
    end = now_ns();
    return *(volatile uint32_t *)holder->result == (uint32_t)INPUT_BYTES * value ? end - start : HOLDER_FAILED;
}

static uint64_t time_copy(const struct holder *holder)
{
    unsigned char *copy = small_pages(holder->memory->resident);
    uint64_t start, end;

    if (!copy)
        return HOLDER_FAILED;
    start = now_ns();
    memcpy(copy, holder->bytes, holder->memory->resident);
    end = now_ns();
    munmap(copy, holder->memory->resident);
    return end - start;
}

/* In a child: what a forked guest does, and then it stands still. */
__attribute__((noreturn)) static void stay(const struct holder *holder, pid_t parent, int ready)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    write_dirty(holder);
    if (write(ready, "", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static uint64_t add_child(struct holder *holder)
{
    const pid_t parent = getpid();
    pid_t *children = reallocarray(holder->children, holder->count + 1, sizeof(*children));
    bool is_ready = false;
    char byte;
    int ends[2];
    pid_t child;

    if (!children)
        return HOLDER_FAILED;
    holder->children = children;
    if (pipe2(ends, O_CLOEXEC))
        return HOLDER_FAILED;
    child = fork();
    if (child == 0)
        stay(holder, parent, ends[1]);
    close(ends[1]);
    if (child > 0) {
        holder->children[holder->count++] = child;
        is_ready = read(ends[0], &byte, 1) == 1;
    }
    close(ends[0]);
    return is_ready ? 0 : HOLDER_FAILED;
}

static uint64_t weigh_child(const struct holder *holder)
{
    uint64_t bytes;

    if (!holder->count || process_memory_own(holder->children[holder->count - 1], &bytes))
        return HOLDER_FAILED;
    return bytes;
}

static uint64_t obey(struct holder *holder, char command)
{
    switch (command) {
    case HOLDER_FORK:
        return time_fork(holder);
    case HOLDER_COPY:
        return time_copy(holder);
    case HOLDER_RUN:
        return time_run(holder);
    case HOLDER_ADD:
        return add_child(holder);
    case HOLDER_WEIGH:
        return weigh_child(holder);
    default:
        return HOLDER_FAILED;
    }
}

static void end_children(const struct holder *holder)
{
    for (size_t i = 0; i < holder->count; i++)
        kill(holder->children[i], SIGKILL);
    for (size_t i = 0; i < holder->count; i++)
        reap(holder->children[i]);
}

void hold(int socket, const struct holder_memory *memory)
{
    struct holder holder = {.memory = memory, .bytes = small_pages(memory->resident)};
    uint64_t answer = HOLDER_FAILED;
    char command;

    holder.result = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (holder.bytes && holder.result != MAP_FAILED)
        answer = 0;
    if (answer == 0)
        write_pages(holder.bytes, memory->resident, 1);
    while (send(socket, &answer, sizeof(answer), MSG_NOSIGNAL) == sizeof(answer) && holder.result != MAP_FAILED &&
           holder.bytes && recv(socket, &command, 1, 0) == 1)
        answer = obey(&holder, command);
    end_children(&holder);
    _exit(0);
}
