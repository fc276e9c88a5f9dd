/* Messages for people, on stderr, each led by "vmm: ". Thread-safe: a message is one write. */
#ifndef VMM_BASE_LOG_H
#define VMM_BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Messages above this level are dropped; LOG_WARNING until it is set. Set before any thread starts. */
void log_set_level(enum log_level level);

/* Adds the newline itself. */
__attribute__((format(printf, 2, 3))) void log_message(enum log_level level, const char *format, ...);

#define log_error(...)   log_message(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_message(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_message(LOG_DEBUG, __VA_ARGS__)

#endif
