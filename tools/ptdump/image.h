/* Images in files: loading one, and looking at it through the software MMU, one walk for each slot. */
#ifndef PTDUMP_IMAGE_H
#define PTDUMP_IMAGE_H

#include "tools/ptdump/slot.h"

#include <ept/image.h>

struct image_file {
    void *memory;
    size_t bytes;
    struct pt_image image;
};

/* Reads and checks a file. -1, with one line about what is wrong in error[]. */
#define IMAGE_ERROR 256
int image_file_open(struct image_file *file, const char *path, char error[IMAGE_ERROR]);
void image_file_close(struct image_file *file);

/* Bytes of address space; addresses in it are not sign-extended. */
uint64_t image_space(const struct pt_image *image);

/* Cuts the sign extension off an address of an x86 image. False: not an address of this image. */
bool image_address(const struct pt_image *image, uint64_t *address);

/* What an access to the address meets. */
void image_look(const struct pt_image *image, uint64_t address, struct walk_answer *answer, struct slot *slot);
void image_path(const struct pt_image *image, uint64_t address, struct path *path);

/*
 * Calls fn for the slots that [start, end) touches, holes too. In a tree no slot is met twice, so there are at most 512
 * for each table; where there are more, tables are reachable in several ways, perhaps without end: false, and *stopped
 * is where it was noticed.
 */
bool image_each(const struct pt_image *image, uint64_t start, uint64_t end, slot_fn *fn, void *context,
                uint64_t *stopped);

#endif
