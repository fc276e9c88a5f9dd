/* A guest's marks: the last 65,536 values it wrote to the mark port, each with its time. Any thread. */
#ifndef VMM_DEVICES_MARKS_H
#define VMM_DEVICES_MARKS_H

#include <cleave/guest.h>

#include <pthread.h>

#define MARKS_KEPT 65536

struct marks {
    pthread_mutex_t lock;
    struct cleave_mark *ring; /* grows up to MARKS_KEPT; under lock, as are the rest */
    size_t capacity;
    uint64_t total;  /* ever made */
    uint64_t passed; /* handed out by marks_next() */
};

void marks_init(struct marks *marks);
void marks_free(struct marks *marks);

/* Out of memory: the oldest go earlier. */
void marks_add(struct marks *marks, uint32_t value);

/* The next mark not yet handed out; marks that were overwritten before are skipped. False: none. */
bool marks_next(struct marks *marks, struct cleave_mark *mark);

/* All that are kept, in order; the caller frees *copy, which is NULL where there are none. -1: out of memory. */
int marks_copy(struct marks *marks, struct cleave_mark **copy, size_t *count);

#endif
