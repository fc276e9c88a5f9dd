/* Images from random operations, with random probes. */
#ifndef TESTS_HW_PROBE_RANDOM_H
#define TESTS_HW_PROBE_RANDOM_H

#include "tests/hw/probe/draw.h"
#include "tests/hw/probe/image.h"

/* In one image of so many, those whose seed is a multiple of it, some entries are changed to what the library never
 * makes. */
#define RANDOM_DAMAGED 4u

/* The same image for the same seed. It has at most `probes` probes, and seldom less than half as many. */
struct image *random_image(const struct judge *judge, const struct image_setting *setting, uint64_t seed,
                           size_t probes);

#endif
