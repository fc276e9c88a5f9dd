/*
 * What the guest `random` keeps about itself, and what each of its steps writes. The test that replays a guest's life
 * on the host includes this too: it needs nothing else, and what a page must hold follows from the state alone.
 */
#ifndef GUEST_LIB_RANDOM_H
#define GUEST_LIB_RANDOM_H

#include "guest/lib/hash.h"

#include <stddef.h>
#include <stdint.h>

#define RANDOM_STATE_GPA 0x110000 /* between the probe and the stacks */
#define RANDOM_MAGIC     "RANDOM01"
#define RANDOM_HISTORY   1000
#define RANDOM_HOT       64 /* pages that get half of all writes */
#define RANDOM_SLOTS     8  /* words of a page that are ever written */
#define RANDOM_WORDS     512

/* From the step `step` on, what is written follows from a key into which `salt` is mixed: a child's guest_id. */
struct random_entry {
    uint64_t step, salt;
};

/* Little-endian, at RANDOM_STATE_GPA. The key of a step = seed, mixed with each entry of the history up to that step.
 */
struct random_state {
    char magic[8];       /*  0: RANDOM_MAGIC, without a final zero; written last, when the rest is valid */
    uint64_t seed;       /*  8 */
    uint64_t first;      /* 16: GPA of the first page */
    uint64_t pages;      /* 24: how many 4 KiB pages the steps write to */
    uint64_t filled;     /* 32: pages written at the start, before step 0; the others hold zeros then */
    uint64_t run;        /* 40: pages written by one step, at most */
    uint64_t fork_every; /* 48: one step in so many is a fork by port; 0: none */
    uint64_t guest_id;   /* 56: boot_info's, as the guest last saw it */
    uint64_t forks;      /* 64: by port, as this guest's line counts them: successful ones */
    uint64_t refused;    /* 72: the others */
    uint64_t index;      /* 80: what the last fork by port gave, 0 in the parent */
    uint64_t step;       /* 88: steps that are complete; written after a step's last write */
    uint64_t entries;    /* 96: of the history; written after the entry */
    uint64_t unused[3];
    struct random_entry history[RANDOM_HISTORY]; /* 128 */
};

_Static_assert(offsetof(struct random_state, history) == 128, "layout that tests rely on");

/* One step: either a fork by port, or one word written in each of `count` pages, in ascending order. */
struct random_action {
    uint64_t fork; /* children to make; 0: it is a write */
    uint64_t page, count, slot;
};

static inline uint64_t random_key(uint64_t key, uint64_t salt)
{
    return hash_mix(key ^ hash_mix(salt + HASH_MULTIPLIER));
}

static inline uint64_t random_draw(uint64_t key, uint64_t step)
{
    return hash_mix(key + step * HASH_MULTIPLIER);
}

static inline struct random_action random_action(uint64_t pages, uint64_t run, uint64_t fork_every, uint64_t key,
                                                 uint64_t step)
{
    const uint64_t draw = random_draw(key, step), place = hash_mix(draw);
    struct random_action action = {.page = place % pages, .count = 1, .slot = (draw >> 8) % RANDOM_SLOTS};
    if (fork_every && (draw >> 32) % fork_every == 0)
        action.fork = 1 + (place >> 32) % 2;
    else if (draw % 16 == 0)
        action.count = 1 + (draw >> 16) % run;
    else if (draw % 2 == 0 && pages >= RANDOM_HOT)
        action.page = place % RANDOM_HOT * (pages / RANDOM_HOT);
    if (action.count > pages - action.page)
        action.count = pages - action.page;
    return action;
}

/* The word of a page that a slot is: all over the page, its first and last word included. */
static inline uint64_t random_word(uint64_t page, uint64_t slot)
{
    return (slot * 73 + page) % RANDOM_WORDS;
}

static inline uint64_t random_value(uint64_t key, uint64_t step, uint64_t page)
{
    return hash_mix(random_draw(key, step) ^ hash_mix(page));
}

/* What slot 0 of a page holds that is filled at the start. */
static inline uint64_t random_fill(uint64_t seed, uint64_t page)
{
    return hash_mix(hash_mix(~seed) + page);
}

#endif
