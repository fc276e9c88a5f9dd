/*
 * A thread that does jobs one after the other, in the order they were given: whatever must not happen inside a pause
 * (unmapping, closing VMs, preparing memory) goes here.
 */
#ifndef VMM_BASE_BACKGROUND_H
#define VMM_BASE_BACKGROUND_H

struct background;

typedef void background_fn(void *argument);

/* NULL with errno: ENOMEM, or EAGAIN where a thread cannot be made. `name` shows in ps(1), at most 15 characters. */
struct background *background_new(const char *name);

/* Queues fn(argument). When there is no memory to queue it, it is done at once, after all that was queued before. */
void background_add(struct background *background, background_fn *fn, void *argument);

/* Returns when every job queued so far is done. Not from a job. */
void background_drain(struct background *background);

/* Drains, ends the thread and frees. NULL is allowed. */
void background_free(struct background *background);

#endif
