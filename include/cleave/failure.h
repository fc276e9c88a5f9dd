/*
 * What went wrong, in words for a person and in a kind for a program. Every function of Cleave that can fail for a
 * reason the user should know fills one of these in; the kind is the control protocol's error class.
 */
#ifndef CLEAVE_FAILURE_H
#define CLEAVE_FAILURE_H

#ifdef __cplusplus
extern "C" {
#endif

enum cleave_failure_kind {
    CLEAVE_INTERNAL,
    CLEAVE_COMMAND_NOT_FOUND,
    CLEAVE_INVALID_ARGUMENT,
    CLEAVE_GUEST_NOT_FOUND,
    CLEAVE_BUSY,
    CLEAVE_NO_MEMORY, /* or descriptors, threads, address space */
    CLEAVE_LIMIT_EXCEEDED,
    CLEAVE_SNAPSHOT_INVALID,
    CLEAVE_IO_ERROR,
    CLEAVE_UNSUPPORTED,
};

#define CLEAVE_FAILURE_TEXT 512

struct cleave_failure {
    enum cleave_failure_kind kind;
    char text[CLEAVE_FAILURE_TEXT]; /* one line, names the thing and the remedy, no newline */
};

/* "NoMemory" and so on: the kind as the control protocol spells it. Any thread. */
const char *cleave_failure_name(enum cleave_failure_kind kind);

#ifdef __cplusplus
}
#endif

#endif
