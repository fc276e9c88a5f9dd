/* The guests that are carried inside ptstat: workload (workload.h), target (target.h), hello. Flat binaries. */
#ifndef PTSTAT_GUEST_IMAGE_H
#define PTSTAT_GUEST_IMAGE_H

#include <stddef.h>

enum guest_image { IMAGE_WORKLOAD, IMAGE_TARGET, IMAGE_HELLO };

#define IMAGE_PATH 64

/* Writes the guest to a memfd whose path, of at most IMAGE_PATH bytes, other programs can open while this one runs.
 * Returns the descriptor; prints one line and exits with EXIT_RUNTIME where that fails. */
int guest_image_file(enum guest_image image, char *path, size_t size);

#endif
