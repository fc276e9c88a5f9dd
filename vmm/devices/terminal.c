/* The terminal and its writer thread: see terminal.h. */
#include "vmm/devices/terminal.h"

#include "vmm/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROOM         (256u << 10) /* above this, writers wait */
#define GIVE_UP_SECS 5
#define WAIT_NS      5000000 /* how often a waiting writer looks whether its vCPU has to stop */

struct terminal {
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t added, taken;
    /* Under lock: */
    char *bytes;
    size_t length, capacity;
    uint64_t owner;
    bool mid_line; /* the last byte of `owner` was no newline */
    bool end, dead;
};

static void discard(struct terminal *t, const char *why)
{
    log_warning("console output is lost from here on: %s", why);
    pthread_mutex_lock(&t->lock);
    t->dead = true;
    t->length = 0;
    pthread_cond_broadcast(&t->taken);
    pthread_mutex_unlock(&t->lock);
}

static void *write_out(void *argument)
{
    struct terminal *t = argument;
    char *chunk = malloc(ROOM);
    pthread_mutex_lock(&t->lock);
    while (chunk) {
        while (!t->length && !t->end)
            pthread_cond_wait(&t->added, &t->lock);
        if (!t->length)
            break;
        size_t length = t->length < ROOM ? t->length : ROOM;
        memcpy(chunk, t->bytes, length);
        t->length -= length;
        memmove(t->bytes, t->bytes + length, t->length);
        pthread_mutex_unlock(&t->lock);
        for (size_t done = 0; done < length;) {
            ssize_t n = write(t->fd, chunk + done, length - done);
            if (n < 0 && errno != EINTR) {
                discard(t, strerrordesc_np(errno));
                break;
            }
            done += n > 0 ? (size_t)n : 0;
        }
        pthread_mutex_lock(&t->lock);
        pthread_cond_broadcast(&t->taken);
    }
    t->dead = true;
    pthread_cond_broadcast(&t->taken);
    pthread_mutex_unlock(&t->lock);
    free(chunk);
    return NULL;
}

struct terminal *terminal_new(int fd)
{
    struct terminal *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->fd = fd;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->added, NULL);
    pthread_cond_init(&t->taken, NULL);
    if (fd < 0) {
        t->dead = true;
        return t;
    }
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&t->thread, NULL, write_out, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error) {
        free(t);
        return NULL;
    }
    pthread_setname_np(t->thread, "console");
    return t;
}

void terminal_free(struct terminal *t)
{
    if (!t)
        return;
    if (t->fd >= 0) {
        pthread_mutex_lock(&t->lock);
        t->end = true;
        pthread_cond_signal(&t->added);
        size_t before = SIZE_MAX;
        while (!t->dead && t->length < before) {
            before = t->length ? t->length : 1;
            struct timespec until;
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_sec += GIVE_UP_SECS;
            while (!t->dead && pthread_cond_timedwait(&t->taken, &t->lock, &until) != ETIMEDOUT) {
            }
        }
        bool stuck = !t->dead;
        pthread_mutex_unlock(&t->lock);
        if (stuck) {
            log_warning("console output is lost: its reader takes nothing");
            return; /* the thread still writes; the process is about to end */
        }
        pthread_join(t->thread, NULL);
    }
    pthread_cond_destroy(&t->taken);
    pthread_cond_destroy(&t->added);
    pthread_mutex_destroy(&t->lock);
    free(t->bytes);
    free(t);
}

/* Under the lock. */
static void append(struct terminal *t, const char *bytes, size_t length)
{
    if (t->length + length > t->capacity) {
        size_t capacity = (t->length + length) * 2;
        char *grown = realloc(t->bytes, capacity);
        if (!grown)
            return; /* console bytes are all that is lost */
        t->bytes = grown;
        t->capacity = capacity;
    }
    memcpy(t->bytes + t->length, bytes, length);
    t->length += length;
}

void terminal_write(struct terminal *t, uint64_t owner, const char *bytes, size_t length, const atomic_bool *go)
{
    if (!length)
        return;
    pthread_mutex_lock(&t->lock);
    while (t->length >= ROOM && !t->dead && atomic_load(go)) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += WAIT_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&t->taken, &t->lock, &until);
    }
    if (!t->dead) {
        if (t->mid_line && t->owner != owner)
            append(t, "\n", 1);
        append(t, bytes, length);
        t->owner = owner;
        t->mid_line = bytes[length - 1] != '\n';
        pthread_cond_signal(&t->added);
    }
    pthread_mutex_unlock(&t->lock);
}
