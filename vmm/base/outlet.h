/*
 * An outlet: a descriptor that a thread of its own writes to, from a bounded buffer, so that a reader who has stopped
 * reading stops nobody but that thread. The terminal and the program's log go through one each.
 *
 * All functions may be called from any thread, but for making and freeing one. None waits but outlet_wait() and
 * outlet_end(), and nobody who waits holds the outlet's lock.
 */
#ifndef VMM_BASE_OUTLET_H
#define VMM_BASE_OUTLET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct outlet;

/* What the writing thread has to tell, without a lock; both may call outlet_add(). */
struct outlet_user {
    void (*drained)(void *context);           /* all that was added has been written, for now */
    void (*failed)(void *context, int error); /* writing failed with this errno; from now on everything is dropped */
    void *context;
};

/* Writes to fd, which stays the caller's; at most `room` bytes are buffered. `name` shows in ps(1), at most 15
 * characters. `user` is copied. NULL with errno: ENOMEM, or EAGAIN where a thread cannot be made. */
struct outlet *outlet_new(int fd, size_t room, const char *name, const struct outlet_user *user);

/* Writes out what is buffered, ends the thread and frees. Where the reader takes nothing for so many seconds it gives
 * up, and returns true. Then the thread stays behind, still writing, and the process should end. */
bool outlet_end(struct outlet *outlet, unsigned seconds);

/* Adds the bytes whole, or where there is no room for them none: false. After a failure they are dropped: true. */
bool outlet_add(struct outlet *outlet, const char *bytes, size_t length);

/* So many bytes are buffered, or more, and writing has not failed. */
bool outlet_is_full(struct outlet *outlet, size_t level);

/* Waits while *go until less than `level` bytes are buffered, or writing has failed. Looks at *go every 5 ms. */
void outlet_wait(struct outlet *outlet, size_t level, const atomic_bool *go);

#endif
