/* Windows: see window.h. */
#include "vmm/memory/window.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __SANITIZE_THREAD__ /* which has its shadow where the region otherwise is */
#define REGION_START UINT64_C(0x1000000000)
#define REGION_END   UINT64_C(0x8000000000)
#else
#define REGION_START UINT64_C(0x200000000000) /* 32 TiB */
#define REGION_END   UINT64_C(0x500000000000)
#endif
#define GUARD      (UINT64_C(2) << 20) /* between windows, never mapped */
#define UNMAP_STEP (UINT64_C(8) << 20) /* how much one munmap holds the address space's lock for */

struct windows {
    uint64_t size, stride;
    pthread_mutex_t lock;
    bool *taken; /* under lock, as is count */
    size_t count;
};

struct windows *windows_new(uint64_t size)
{
    struct windows *windows = calloc(1, sizeof *windows);
    if (!windows)
        return NULL;
    windows->size = size;
    windows->stride = (size + GUARD - 1) / GUARD * GUARD + GUARD;
    pthread_mutex_init(&windows->lock, NULL);
    return windows;
}

void windows_free(struct windows *windows)
{
    if (!windows)
        return;
    pthread_mutex_destroy(&windows->lock);
    free(windows->taken);
    free(windows);
}

/* Under the lock: makes room for more windows. */
static bool grow(struct windows *windows)
{
    size_t count = windows->count ? 2 * windows->count : 64;
    size_t most = (REGION_END - REGION_START) / windows->stride;
    if (count > most)
        count = most;
    if (count == windows->count)
        return false;
    bool *taken = realloc(windows->taken, count * sizeof *taken);
    if (!taken)
        return false;
    memset(taken + windows->count, 0, (count - windows->count) * sizeof *taken);
    windows->taken = taken;
    windows->count = count;
    return true;
}

uint64_t windows_take(struct windows *windows)
{
    uint64_t window = 0;
    pthread_mutex_lock(&windows->lock);
    size_t i = 0;
    while (i < windows->count && windows->taken[i])
        i++;
    if (i < windows->count || grow(windows)) {
        windows->taken[i] = true;
        window = REGION_START + i * windows->stride;
    }
    pthread_mutex_unlock(&windows->lock);
    return window;
}

void windows_release(struct windows *windows, uint64_t window)
{
    for (uint64_t done = 0; done < windows->size; done += UNMAP_STEP) {
        uint64_t step = windows->size - done < UNMAP_STEP ? windows->size - done : UNMAP_STEP;
        munmap((void *)(uintptr_t)(window + done), step);
    }
    pthread_mutex_lock(&windows->lock);
    windows->taken[(window - REGION_START) / windows->stride] = false;
    pthread_mutex_unlock(&windows->lock);
}

int window_map(uint64_t address, uint64_t bytes, int fd, uint64_t offset, bool shared)
{
    int flags =
        MAP_FIXED_NOREPLACE | MAP_NORESERVE | (shared ? MAP_SHARED : MAP_PRIVATE) | (fd < 0 ? MAP_ANONYMOUS : 0);
    void *at = (void *)(uintptr_t)address;
    void *got = mmap(at, bytes, PROT_READ | PROT_WRITE, flags, fd, (off_t)offset);
    if (got == MAP_FAILED)
        return -1;
    if (got != at) { /* a kernel older than 4.17 takes the address as a hint */
        munmap(got, bytes);
        errno = EEXIST;
        return -1;
    }
    return 0;
}
