/* Filling in failures (<cleave/failure.h>). */
#ifndef VMM_BASE_FAILURE_H
#define VMM_BASE_FAILURE_H

#include <cleave/failure.h>

/* Fills in *f (f may be NULL) and returns -1, so that callers can write `return fail(f, ...)`. */
__attribute__((format(printf, 3, 4))) int fail(struct cleave_failure *f, enum cleave_failure_kind kind,
                                               const char *format, ...);

/* The same, with ": " and the text of errno's value `error` added; ENOMEM, EMFILE and ENFILE choose CLEAVE_NO_MEMORY.
 */
__attribute__((format(printf, 3, 4))) int fail_errno(struct cleave_failure *f, int error, const char *format, ...);

#endif
