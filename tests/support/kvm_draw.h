/* What random KVM tests decide by: one seed, so that a run can be repeated, and how long they go on. */
#ifndef TESTS_SUPPORT_KVM_DRAW_H
#define TESTS_SUPPORT_KVM_DRAW_H

#include <stdint.h>

/* SEED= of the environment, else a fresh one, below 2^63; printed, as what failed is to be repeated. */
uint64_t draw_seed(void);

/* The next number below `below` of the generator whose state this is: a seed at first. */
uint64_t draw(uint64_t *state, uint64_t below);

/* OPERATIONS= of the environment, else `usual`, or fewer on slow machines (rounds.h). */
uint64_t draw_operations(unsigned usual, unsigned least);

#endif
