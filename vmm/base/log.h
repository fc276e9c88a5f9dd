/* Messages for people, to whom <cleave/log.h> has set: a library does not know where its people are. Any thread. */
#ifndef VMM_BASE_LOG_H
#define VMM_BASE_LOG_H

#include <cleave/log.h>

__attribute__((format(printf, 2, 3))) void log_message(enum cleave_log_level level, const char *format, ...);

#define log_error(...)   log_message(CLEAVE_LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(CLEAVE_LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_message(CLEAVE_LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_message(CLEAVE_LOG_DEBUG, __VA_ARGS__)

#endif
