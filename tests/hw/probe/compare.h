/* One probe: what the processor told against what the walk says. Known differences of a judge are taken out here, one
 * function each. */
#ifndef TESTS_HW_PROBE_COMPARE_H
#define TESTS_HW_PROBE_COMPARE_H

#include "tests/hw/probe/batch.h"

/* The judge's answer; entries are result->entries many. Counts in the tally, and makes the image's copy of the tables
 * what the judge's are where a known difference left other entries there. */
void compare_probe(struct image *image, const struct probe *probe, const struct probe_result *result,
                   const uint64_t *entries, struct tally *tally);

#endif
