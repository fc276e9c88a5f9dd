/* One table image and its probes: two trees made through the cursor API, the guest's own and the nested one, of which
 * one is under test and the other only leads there. Built here, put into a ROM, and kept as the copy on which the
 * software walk says what each probe should give. */
#ifndef TESTS_HW_PROBE_IMAGE_H
#define TESTS_HW_PROBE_IMAGE_H

#include <ept/types.h>
#include <stdbool.h>

#include "tests/hw/probe/format.h"
#include "tests/hw/probe/judge.h"
#include "tests/hw/probe/tree.h"

#define IMAGE_TABLES 128u /* of each tree, at most */

struct image_result {
    struct probe_result result;
    uint64_t entries[5]; /* result.entries of them: from the top, after the probe */
};

struct image {
    const struct judge *judge;
    struct probe_image header;
    struct table_space spaces[2]; /* by enum probe_subject, as the trees */
    struct tree trees[2];
    struct tree child;    /* see image_fork */
    struct tree *subject; /* the tree under test: one of these three */
    struct probe *probes;
    struct image_result *results; /* of each probe, when a batch with this image has run */
    uint64_t *frames;             /* those that probes may hit */
    size_t nprobes, nframes, room;
    uint64_t seed; /* or another number to tell it by */
    bool damaged;  /* some entries are not the library's */
};

struct image_setting {
    enum probe_subject subject;
    unsigned levels; /* of the tree under test */
    bool nested_ad;  /* EPT: A and D bits are on */
};

/* An image whose tree under test holds only what the guest needs to run. */
struct image *image_open(const struct judge *judge, const struct image_setting *setting);
void image_close(struct image *image);

/* The entry under test for an address at a level; NULL if the walk ends above. */
uint64_t *image_entry(const struct image *image, uint64_t address, unsigned level);

/* Makes `child` a tree in the same space that shares everything of the tree under test but the guest's equipment.
 * False: there was no room for it, and the child may be incomplete. image_adopt makes the child the tree under test. */
PT_CHECKED bool image_fork(struct image *image);
void image_adopt(struct image *image);

/* The entries under test for an address, from the top, as far as there are any. */
unsigned image_path(const struct image *image, uint64_t address, uint64_t *path[5]);

/* Does the guest's own equipment lie there? Neither mappings under test nor probes belong there. */
bool image_is_reserved(uint64_t address, uint64_t length);

/* Is this entry, in the tree under test, one that the guest needs to come to any access at all? */
bool image_is_vital(const struct image *image, const uint64_t *entry);

/* Adds a probe of the page at `address`, sign-extended if need be; the access fills in the offset in the page.
 * PROBE_READ and PROBE_WRITE become accesses to a device where there is no RAM. False: what the walk says it hits
 * cannot be told from its neighbours on this judge, so it was left out. */
bool image_probe(struct image *image, uint64_t address, enum probe_access access, unsigned flags);

/* Has the judge RAM there, for probes to hit? */
bool image_is_ram(const struct image *image, uint64_t hpa);

/* Bytes in a ROM, and writing them there: before any expectation is computed, because that sets A and D bits. */
size_t image_size(const struct image *image);
void image_write(const struct image *image, uint8_t *rom);

/* Where in image_write's bytes an entry lies. */
size_t image_offset(const struct image *image, const uint64_t *entry);

#endif
