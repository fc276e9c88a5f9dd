/* Failures: see failure.h. */
#include "vmm/base/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fail(struct failure *f, enum failure_class class, const char *format, ...)
{
    if (!f)
        return -1;
    va_list args;
    va_start(args, format);
    f->class = class;
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    return -1;
}

static enum failure_class class_of(int error)
{
    switch (error) {
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EAGAIN:
        return FAIL_NO_MEMORY;
    default:
        return FAIL_IO;
    }
}

int fail_errno(struct failure *f, int error, const char *format, ...)
{
    if (!f)
        return -1;
    va_list args;
    va_start(args, format);
    f->class = class_of(error);
    int n = vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof f->text) {
        char reason[128];
        snprintf(f->text + n, sizeof f->text - (size_t)n, ": %s", strerror_r(error, reason, sizeof reason));
    }
    return -1;
}

const char *failure_class_name(enum failure_class class)
{
    switch (class) {
    case FAIL_COMMAND_NOT_FOUND:
        return "CommandNotFound";
    case FAIL_INVALID_ARGUMENT:
        return "InvalidArgument";
    case FAIL_GUEST_NOT_FOUND:
        return "GuestNotFound";
    case FAIL_BUSY:
        return "Busy";
    case FAIL_NO_MEMORY:
        return "NoMemory";
    case FAIL_LIMIT_EXCEEDED:
        return "LimitExceeded";
    case FAIL_SNAPSHOT_INVALID:
        return "SnapshotInvalid";
    case FAIL_IO:
        return "IOError";
    case FAIL_UNSUPPORTED:
        return "Unsupported";
    case FAIL_INTERNAL:
        break;
    }
    return "Internal";
}
