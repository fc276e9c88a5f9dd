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

static enum snapshot_error_class class_of(int number)
{
    return number == ENOMEM || number == EMFILE || number == ENFILE ? SNAPSHOT_NO_MEMORY : SNAPSHOT_IO;
}

/* Not the disk has failed then: this path would be refused at any time, until somebody makes it another one. */
static enum snapshot_error_class class_of_path(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case EINVAL: /* a name that the file system cannot have */
    case EILSEQ:
    case EACCES:
    case EPERM:
    case EROFS:
    case ETXTBSY:
    case EBUSY: /* a mount point */
    case EXDEV:
    case ENXIO:
    case ENODEV:
    case EOPNOTSUPP: /* a file system that takes no such files */
    case ENOSYS:
        return SNAPSHOT_ARGUMENT;
    default:
        return class_of(number);
    }
}

static const char *meaning_of(int number)
{
    const char *meaning = strerrordesc_np(number);
    return meaning ? meaning : "unknown error";
}

int report_errno(const struct report *report, int number, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fill(report, class_of(number), format, arguments);
    va_end(arguments);

    size_t length = strlen(report->error->text);
    snprintf(report->error->text + length, sizeof report->error->text - length, ": %s", meaning_of(number));
    return -1;
}

int report_path_errno(const struct report *report, int number, const char *what)
{
    return report_as(report, class_of_path(number), "%s%s%s", what ? what : "", what ? ": " : "", meaning_of(number));
}

int report_no_memory(const struct report *report)
{
    return report_as(report, SNAPSHOT_NO_MEMORY, "out of memory");
}
