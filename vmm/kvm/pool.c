/* The pool of ready VMs: see pool.h. */
#include "vmm/kvm/pool.h"

#include "vmm/base/background.h"
#include "vmm/base/log.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>

#define POOL_LEAST 4 /* a fork into three, and the parent's own VM at its first fork */
#define POOL_MOST  64

/* Descriptors that the pool leaves to guests and clients: a quarter of what is allowed, but no more than this. */
#define DESCRIPTORS_LEFT 256

struct pool {
    struct vm_config config;
    int last_descriptor;       /* a VM that has come to use a higher one is one too many */
    struct background *filler; /* NULL before the pool is first to be filled, or without a thread for it */
    pthread_mutex_t lock;
    struct vm *vms[POOL_MOST]; /* under lock, as are the rest */
    unsigned ready, aim;
    bool filling, end;
};

static int last_descriptor(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX)
        return INT_MAX;
    int most = (int)limit.rlim_cur, left = most / 4;
    return most - (left < DESCRIPTORS_LEFT ? left : DESCRIPTORS_LEFT);
}

struct pool *pool_new(const struct vm_config *config)
{
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pool->config = *config;
    pool->last_descriptor = last_descriptor();
    pthread_mutex_init(&pool->lock, NULL);
    return pool;
}

static void fill(void *argument)
{
    struct pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    while (pool->ready < pool->aim && !pool->end) {
        pthread_mutex_unlock(&pool->lock);
        struct cleave_failure failure;
        struct vm *vm = vm_new(&pool->config, true, &failure);
        pthread_mutex_lock(&pool->lock);
        if (!vm) {
            log_info("the pool of VMs stays at %u: %s", pool->ready, failure.text);
            break; /* the next fork tries again, and says so if it fails */
        }
        if (pool->ready == POOL_MOST || vm->fd > pool->last_descriptor) {
            pthread_mutex_unlock(&pool->lock);
            vm_free(vm);
            pthread_mutex_lock(&pool->lock);
            break;
        }
        pool->vms[pool->ready++] = vm;
    }
    pool->filling = false;
    pthread_mutex_unlock(&pool->lock);
}

void pool_prepare(struct pool *pool, unsigned count)
{
    pthread_mutex_lock(&pool->lock);
    unsigned aim = count < POOL_LEAST ? POOL_LEAST : count > POOL_MOST ? POOL_MOST : count;
    if (aim > pool->aim)
        pool->aim = aim;
    bool fill_now = pool->ready < pool->aim && !pool->filling && !pool->end;
    if (fill_now && !pool->filler)
        pool->filler = background_new("pool");
    fill_now = fill_now && pool->filler;
    pool->filling |= fill_now;
    pthread_mutex_unlock(&pool->lock);
    if (fill_now)
        background_add(pool->filler, fill, pool);
}

int pool_take(struct pool *pool, struct vm **vms, unsigned count, struct cleave_failure *failure)
{
    unsigned taken = 0;
    pthread_mutex_lock(&pool->lock);
    while (taken < count && pool->ready)
        vms[taken++] = pool->vms[--pool->ready];
    pthread_mutex_unlock(&pool->lock);
    while (taken < count) {
        vms[taken] = vm_new(&pool->config, true, failure);
        if (!vms[taken]) {
            pool_give_back(pool, vms, taken);
            return -1;
        }
        taken++;
    }
    return 0;
}

void pool_give_back(struct pool *pool, struct vm **vms, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pthread_mutex_lock(&pool->lock);
        bool wanted = pool->ready < pool->aim;
        if (wanted)
            pool->vms[pool->ready++] = vms[i];
        pthread_mutex_unlock(&pool->lock);
        if (!wanted && pool->filler)
            vm_free_later(pool->filler, vms[i]);
        else if (!wanted)
            vm_free(vms[i]);
    }
}

unsigned pool_ready(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    unsigned ready = pool->ready;
    pthread_mutex_unlock(&pool->lock);
    return ready;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->end = true;
    pthread_mutex_unlock(&pool->lock);
    background_free(pool->filler);
    while (pool->ready)
        vm_free(pool->vms[--pool->ready]);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
