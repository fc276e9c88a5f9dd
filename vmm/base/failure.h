/*
 * What went wrong, in words for a person and in a class for a program. Every VMM function that can fail for a reason
 * the user should know fills one of these in; the class is the control protocol's error class.
 */
#ifndef VMM_BASE_FAILURE_H
#define VMM_BASE_FAILURE_H

enum failure_class {
    FAIL_INTERNAL,
    FAIL_COMMAND_NOT_FOUND,
    FAIL_INVALID_ARGUMENT,
    FAIL_GUEST_NOT_FOUND,
    FAIL_BUSY,
    FAIL_NO_MEMORY,
    FAIL_LIMIT_EXCEEDED,
    FAIL_SNAPSHOT_INVALID,
    FAIL_IO,
    FAIL_UNSUPPORTED,
};

#define FAILURE_TEXT 512

struct failure {
    enum failure_class class;
    char text[FAILURE_TEXT]; /* one line, names the thing and the remedy, no newline */
};

/* Fills in *f (f may be NULL) and returns -1, so that callers can write `return fail(f, ...)`. */
__attribute__((format(printf, 3, 4))) int fail(struct failure *f, enum failure_class class, const char *format, ...);

/* The same, with ": " and the text of errno's value `error` added; ENOMEM, EMFILE and ENFILE choose FAIL_NO_MEMORY. */
__attribute__((format(printf, 3, 4))) int fail_errno(struct failure *f, int error, const char *format, ...);

/* "NoMemory" and so on: the class as the control protocol spells it. */
const char *failure_class_name(enum failure_class class);

#endif
