/*
 * What libcleave has to say to people that belongs to no call: a guest that asks for forks in vain, console output that
 * was lost. It is said nowhere until a program sets a function that takes it; vmm(1) writes it to standard error.
 */
#ifndef CLEAVE_LOG_H
#define CLEAVE_LOG_H

#ifdef __cplusplus
extern "C" {
#endif

enum cleave_log_level { CLEAVE_LOG_ERROR, CLEAVE_LOG_WARNING, CLEAVE_LOG_INFO, CLEAVE_LOG_DEBUG };

#define CLEAVE_LOG_MESSAGE_MAX 2048 /* bytes, with the final zero; a longer message is cut */

/* Takes a message, without a newline at its end. Called from any thread of the library, also under its locks: it must
 * neither wait nor call the library. What guests can cause is said at a rate, so messages are few. */
typedef void cleave_log_fn(enum cleave_log_level level, const char *message);

/* Where messages go, up to the level `most`; NULL: nowhere, as at first. For the whole process, so to be called while
 * there is no family. */
void cleave_set_log(cleave_log_fn *fn, enum cleave_log_level most);

#ifdef __cplusplus
}
#endif

#endif
