/* Error lines: see report.h. */
#include "vmm/snapshot/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *report_path(const char *path, char shown[REPORT_PATH])
{
    size_t length = strlen(path);
    if (length < REPORT_PATH)
        return path;
    snprintf(shown, REPORT_PATH, "...%s", path + length - (REPORT_PATH - 4));
    return shown;
}

/* Paths come from the command line, or from a file that somebody made: a line stays one line, and draws nothing on a
 * terminal. C2 80 to C2 9F are control characters too. */
static void tame(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at; at++)
        if (*at < ' ' || *at == 127 || (at[0] == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0))
            *at = '?';
}

static int fill(const struct report *report, enum snapshot_error_class class, const char *format, va_list arguments)
{
    struct snapshot_error *error = report->error;
    char path[REPORT_PATH];
    int length = snprintf(error->text, sizeof error->text, "%s: ", report_path(report->path, path));

    error->class = class;
    vsnprintf(error->text + length, sizeof error->text - (size_t)length, format, arguments);
    tame(error->text);
    return -1;
}

int report_fail(const struct report *report, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fill(report, report->class, format, arguments);
    va_end(arguments);
    return -1;
}

int report_as(const struct report *report, enum snapshot_error_class class, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fill(report, class, format, arguments);
    va_end(arguments);
    return -1;
}

int report_errno(const struct report *report, int number, const char *format, ...)
{
    bool memory = number == ENOMEM || number == EMFILE || number == ENFILE;
    const char *meaning = strerrordesc_np(number);
    va_list arguments;
    va_start(arguments, format);
    fill(report, memory ? SNAPSHOT_NO_MEMORY : SNAPSHOT_IO, format, arguments);
    va_end(arguments);

    size_t length = strlen(report->error->text);
    snprintf(report->error->text + length, sizeof report->error->text - length, ": %s",
             meaning ? meaning : "unknown error");
    return -1;
}

int report_no_memory(const struct report *report)
{
    return report_as(report, SNAPSHOT_NO_MEMORY, "out of memory");
}
