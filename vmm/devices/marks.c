/* Marks: see marks.h. */
#include "vmm/devices/marks.h"

#include "vmm/base/clock.h"

#include <stdlib.h>
#include <string.h>

void marks_init(struct marks *marks)
{
    *marks = (struct marks){0};
    pthread_mutex_init(&marks->lock, NULL);
}

void marks_free(struct marks *marks)
{
    free(marks->ring);
    pthread_mutex_destroy(&marks->lock);
}

/* Under the lock. A ring that has not been full yet starts at 0, so growing needs no rotation. */
static void grow(struct marks *marks)
{
    size_t capacity = marks->capacity ? 2 * marks->capacity : 64;
    struct cleave_mark *ring = realloc(marks->ring, capacity * sizeof *ring);
    if (!ring)
        return;
    marks->ring = ring;
    marks->capacity = capacity;
}

void marks_add(struct marks *marks, uint32_t value)
{
    uint64_t now = clock_ns();
    pthread_mutex_lock(&marks->lock);
    if (marks->total == marks->capacity && marks->capacity < MARKS_KEPT)
        grow(marks);
    if (marks->capacity)
        marks->ring[marks->total++ % marks->capacity] = (struct cleave_mark){value, now};
    pthread_mutex_unlock(&marks->lock);
}

/* Under the lock. */
static uint64_t oldest(const struct marks *marks)
{
    return marks->total > marks->capacity ? marks->total - marks->capacity : 0;
}

bool marks_next(struct marks *marks, struct cleave_mark *mark)
{
    pthread_mutex_lock(&marks->lock);
    if (marks->passed < oldest(marks))
        marks->passed = oldest(marks);
    bool found = marks->passed < marks->total;
    if (found)
        *mark = marks->ring[marks->passed++ % marks->capacity];
    pthread_mutex_unlock(&marks->lock);
    return found;
}

int marks_copy(struct marks *marks, struct cleave_mark **copy, size_t *count)
{
    pthread_mutex_lock(&marks->lock);
    uint64_t first = oldest(marks);
    *count = marks->total - first;
    *copy = *count ? malloc(*count * sizeof **copy) : NULL;
    for (size_t i = 0; *copy && i < *count; i++)
        (*copy)[i] = marks->ring[(first + i) % marks->capacity];
    pthread_mutex_unlock(&marks->lock);
    return *count && !*copy ? -1 : 0;
}
