/* The bytes of snapshot files, to be changed with or without their checksums being made right again: for the tests of
 * hostile files and for the fuzzer. */
#ifndef TESTS_SUPPORT_SNAPSHOT_FORGE_H
#define TESTS_SUPPORT_SNAPSHOT_FORGE_H

#include "vmm/snapshot/layout.h"

struct forge {
    uint8_t *data;
    size_t bytes;
};

/* What they say holds of any bytes: nothing outside of them is touched. */
struct layout_header *forge_header(const struct forge *forge);                          /* NULL: too short */
struct layout_section *forge_section(const struct forge *forge, enum layout_type type); /* NULL: none */
void *forge_content(const struct forge *forge, const struct layout_section *section);   /* NULL: not in the file */
struct snapshot_run *forge_runs(const struct forge *forge, size_t *count);              /* NULL: none */

/* Makes every checksum right whose range lies in the file: of runs, then of sections, then of the header. */
void forge_repair(const struct forge *forge);

#endif
