/* Printing: runs of slots as the library's dump prints a tree, and the path to one address. */
#ifndef PTDUMP_PRINT_H
#define PTDUMP_PRINT_H

#include "tools/ptdump/slot.h"

#include <ept/image.h>
#include <stdio.h>

/* Runs being put together. Set up with `out`, `json`, `heads` and `live`; then printer_add for every slot, and
 * printer_end. */
struct printer {
    FILE *out;
    bool json;
    bool heads;        /* of columns, over the first line of text */
    bool live;         /* a live guest: nobody said what the software's bits of its leaves are */
    bool began;        /* something was printed */
    struct slot first; /* the run that may go on */
    uint64_t count;    /* slots in it */
};

slot_fn printer_add; /* the context is the printer; holes are not printed */
void printer_end(struct printer *printer);

void print_path(FILE *out, bool json, enum pt_image_format format, const struct path *path);

#endif
