/* Layers and the reference counts of their frames: see layer.h. */
#include "vmm/memory/layer.h"

#include "vmm/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEVELS 3

/* HPAs stay below 2^46, what every EPT processor can hold. */
#define LAYERS_HPA_END (UINT64_C(1) << 46)

struct run {
    uint64_t first, count; /* pages of a layer */
};

struct layer {
    int fd;                 /* -1: zeros */
    struct layer_file file; /* where it is a snapshot's: path is set */
    uint64_t hpa, size;     /* bytes */
    uint64_t gib;           /* units of LAYER_ALIGN taken */
    bool open;              /* its creator still holds it */
    const uint8_t *read;    /* all of it, mapped for layers_read(); NULL before the first */
    uint64_t live;          /* sum of all counts */
    uint64_t live_pages;    /* pages that some count holds */
    uint32_t *refs[3];      /* by level - 1, one a unit of that level */
    uint16_t *small;        /* by unit of level 2: pages in it that are counted one by one */
    struct run *dead;       /* not yet punched */
    size_t dead_count, dead_room;
    struct layer *next;
};

struct layers {
    struct background *background;
    struct layer **by_gib; /* by HPA / LAYER_ALIGN */
    uint64_t gib_count;
    struct layer *first;
};

struct layers *layers_new(struct background *background)
{
    struct layers *layers = calloc(1, sizeof *layers);
    if (layers)
        layers->background = background;
    return layers;
}

static void layer_destroy(void *argument)
{
    struct layer *layer = argument;
    if (layer->read)
        munmap((void *)(uintptr_t)layer->read, layer->size);
    if (layer->fd >= 0)
        close(layer->fd);
    for (int i = 0; i < LEVELS; i++)
        free(layer->refs[i]);
    free(layer->small);
    free(layer->dead);
    free(layer->file.path);
    free(layer);
}

static void forget(struct layers *layers, struct layer *layer)
{
    for (uint64_t i = 0; i < layer->gib; i++)
        layers->by_gib[layer->hpa / LAYER_ALIGN + i] = NULL;
    for (struct layer **link = &layers->first; *link; link = &(*link)->next) {
        if (*link == layer) {
            *link = layer->next;
            break;
        }
    }
    background_add(layers->background, layer_destroy, layer);
}

void layers_free(struct layers *layers)
{
    if (!layers)
        return;
    layers_settle(layers);
    while (layers->first)
        forget(layers, layers->first);
    free(layers->by_gib);
    free(layers);
}

static int find_hpa(struct layers *layers, uint64_t gib, uint64_t *first)
{
    uint64_t run = 0;
    for (uint64_t i = 1; i < layers->gib_count; i++) { /* HPA 0 is never handed out */
        run = layers->by_gib[i] ? 0 : run + 1;
        if (run == gib) {
            *first = i - gib + 1;
            return 0;
        }
    }
    uint64_t count = (layers->gib_count ? layers->gib_count : 1) + gib;
    if (count < 2 * layers->gib_count)
        count = 2 * layers->gib_count;
    if (count * LAYER_ALIGN > LAYERS_HPA_END)
        return -1;
    struct layer **grown = realloc(layers->by_gib, count * sizeof(struct layer *));
    if (!grown)
        return -1;
    *first = (layers->gib_count ? layers->gib_count : 1) - run * (layers->gib_count != 0);
    memset(grown + layers->gib_count, 0, (count - layers->gib_count) * sizeof(struct layer *));
    layers->by_gib = grown;
    layers->gib_count = count;
    return 0;
}

static int make_memfd(uint64_t size, struct cleave_failure *failure)
{
    int fd = memfd_create("cleave-layer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return fail_errno(failure, errno, "cannot create a memfd for guest memory (see ulimit -n)");
    if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        fail_errno(failure, errno, "cannot size a memfd of %llu bytes", (unsigned long long)size);
        close(fd);
        return -1;
    }
    return fd;
}

/* A layer in HPA space over fd, which becomes its own whatever happens. */
static int add_layer(struct layers *layers, int fd, uint64_t size, struct layer **result,
                     struct cleave_failure *failure)
{
    struct layer *layer = calloc(1, sizeof *layer);
    uint64_t first;
    if (layer) {
        layer->fd = fd;
        layer->size = size;
        layer->gib = (size + LAYER_ALIGN - 1) / LAYER_ALIGN;
        layer->open = true;
        for (int i = 0; i < LEVELS; i++)
            layer->refs[i] = calloc((size >> (12 + 9 * i)) + 1, sizeof(uint32_t));
        layer->small = calloc(size / BLOCK_BYTES + 1, sizeof(uint16_t));
    }
    if (!layer || !layer->small || !layer->refs[0] || !layer->refs[1] || !layer->refs[2] ||
        find_hpa(layers, layer->gib, &first) < 0) {
        if (layer)
            layer_destroy(layer);
        else if (fd >= 0)
            close(fd);
        return fail(failure, CLEAVE_NO_MEMORY, "out of memory for a layer");
    }
    layer->hpa = first * LAYER_ALIGN;
    for (uint64_t i = 0; i < layer->gib; i++)
        layers->by_gib[first + i] = layer;
    layer->next = layers->first;
    layers->first = layer;
    *result = layer;
    return 0;
}

int layer_new(struct layers *layers, uint64_t size, struct layer **result, struct cleave_failure *failure)
{
    int fd = make_memfd(size, failure);
    return fd < 0 ? -1 : add_layer(layers, fd, size, result, failure);
}

int layer_zeros(struct layers *layers, uint64_t size, struct layer **result, struct cleave_failure *failure)
{
    return add_layer(layers, -1, size, result, failure);
}

int layer_open(struct layers *layers, int fd, const char *path, struct layer **result, struct cleave_failure *failure)
{
    struct stat now;
    char *name = strdup(path);
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (!name || own < 0 || fstat(own, &now) < 0) {
        fail_errno(failure, name ? errno : ENOMEM, "%s", path);
        free(name);
        if (own >= 0)
            close(own);
        return -1;
    }
    uint64_t bytes = (uint64_t)now.st_size, size = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    if (add_layer(layers, own, size, result, failure) < 0) {
        free(name);
        return -1;
    }
    (*result)->file = (struct layer_file){name, now.st_dev, now.st_ino, bytes};
    return 0;
}

uint64_t layer_hpa(const struct layer *layer)
{
    return layer->hpa;
}

int layer_fd(const struct layer *layer)
{
    return layer->fd;
}

void layer_close(struct layers *layers, struct layer *layer)
{
    layer->open = false;
    if (!layer->live)
        forget(layers, layer);
}

static struct layer *layer_at(const struct layers *layers, uint64_t hpa)
{
    uint64_t gib = hpa / LAYER_ALIGN;
    return gib < layers->gib_count ? layers->by_gib[gib] : NULL;
}

bool layers_find(const struct layers *layers, uint64_t hpa, int *fd, uint64_t *offset, uint64_t *bytes)
{
    struct layer *layer = layer_at(layers, hpa);
    if (!layer || hpa - layer->hpa >= layer->size)
        return false;
    *fd = layer->fd;
    *offset = hpa - layer->hpa;
    *bytes = layer->size - *offset;
    return true;
}

const struct layer_file *layers_find_file(const struct layers *layers, uint64_t hpa)
{
    const struct layer *layer = layer_at(layers, hpa);
    return layer && layer->file.path ? &layer->file : NULL;
}

bool layers_file_truncated(const struct layers *layers, uint64_t hpa, uint64_t *now)
{
    const struct layer *layer = layer_at(layers, hpa);
    struct stat status;
    if (!layer || !layer->file.path || fstat(layer->fd, &status) < 0)
        return false;
    *now = (uint64_t)status.st_size;
    return *now < layer->file.bytes;
}

/* A copy from a mapping costs a quarter of a read(2) of the same page; where there is no room for one, that will do.
 * So it must from a file and to a window over one, which somebody may truncate. Zeros in a view are over no file. */
static int read_layer(struct layer *layer, uint64_t offset, void *to, uint64_t bytes, bool fragile,
                      struct cleave_failure *failure)
{
    if (layer->fd < 0) {
        memset(to, 0, bytes);
        return 0;
    }
    if (!layer->read && !layer->file.path && !fragile) {
        void *got = mmap(NULL, layer->size, PROT_READ, MAP_SHARED | MAP_NORESERVE, layer->fd, 0);
        layer->read = got == MAP_FAILED ? NULL : got;
    }
    if (layer->read && !fragile) {
        memcpy(to, layer->read + offset, bytes);
        return 0;
    }
    ssize_t n = pread(layer->fd, to, bytes, (off_t)offset);
    return n == (ssize_t)bytes ? 0
                               : fail_errno(failure, n < 0 ? errno : EIO, "cannot read %s",
                                            layer->file.path ? layer->file.path : "a layer");
}

int layers_read(struct layers *layers, uint64_t hpa, void *to, uint64_t bytes, bool fragile,
                struct cleave_failure *failure)
{
    for (uint8_t *at = to; bytes;) {
        struct layer *layer = layer_at(layers, hpa);
        if (!layer || hpa - layer->hpa >= layer->size)
            return fail(failure, CLEAVE_INTERNAL, "the view names HPA %#llx, which no layer backs",
                        (unsigned long long)hpa);
        uint64_t offset = hpa - layer->hpa;
        uint64_t here = bytes < layer->size - offset ? bytes : layer->size - offset;
        if (read_layer(layer, offset, at, here, fragile, failure) < 0)
            return -1;
        at += here;
        hpa += here;
        bytes -= here;
    }
    return 0;
}

/* True where a larger unit that contains this page is still referenced. */
static bool held_above(const struct layer *layer, uint64_t page, unsigned level)
{
    return (level < 2 && layer->refs[1][page >> 9]) || (level < 3 && layer->refs[2][page >> 18]);
}

/* Of 512, or less at the layer's end. */
static uint64_t pages_of_block(const struct layer *layer, uint64_t block)
{
    uint64_t left = layer->size / PAGE_BYTES - (block << 9);
    return left < 512 ? left : 512;
}

/* Pages below a unit of `level` that nothing counts, the unit itself and what contains it apart. For a block that takes
 * no look at its pages: a large file is mapped by its blocks. */
static uint64_t uncounted(const struct layer *layer, uint64_t unit, unsigned level)
{
    if (level == 1)
        return 1;
    if (level == 2)
        return pages_of_block(layer, unit) - layer->small[unit];
    uint64_t pages = 0, below = unit << 9;
    for (uint64_t i = below; i < below + 512 && i * BLOCK_BYTES < layer->size; i++)
        pages += layer->refs[1][i] ? 0 : uncounted(layer, i, 2);
    return pages;
}

bool layers_get(void *context, uint64_t hpa, unsigned level, uint64_t count)
{
    struct layer *layer = layer_at(context, hpa);
    unsigned shift = 12 + 9 * (level - 1);
    if (!layer || level > LEVELS || hpa - layer->hpa + (count << shift) > layer->size)
        return false;
    uint64_t first = (hpa - layer->hpa) >> shift;
    uint32_t *refs = layer->refs[level - 1];
    for (uint64_t i = first; i < first + count; i++) {
        if (refs[i]++ != 0)
            continue;
        if (!held_above(layer, i << (9 * (level - 1)), level))
            layer->live_pages += uncounted(layer, i, level);
        if (level == 1)
            layer->small[i >> 9]++;
    }
    layer->live += count;
    return true;
}

/* Notes [first, first + count) pages of the layer as dead, if their memory can be given back; adjacent runs merge. */
static void bury(struct layer *layer, uint64_t first, uint64_t count)
{
    layer->live_pages -= count;
    if (layer->fd < 0 || layer->file.path)
        return;
    struct run *last = layer->dead_count ? &layer->dead[layer->dead_count - 1] : NULL;
    if (last && last->first + last->count == first) {
        last->count += count;
        return;
    }
    if (layer->dead_count == layer->dead_room) {
        size_t room = layer->dead_room ? 2 * layer->dead_room : 16;
        struct run *grown = realloc(layer->dead, room * sizeof *grown);
        if (!grown) {
            log_debug("out of memory: %llu dead pages stay until their layer goes", (unsigned long long)count);
            return;
        }
        layer->dead = grown;
        layer->dead_room = room;
    }
    layer->dead[layer->dead_count++] = (struct run){first, count};
}

/* A unit of `level` has lost its last count: what below it nobody counts is dead. */
static void bury_unit(struct layer *layer, uint64_t unit, unsigned level)
{
    uint64_t first = unit << (9 * (level - 1));
    if (held_above(layer, first, level))
        return;
    if (level == 1) {
        bury(layer, first, 1);
        return;
    }
    if (level == 2 && !layer->small[unit]) {
        bury(layer, first, pages_of_block(layer, unit));
        return;
    }
    uint64_t below = unit << 9;
    for (uint64_t i = below; i < below + 512 && (i << (12 + 9 * (level - 2))) < layer->size; i++)
        if (!layer->refs[level - 2][i])
            bury_unit(layer, i, level - 1);
}

void layers_put(void *context, uint64_t hpa, unsigned level, uint64_t count)
{
    struct layer *layer = layer_at(context, hpa);
    unsigned shift = 12 + 9 * (level - 1);
    uint64_t first = (hpa - layer->hpa) >> shift;
    uint32_t *refs = layer->refs[level - 1];
    for (uint64_t i = first; i < first + count; i++) {
        if (--refs[i] != 0)
            continue;
        if (level == 1)
            layer->small[i >> 9]--;
        bury_unit(layer, i, level);
    }
    layer->live -= count;
}

/* The dead runs of one layer, on their way to the background thread. */
struct punch {
    int fd;
    size_t count;
    struct run *runs;
};

static void punch_holes(void *argument)
{
    struct punch *punch = argument;
    for (size_t i = 0; i < punch->count; i++) {
        off_t start = (off_t)(punch->runs[i].first * PAGE_BYTES), length = (off_t)(punch->runs[i].count * PAGE_BYTES);
        if (fallocate(punch->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start, length) < 0)
            log_debug("cannot punch dead frames: %s", strerrorname_np(errno));
    }
    free(punch->runs);
    free(punch);
}

/* The layer's descriptor stays open until the job is done: closing it is a later job of the same thread. */
static void reclaim(struct layers *layers, struct layer *layer)
{
    if (!layer->dead_count)
        return;
    struct punch *punch = malloc(sizeof *punch);
    if (!punch)
        return;
    *punch = (struct punch){layer->fd, layer->dead_count, layer->dead};
    layer->dead = NULL;
    layer->dead_count = layer->dead_room = 0;
    background_add(layers->background, punch_holes, punch);
}

void layers_settle(struct layers *layers)
{
    struct layer *next;
    for (struct layer *layer = layers->first; layer; layer = next) {
        next = layer->next;
        if (!layer->open && !layer->live)
            forget(layers, layer);
        else
            reclaim(layers, layer);
    }
}

uint64_t layers_live_bytes(const struct layers *layers)
{
    uint64_t pages = 0;
    for (struct layer *layer = layers->first; layer; layer = layer->next)
        pages += layer->live_pages;
    return pages * PAGE_BYTES;
}
