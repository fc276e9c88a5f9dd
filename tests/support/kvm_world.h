/*
 * Guests that run `random`, each with the model of its memory, and what tests that draw what to do with them share.
 * The VMM may have guests that a test does not know of yet: children that guests have made by port.
 */
#ifndef TESTS_SUPPORT_KVM_WORLD_H
#define TESTS_SUPPORT_KVM_WORLD_H

#include "tests/support/kvm_draw.h"
#include "tests/support/kvm_random.h"

/* A guest's memory at some time. */
struct instant {
    bool known; /* then step and hash are */
    uint64_t step, hash;
    uint64_t least, most; /* else the step lies between these */
};

struct guest {
    uint64_t id;
    struct model *model;
    bool running;
    bool can_reset;
    struct instant instant; /* that a reset returns it to: its birth at first, but for the root's */
    int depth;              /* of the file that a diff of it would build on; -1: none. For the test to keep. */
};

struct world {
    struct rig rig;
    uint64_t draws; /* state of the test's own generator */
    size_t ram;     /* bytes a guest */
    struct guest guests[48];
    size_t count;
    uint64_t forks, port_forks, kills, compared;
};

/* Starts a VMM with these words and a seed for guest `random`, which is the last but its arguments. The root's steps
 * have begun. */
struct world world_start(size_t ram, const char *const words[]);
#define WORLD(ram, ...) world_start(ram, (const char *const[]){__VA_ARGS__, NULL})

/* Forgets all guests, and ends the VMM. */
void world_end(struct world *w);

/* NULL: there is none, or none yet. */
struct guest *world_find(struct world *w, uint64_t id);

/* A guest joins, with the model of one whose life it goes on with, or NULL. It stays where it is until one is killed.
 */
struct guest *world_add(struct world *w, uint64_t id, const struct model *from, bool running);

/* Forgets one that is no more; the last takes its place. */
void world_forget(struct world *w, struct guest *guest);

/* Children that guests have made by port join. No guest may have ended by itself. */
void world_take_events(struct world *w);

/* The number of those that run. */
size_t world_running(const struct world *w);
void world_set_running(struct world *w, struct guest *guest, bool running);

/* But not the last; then nothing is done. */
void world_kill(struct world *w, struct guest *guest);

/*
 * Forks; the children join, and their ids go to children[count] (NULL is allowed). False where there is no room for
 * them in the VMM: guests have made children that the test does not know of yet.
 */
bool world_fork(struct world *w, struct guest *parent, unsigned count, bool paused, uint64_t *children);

/* Draws a guest, after having killed some until there are at most `guests`, and stopped some until at most `running`
 * run; but one does. */
struct guest *world_draw(struct world *w, size_t guests, size_t running);

/* Stops the guest, and compares all its pages with its model. */
void world_check(struct world *w, struct guest *guest);

/* The guest as it is: exactly where it stands still, else only that it has come so far; `most` is to be learned. */
struct instant world_now(struct world *w, const struct guest *guest);

/* A guest that stands still must be as it was at the instant, which is known afterwards. `what` made it so. */
void world_compare(struct world *w, struct guest *guest, struct instant *instant, const char *what);

/* Checkpoints the guest, which is known then where it stands still. */
void world_checkpoint(struct world *w, struct guest *guest);

/* Resets a guest that can be, so many times one after the other; whoever it is, it stays. */
void world_reset(struct world *w, struct guest *guest, unsigned times);

#endif
