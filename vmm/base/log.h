/*
 * Messages for people. A library does not know where its people are: nothing is said anywhere until a program has set a
 * sink that takes the messages. Any thread.
 */
#ifndef VMM_BASE_LOG_H
#define VMM_BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

#define LOG_MESSAGE_MAX 2048 /* bytes; a longer message is cut */

/* Takes a message, without a newline at its end. Called from any thread, with and without locks of the library: it must
 * neither wait nor call the library. */
typedef void log_sink(enum log_level level, const char *message);

/* Where messages go, NULL: nowhere. Messages above the level are dropped. Set while no other thread logs. */
void log_set_sink(log_sink *sink, enum log_level level);

__attribute__((format(printf, 2, 3))) void log_message(enum log_level level, const char *format, ...);

#define log_error(...)   log_message(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_message(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_message(LOG_DEBUG, __VA_ARGS__)

#endif
