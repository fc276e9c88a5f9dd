/*
 * Layers: what backs runs of HPA space, and the reference count of every frame in them. A view's leaves name HPAs; this
 * is where an HPA becomes a file and an offset that a window can map. Most layers are memfds. A snapshot's file can be
 * one too, read-only and as it is on disk; and zeros, which have no file at all.
 *
 * Every layer starts at a multiple of 1 GiB of HPA space, so that leaves of any size can map it. Frames are counted at
 * the level they are mapped with: a 2 MiB leaf is one count, not 512. A frame whose counts at all levels are zero is
 * dead; its memory goes back to the kernel by hole punching, off the critical path. That is also why a frozen layer is
 * not sealed with F_SEAL_WRITE, which forbids punching: instead no writable mapping of it is left. Sizes are sealed.
 *
 * Locking: the owner's thread only.
 */
#ifndef VMM_MEMORY_LAYER_H
#define VMM_MEMORY_LAYER_H

#include "vmm/base/background.h"
#include "vmm/base/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE_BYTES  UINT64_C(4096)
#define BLOCK_BYTES (UINT64_C(2) << 20)
#define LAYER_ALIGN (UINT64_C(1) << 30)

struct layer;
struct layers;

/* `background` gets what can wait: punching, unmapping, closing. */
struct layers *layers_new(struct background *background);
void layers_free(struct layers *layers); /* every reference must be gone */

/* Sets *result to a new layer of `size` bytes (a multiple of 4 KiB), all zero, and no frame referenced. -1 with
 * *failure. */
int layer_new(struct layers *layers, uint64_t size, struct layer **result, struct cleave_failure *failure);
uint64_t layer_hpa(const struct layer *layer);
int layer_fd(const struct layer *layer);

/* The same over a file, `fd`, of which a copy is kept with the path: the file may be renamed, replaced or deleted. It
 * is never written, nor is memory of it given back. */
int layer_open(struct layers *layers, int fd, const char *path, struct layer **result, struct cleave_failure *failure);

/* The same of `size` bytes that are and stay zero. */
int layer_zeros(struct layers *layers, uint64_t size, struct layer **result, struct cleave_failure *failure);

/* The creator's claim ends: the layer goes away with the last reference to a frame in it. */
void layer_close(struct layers *layers, struct layer *layer);

/* Hooks for the page-table library, whose context is the layers: `count` leaves of `level` (1, 2 or 3) from hpa on.
 * False: no such frames. */
bool layers_get(void *context, uint64_t hpa, unsigned level, uint64_t count);
void layers_put(void *context, uint64_t hpa, unsigned level, uint64_t count);

/* The file and offset behind hpa; the run goes on for *bytes. *fd is -1 for zeros. False where there is no layer. */
bool layers_find(const struct layers *layers, uint64_t hpa, int *fd, uint64_t *offset, uint64_t *bytes);

/* A snapshot's file that backs a layer, as it was when it was opened. */
struct layer_file {
    char *path;
    dev_t device;
    ino_t inode;
    uint64_t bytes;
};

/* The one that backs hpa, or NULL: it is memory. */
const struct layer_file *layers_find_file(const struct layers *layers, uint64_t hpa);

/* True where that file has become shorter, by somebody's hand; *now is its length. */
bool layers_file_truncated(const struct layers *layers, uint64_t hpa, uint64_t *now);

/* Copies the bytes of frames from hpa on. The first time it maps each layer it reads from. With `fragile`, `to` lies in
 * a window over a file that somebody may truncate: then the kernel copies, for which lost memory is an error and no
 * signal. -1 with *failure. */
int layers_read(struct layers *layers, uint64_t hpa, void *to, uint64_t bytes, bool fragile,
                struct cleave_failure *failure);

/* Hands what is due to the background thread: punches dead frames, closes dead layers. */
void layers_settle(struct layers *layers);

/* Bytes of layers that some view references, each frame once. */
uint64_t layers_live_bytes(const struct layers *layers);

#endif
