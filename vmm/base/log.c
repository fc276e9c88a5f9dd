/* Messages for people: see log.h. */
#include "vmm/base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static cleave_log_fn *sink;
static enum cleave_log_level threshold;

void cleave_set_log(cleave_log_fn *fn, enum cleave_log_level most)
{
    sink = fn;
    threshold = most;
}

void log_message(enum cleave_log_level level, const char *format, ...)
{
    if (!sink || level > threshold)
        return;
    char message[CLEAVE_LOG_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (length >= 0)
        sink(level, message);
}
