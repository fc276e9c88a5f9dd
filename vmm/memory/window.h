/*
 * Windows: the host-virtual ranges that KVM memslots point at. They lie in a region of the address space that nothing
 * else uses, far below where the kernel puts other mappings, so that a memslot can be made over a window that is still
 * unmapped, and mapping into it later has nothing to tear down: no KVM page tables are walked inside a pause.
 *
 * A window is a projection of a view: it is mapped run by run from layers (see layer.h) and never the source of truth.
 * windows_take() and windows_release() may be called from any thread.
 */
#ifndef VMM_MEMORY_WINDOW_H
#define VMM_MEMORY_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct windows;

/* Windows of `size` bytes each. NULL: out of memory. */
struct windows *windows_new(uint64_t size);
void windows_free(struct windows *windows);

/* The address of a free window, wholly unmapped; 0 when out of memory or address space. */
uint64_t windows_take(struct windows *windows);

/* Unmaps whatever is mapped in the window, in steps that keep other mappings possible meanwhile, and frees the range.
 */
void windows_release(struct windows *windows, uint64_t window);

/* Maps bytes of fd (-1: zeros) at the address, which must be unmapped: shared, or private (copy-on-write). 0, or -1
 * with errno. */
int window_map(uint64_t address, uint64_t bytes, int fd, uint64_t offset, bool shared);

#endif
