/* Outlets and their writing threads: see outlet.h. */
#include "vmm/base/outlet.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PIECE   16384   /* bytes written at once */
#define WAIT_NS 5000000 /* how often one who waits looks whether it still should */

struct outlet {
    int fd;
    struct outlet_user user;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t added, taken;
    /* Under lock: */
    char *bytes; /* `room` of them, and */
    size_t length, room;
    char *writing; /* as many that the thread writes from; the two change places */
    bool end;
    bool failed; /* what is added is dropped */
    bool gone;   /* the thread has left, or is about to */
    int error;   /* the thread's; why it has failed */
};

/* Writes a piece, or part of it. A reader who is slow is waited for, also where somebody has made the descriptor
 * non-blocking. -1 with errno. */
static ssize_t write_piece(int fd, const char *bytes, size_t length)
{
    for (;;) {
        const ssize_t n = write(fd, bytes, length < PIECE ? length : PIECE);
        if (n >= 0 || (errno != EAGAIN && errno != EINTR))
            return n;
        if (errno == EAGAIN)
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
    }
}

/* Under the lock, which is free while it writes. */
static void write_out(struct outlet *o)
{
    char *bytes = o->bytes;
    const size_t length = o->length;
    o->bytes = o->writing;
    o->writing = bytes;
    o->length = 0;
    for (size_t done = 0; done < length && !o->failed;) {
        pthread_cond_broadcast(&o->taken);
        pthread_mutex_unlock(&o->lock);
        const ssize_t n = write_piece(o->fd, bytes + done, length - done);
        const int error = n < 0 ? errno : 0;
        pthread_mutex_lock(&o->lock);
        o->failed = error != 0;
        o->error = error;
        done += n > 0 ? (size_t)n : 0;
    }
    pthread_cond_broadcast(&o->taken);
}

/* Not under the lock: the user may add something. */
static void tell(const struct outlet *o, bool failed)
{
    if (failed && o->user.failed)
        o->user.failed(o->user.context, o->error);
    else if (!failed && o->user.drained)
        o->user.drained(o->user.context);
}

static void *work(void *argument)
{
    struct outlet *o = argument;
    pthread_mutex_lock(&o->lock);
    for (bool told = true; !o->failed && (o->length || !o->end || !told);) {
        if (o->length) {
            write_out(o);
            told = false;
        } else if (!told) {
            told = true;
            pthread_mutex_unlock(&o->lock);
            tell(o, false);
            pthread_mutex_lock(&o->lock);
        } else {
            pthread_cond_wait(&o->added, &o->lock);
        }
    }
    if (o->failed) {
        pthread_mutex_unlock(&o->lock);
        tell(o, true);
        pthread_mutex_lock(&o->lock);
    }
    o->gone = true;
    pthread_cond_broadcast(&o->taken);
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

static int start(struct outlet *o, const char *name)
{
    sigset_t all, old; /* signals are other threads' */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    const int error = pthread_create(&o->thread, NULL, work, o);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!error)
        pthread_setname_np(o->thread, name);
    return error;
}

static void release(struct outlet *o)
{
    pthread_cond_destroy(&o->taken);
    pthread_cond_destroy(&o->added);
    pthread_mutex_destroy(&o->lock);
    free(o->bytes);
    free(o->writing);
    free(o);
}

struct outlet *outlet_new(int fd, size_t room, const char *name, const struct outlet_user *user)
{
    struct outlet *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->fd = fd;
    o->user = *user;
    o->room = room;
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->added, NULL);
    pthread_cond_init(&o->taken, NULL);
    o->bytes = malloc(room);
    o->writing = malloc(room);
    const int error = o->bytes && o->writing ? start(o, name) : ENOMEM;
    if (!error)
        return o;
    release(o);
    errno = error;
    return NULL;
}

static struct timespec later(time_t seconds, long ns)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_sec += seconds + (time.tv_nsec + ns) / 1000000000;
    time.tv_nsec = (time.tv_nsec + ns) % 1000000000;
    return time;
}

bool outlet_end(struct outlet *o, unsigned seconds)
{
    pthread_mutex_lock(&o->lock);
    o->end = true;
    pthread_cond_signal(&o->added);
    int error = 0;
    while (!o->gone && error != ETIMEDOUT) {
        const struct timespec until = later(seconds, 0); /* anew each time that something has been taken */
        error = pthread_cond_clockwait(&o->taken, &o->lock, CLOCK_MONOTONIC, &until);
    }
    const bool stuck = !o->gone;
    pthread_mutex_unlock(&o->lock);
    if (stuck)
        return true;
    pthread_join(o->thread, NULL);
    release(o);
    return false;
}

bool outlet_add(struct outlet *o, const char *bytes, size_t length)
{
    pthread_mutex_lock(&o->lock);
    const bool fits = length <= o->room - o->length;
    if (fits && !o->failed) {
        memcpy(o->bytes + o->length, bytes, length);
        o->length += length;
        pthread_cond_signal(&o->added);
    }
    const bool taken = fits || o->failed;
    pthread_mutex_unlock(&o->lock);
    return taken;
}

/* Under the lock. */
static bool is_full(const struct outlet *o, size_t level)
{
    return o->length >= level && !o->failed;
}

bool outlet_is_full(struct outlet *o, size_t level)
{
    pthread_mutex_lock(&o->lock);
    const bool full = is_full(o, level);
    pthread_mutex_unlock(&o->lock);
    return full;
}

void outlet_wait(struct outlet *o, size_t level, const atomic_bool *go)
{
    pthread_mutex_lock(&o->lock);
    while (is_full(o, level) && atomic_load(go)) {
        const struct timespec until = later(0, WAIT_NS);
        pthread_cond_clockwait(&o->taken, &o->lock, CLOCK_MONOTONIC, &until);
    }
    pthread_mutex_unlock(&o->lock);
}
