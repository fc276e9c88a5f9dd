/* The background thread: see background.h. */
#include "vmm/base/background.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct job {
    background_fn *fn;
    void *argument;
    struct job *next;
};

struct background {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t added, idle;
    struct job *first, **last; /* under lock, as are the next two */
    bool busy, end;
};

static void *work(void *argument)
{
    struct background *b = argument;
    pthread_mutex_lock(&b->lock);
    for (;;) {
        while (!b->first && !b->end)
            pthread_cond_wait(&b->added, &b->lock);
        struct job *job = b->first;
        if (!job)
            break;
        b->first = job->next;
        if (!b->first)
            b->last = &b->first;
        b->busy = true;
        pthread_mutex_unlock(&b->lock);
        job->fn(job->argument);
        free(job);
        pthread_mutex_lock(&b->lock);
        b->busy = false;
        if (!b->first)
            pthread_cond_broadcast(&b->idle);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

struct background *background_new(const char *name)
{
    struct background *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->last = &b->first;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->added, NULL);
    pthread_cond_init(&b->idle, NULL);
    /* Signals are the program's. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&b->thread, NULL, work, b);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error) {
        free(b);
        errno = error;
        return NULL;
    }
    pthread_setname_np(b->thread, name);
    return b;
}

void background_add(struct background *b, background_fn *fn, void *argument)
{
    struct job *job = malloc(sizeof *job);
    if (!job) {
        background_drain(b);
        fn(argument);
        return;
    }
    *job = (struct job){fn, argument, NULL};
    pthread_mutex_lock(&b->lock);
    *b->last = job;
    b->last = &job->next;
    pthread_cond_signal(&b->added);
    pthread_mutex_unlock(&b->lock);
}

void background_drain(struct background *b)
{
    pthread_mutex_lock(&b->lock);
    while (b->first || b->busy)
        pthread_cond_wait(&b->idle, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

void background_free(struct background *b)
{
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    b->end = true;
    pthread_cond_signal(&b->added);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
    pthread_cond_destroy(&b->idle);
    pthread_cond_destroy(&b->added);
    pthread_mutex_destroy(&b->lock);
    free(b);
}
