/*
 * A model of the guest `random`: replays its life from its own state block, and compares every word of the pages it
 * writes to with what read-memory says. Serves the KVM tests of forks.
 */
#ifndef TESTS_SUPPORT_KVM_RANDOM_H
#define TESTS_SUPPORT_KVM_RANDOM_H

#include "guest/lib/random.h"
#include "tests/support/kvm_rig.h"

struct model;

struct model *model_new(void);
struct model *model_copy(const struct model *from); /* for a fork's child: saves replaying what its parent did */
void model_free(struct model *model);

/*
 * Reads the state of a guest that is paused, and replays up to its last complete step: on from where the model stands
 * if that lies in this guest's past, else from the beginning. Then pages [page, page + count) must hold what they
 * should; the step that the guest was paused in may have been carried out in part, in the order of its pages.
 */
void model_sync(struct model *model, struct rig *rig, uint64_t guest);
void model_check(const struct model *model, struct rig *rig, uint64_t guest, uint64_t page, uint64_t count);
void model_check_all(struct model *model, struct rig *rig, uint64_t guest); /* both, for all pages */

/* One run of 16 pages in `share` of them, from all over its memory; other ones in other turns. */
void model_check_some(const struct model *model, struct rig *rig, uint64_t guest, uint64_t share, uint64_t turn);

/* As model_check_all for a guest with many pages: on a slow machine (rounds.h) only some, others in each turn. */
void model_check_many(struct model *model, struct rig *rig, uint64_t guest, uint64_t turn);

uint64_t model_pages(const struct model *model);
uint64_t model_step(const struct model *model);

/* The steps that the guest, which may be running, has completed. */
uint64_t random_step(struct rig *rig, uint64_t guest);

/* Waits until the guest has begun its steps, and until it has taken `steps` more. */
void random_wait_started(struct rig *rig, uint64_t guest);
void random_wait_steps(struct rig *rig, uint64_t guest, uint64_t steps);

#endif
