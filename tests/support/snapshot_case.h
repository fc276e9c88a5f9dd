/* A machine's memory and state to save, and a folder to save it in: what the tests of snapshot files share. Every
 * function ends the test with a message where what it does goes wrong. */
#ifndef TESTS_SUPPORT_SNAPSHOT_CASE_H
#define TESTS_SUPPORT_SNAPSHOT_CASE_H

#include <check.h>
#include <cleave/snapshot.h>

#include "tests/support/snapshot_forge.h"

#define CASE_PATH 256
#define CASE_MIB  (UINT64_C(1) << 20)

struct snapshot_case {
    char folder[CASE_PATH];
    uint64_t memory;
    int fd;       /* a memfd of that size */
    uint8_t *ram; /* mapped */
    struct snapshot_state state;
    struct snapshot_cpuid cpuid[3];
    struct snapshot_source whole; /* all of the memory */
    uint64_t random;
};

void case_open(struct snapshot_case *c, uint64_t memory, unsigned cpus);
/* Removes the folder, in which there must be no hidden files. */
void case_close(struct snapshot_case *c);

uint64_t case_random(struct snapshot_case *c, uint64_t limit);

/* The path of a file in the folder, which stands until 64 more have been asked for. */
const char *case_path(const struct snapshot_case *c, const char *name);

/* From here on what modes of files say holds for this process, though it be root's. */
void case_obey_modes(void);

/* Files in the folder, those of hidden names among them. */
unsigned case_files(const struct snapshot_case *c, unsigned *hidden);

/* Some pages of the memory change: to something, to zero, to a hole; at times a block of 2 MiB. Each is marked in
 * `dirty`, a byte a page, which may be NULL. */
void case_scribble(struct snapshot_case *c, unsigned changes, uint8_t *dirty);
void case_fill(struct snapshot_case *c, uint64_t gpa, uint64_t bytes);
void case_punch(struct snapshot_case *c, uint64_t gpa, uint64_t bytes);

/* A full snapshot of all memory; its fields can be changed. */
struct snapshot_job case_job(const struct snapshot_case *c, const char *path);
struct snapshot_result case_save(const struct snapshot_job *job);

/* A diff of the pages marked in `dirty`, which is cleared. */
struct snapshot_result case_save_diff(struct snapshot_case *c, const char *path, const struct snapshot_lineage *parent,
                                      const char *parent_path, uint8_t *dirty, bool compress);

struct snapshot *case_snapshot(const char *path); /* opened */
struct snapshot_chain case_chain(const char *path);

/* The chain's memory, loaded and by its extents, is what is given; verified. */
void case_expect(const char *path, const uint8_t *ram, uint64_t memory);
void case_expect_state(const struct snapshot_state *got, const struct snapshot_state *wanted);

struct forge case_read(const char *path);
void case_write(const char *path, const struct forge *forge);

#endif
