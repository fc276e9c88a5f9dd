/* See terminal.h. */
#include "tools/ptstat/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ERASE_LINE "\r\033[K"

static char prefix[64];                   /* of the progress line */
static bool is_shown;                     /* a progress line is on the terminal */
static volatile sig_atomic_t interrupted; /* by this signal */

static void note_signal(int signal)
{
    interrupted = signal;
}

void catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &action, NULL);
}

void exit_if_interrupted(void)
{
    if (!interrupted)
        return;
    progress_clear();
    exit(128 + interrupted);
}

void die(int status, const char *format, ...)
{
    va_list arguments;

    exit_if_interrupted(); /* a signal that ends others of our process group too is the true reason */
    progress_clear();
    fputs("ptstat: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(status);
}

void progress_prefix(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(prefix, sizeof(prefix), format, arguments);
    va_end(arguments);
}

void progress(const char *format, ...)
{
    va_list arguments;

    if (!isatty(STDERR_FILENO))
        return;
    fputs(ERASE_LINE, stderr);
    fputs(prefix, stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fflush(stderr);
    is_shown = true;
}

void progress_clear(void)
{
    if (!is_shown)
        return;
    fputs(ERASE_LINE, stderr);
    fflush(stderr);
    is_shown = false;
}

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void sleep_us(uint64_t us)
{
    struct timespec rest = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000 * 1000)};

    while (nanosleep(&rest, &rest) && errno == EINTR)
        exit_if_interrupted();
}
