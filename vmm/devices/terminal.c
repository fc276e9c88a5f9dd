/* The terminal: see terminal.h. */
#include "vmm/devices/terminal.h"

#include "vmm/base/log.h"
#include "vmm/base/outlet.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL        (16u << 10) /* with so many bytes buffered, vCPUs wait */
#define ROOM         (256u << 10)
#define GIVE_UP_SECS 5

struct terminal {
    struct outlet *outlet; /* NULL: everything is dropped */
    pthread_mutex_t lock;
    /* Under lock: */
    uint64_t owner;
    bool mid_line; /* the last byte of `owner` was no newline */
    uint64_t dropped;
};

/* The writing thread has caught up. */
static void on_drained(void *context)
{
    struct terminal *t = context;
    pthread_mutex_lock(&t->lock);
    const uint64_t dropped = t->dropped;
    t->dropped = 0;
    pthread_mutex_unlock(&t->lock);
    if (dropped)
        log_warning("%" PRIu64 " bytes of console output were dropped while nobody read them", dropped);
}

static void on_failed(void *context, int error)
{
    (void)context;
    log_warning("console output is lost from here on: %s", strerrordesc_np(error));
}

struct terminal *terminal_new(int fd)
{
    struct terminal *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    const struct outlet_user user = {on_drained, on_failed, t};
    if (fd >= 0)
        t->outlet = outlet_new(fd, ROOM, "console", &user);
    if (fd < 0 || t->outlet)
        return t;
    pthread_mutex_destroy(&t->lock);
    free(t);
    return NULL;
}

void terminal_free(struct terminal *t)
{
    if (!t)
        return;
    if (t->outlet && outlet_end(t->outlet, GIVE_UP_SECS)) {
        log_warning("console output is lost: its reader takes nothing");
        return; /* what the thread that is left behind uses; the process is about to end */
    }
    pthread_mutex_destroy(&t->lock);
    free(t);
}

bool terminal_is_full(struct terminal *t)
{
    return t->outlet && outlet_is_full(t->outlet, LEVEL);
}

void terminal_wait(struct terminal *t, const atomic_bool *go)
{
    if (t->outlet)
        outlet_wait(t->outlet, LEVEL, go);
}

void terminal_write(struct terminal *t, uint64_t owner, const char *bytes, size_t length)
{
    if (!length || !t->outlet)
        return;
    pthread_mutex_lock(&t->lock);
    if (t->mid_line && t->owner != owner && outlet_add(t->outlet, "\n", 1))
        t->mid_line = false;
    if (outlet_add(t->outlet, bytes, length)) {
        t->owner = owner;
        t->mid_line = bytes[length - 1] != '\n';
    } else {
        t->dropped += length;
    }
    pthread_mutex_unlock(&t->lock);
}
