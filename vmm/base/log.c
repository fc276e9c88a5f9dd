/* Messages for people: see log.h. */
#include "vmm/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static enum log_level threshold = LOG_WARNING;

void log_set_level(enum log_level level)
{
    threshold = level;
}

void log_message(enum log_level level, const char *format, ...)
{
    if (level > threshold)
        return;
    char line[1024];
    int used = snprintf(line, sizeof line, "vmm: ");
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line + used, sizeof line - (size_t)used - 1, format, args);
    va_end(args);
    if (n < 0)
        return;
    size_t length = (size_t)used + (size_t)n;
    if (length > sizeof line - 2)
        length = sizeof line - 2;
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, length) < 0)
        return; /* nowhere left to complain */
}
