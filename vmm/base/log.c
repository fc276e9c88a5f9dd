/* Messages for people: see log.h. */
#include "vmm/base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static log_sink *sink;
static enum log_level threshold;

void log_set_sink(log_sink *new_sink, enum log_level level)
{
    sink = new_sink;
    threshold = level;
}

void log_message(enum log_level level, const char *format, ...)
{
    if (!sink || level > threshold)
        return;
    char message[LOG_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (length >= 0)
        sink(level, message);
}
