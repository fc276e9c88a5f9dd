/* A tree's surroundings in a guest that has no libc: tables in a static array, frames that are only counted, a flush
 * hook that keeps a record. For the exercises of both formats. */
#ifndef TESTS_FREESTANDING_WORLD_H
#define TESTS_FREESTANDING_WORLD_H

#include <ept/arena.h>
#include <ept/frames.h>
#include <ept/image.h>
#include <ept/walk.h>

#define WORLD_TABLES 64u
#define WORLD_IMAGE  ((WORLD_TABLES + 1) * PT_PAGE_SIZE)
#define WORLD_HPA    ((uint64_t)1 << 30) /* the frames that are counted: one GiB from here */
#define WORLD_FRAMES ((uint64_t)1 << 18)

#define MIB ((uint64_t)1 << 20)
#define KIB ((uint64_t)1 << 10)

struct world {
    struct pt_arena arena;
    struct pt_frames frames;
    struct pt_config config;
    struct walk_memory memory; /* the same tables, for the software MMUs */
    uint64_t flushed;          /* bytes that the flush hook was told */
    uint64_t released;         /* frames that nobody has a reference to any more */
    uint64_t sections;         /* read-side sections that have begun */
    unsigned depth;            /* of those in progress */
    char *image;               /* room for the tables as a file */
    size_t image_bytes;        /* of it in use */
};

/* Everything fresh, as after the guest's start. There is one world, used by one exercise after the other. */
struct world *world_start(unsigned levels);

#endif
