/*
 * Where the program's messages go: to stderr, each led by "vmm: ". While the VMM runs they go through an outlet, so
 * that one who does not read stderr stops nothing; what finds no room is dropped, counted and told of. Before and
 * after, when nobody is kept waiting, they are written directly.
 */
#ifndef VMM_LOG_WRITER_H
#define VMM_LOG_WRITER_H

#include "vmm/base/log.h"

/* Sets the log's sink; messages are written directly. */
void log_writer_init(enum cleave_log_level level);

/* From now on nobody who logs waits. -1 with errno: there is no memory for it, or no thread. */
int log_writer_start(void);

/* Writes out what is buffered, giving up where nothing is read for five seconds; then what comes later is lost, too. No
 * other thread logs any more. */
void log_writer_end(void);

#endif
