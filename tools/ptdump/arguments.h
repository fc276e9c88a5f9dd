/* ptdump's command line. */
#ifndef PTDUMP_ARGUMENTS_H
#define PTDUMP_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

struct arguments {
    const char *file;   /* an image; NULL: a live guest */
    const char *socket; /* of its VMM */
    uint64_t guest;
    bool has_guest;
    bool json, summary;
    bool has_at, has_range;
    uint64_t at;
    uint64_t start, last; /* of the range; everything where there is none */
};

/* Ends the program where the command line makes no sense: one line and exit status 2. */
void arguments_parse(struct arguments *arguments, int argc, char **argv);

#endif
