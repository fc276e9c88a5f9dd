/* Failures: see failure.h. */
#include "vmm/base/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fail(struct cleave_failure *f, enum cleave_failure_kind kind, const char *format, ...)
{
    if (!f)
        return -1;
    va_list args;
    va_start(args, format);
    f->kind = kind;
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    return -1;
}

static enum cleave_failure_kind kind_of(int error)
{
    switch (error) {
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EAGAIN:
        return CLEAVE_NO_MEMORY;
    default:
        return CLEAVE_IO_ERROR;
    }
}

int fail_errno(struct cleave_failure *f, int error, const char *format, ...)
{
    if (!f)
        return -1;
    va_list args;
    va_start(args, format);
    f->kind = kind_of(error);
    int n = vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof f->text) {
        char reason[128];
        snprintf(f->text + n, sizeof f->text - (size_t)n, ": %s", strerror_r(error, reason, sizeof reason));
    }
    return -1;
}

const char *cleave_failure_name(enum cleave_failure_kind kind)
{
    switch (kind) {
    case CLEAVE_COMMAND_NOT_FOUND:
        return "CommandNotFound";
    case CLEAVE_INVALID_ARGUMENT:
        return "InvalidArgument";
    case CLEAVE_GUEST_NOT_FOUND:
        return "GuestNotFound";
    case CLEAVE_BUSY:
        return "Busy";
    case CLEAVE_NO_MEMORY:
        return "NoMemory";
    case CLEAVE_LIMIT_EXCEEDED:
        return "LimitExceeded";
    case CLEAVE_SNAPSHOT_INVALID:
        return "SnapshotInvalid";
    case CLEAVE_IO_ERROR:
        return "IOError";
    case CLEAVE_UNSUPPORTED:
        return "Unsupported";
    case CLEAVE_INTERNAL:
        break;
    }
    return "Internal";
}
