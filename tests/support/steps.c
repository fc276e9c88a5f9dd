/* Stepping a child from system call to system call: see steps.h. */
#include "tests/support/steps.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* Calls that the work makes by itself, where others may be those of an allocator or a sanitizer. */
static const long file_calls[] = {
    SYS_openat, SYS_pread64,    SYS_pwrite64,   SYS_lseek,     SYS_fsync,     SYS_ftruncate,       SYS_linkat,
    SYS_fchmod, SYS_renameat,   SYS_unlinkat,   SYS_flock,     SYS_getrandom, SYS_sync_file_range, SYS_getdents64,
    SYS_fstat,  SYS_newfstatat, SYS_faccessat2, SYS_renameat2, SYS_readlink,  SYS_faccessat,
};

static pid_t start(steps_fn *work, void *context)
{
    int status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(127);
        raise(SIGSTOP);
        _exit(work(context));
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSTOPPED(status), "a child process cannot be traced here: status %#x", (unsigned)status);
    ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)), 0);
    return child;
}

/* On to where a system call begins or ends. False: the child has ended. */
static bool step(pid_t child, int *status)
{
    int signal = 0;
    for (;;) {
        ck_assert_int_eq(ptrace(PTRACE_SYSCALL, child, NULL, (void *)(long)signal), 0);
        ck_assert_int_eq(waitpid(child, status, 0), child);
        if (!WIFSTOPPED(*status))
            break;
        if (WSTOPSIG(*status) == (SIGTRAP | 0x80))
            return true;
        signal = WSTOPSIG(*status);
    }
    ck_assert_msg(WIFEXITED(*status), "the child died: status %#x", (unsigned)*status);
    *status = WEXITSTATUS(*status);
    return false;
}

static bool is_file_call(long number)
{
    for (size_t i = 0; i < sizeof file_calls / sizeof *file_calls; i++)
        if (file_calls[i] == number)
            return true;
    return false;
}

static struct user_regs_struct registers_of(pid_t child)
{
    struct user_regs_struct registers;
    ck_assert_int_eq(ptrace(PTRACE_GETREGS, child, NULL, &registers), 0);
    return registers;
}

bool steps_kill(steps_fn *work, void *context, unsigned n, int *status)
{
    pid_t child = start(work, context);
    while (n) {
        if (!step(child, status))
            return false;
        n -= is_file_call((long)registers_of(child).orig_rax);
    }
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, status, 0), child);
    ck_assert(WIFSIGNALED(*status));
    return true;
}

/* The child is about to enter the call: it enters none, and gets the error instead. */
static bool fail_call(pid_t child, struct user_regs_struct *registers, int error, int *status)
{
    registers->orig_rax = (unsigned long long)-1;
    ck_assert_int_eq(ptrace(PTRACE_SETREGS, child, NULL, registers), 0);
    if (!step(child, status))
        return false;
    registers->rax = (unsigned long long)-error;
    ck_assert_int_eq(ptrace(PTRACE_SETREGS, child, NULL, registers), 0);
    return true;
}

bool steps_fail(steps_fn *work, void *context, unsigned n, int error, int *status, long *number)
{
    pid_t child = start(work, context);
    bool failed = false;

    while (step(child, status)) { /* entering */
        struct user_regs_struct registers = registers_of(child);
        if (!failed && is_file_call((long)registers.orig_rax) && --n == 0) {
            failed = true;
            *number = (long)registers.orig_rax;
            if (!fail_call(child, &registers, error, status))
                break;
        } else if (!step(child, status)) { /* leaving */
            break;
        }
    }
    return failed;
}

unsigned steps_trace(steps_fn *work, void *context, long *numbers, unsigned room, int *status)
{
    pid_t child = start(work, context);
    unsigned count = 0;

    while (step(child, status)) { /* entering */
        long number = (long)registers_of(child).orig_rax;
        if (is_file_call(number) && count < room)
            numbers[count++] = number;
        if (!step(child, status)) /* leaving */
            break;
    }
    return count;
}
