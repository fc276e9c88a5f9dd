/* Written scenarios: tables made by hand or by the library, and for each access what the manuals say it gives, in so
 * many words. Each runs on several emulated processors; the processor, the software walk and the statement must agree.
 */
#ifndef TESTS_HW_PROBE_SCENARIO_H
#define TESTS_HW_PROBE_SCENARIO_H

#include "tests/hw/probe/image.h"

#define KIB4 ((uint64_t)1 << 12)
#define MIB1 ((uint64_t)1 << 20)
#define MIB2 ((uint64_t)1 << 21)
#define GIB1 ((uint64_t)1 << 30)

#define SCENARIO_STATEMENTS 2048u

struct statement {
    enum probe_outcome outcome;
    uint64_t code;     /* the frame, the qualification, EXITINFO1 or the error code */
    unsigned vector;   /* PROBE_EXCEPTION */
    const char *marks; /* see state_marks; NULL: nothing said */
};

struct scenario {
    const char *name;
    struct image *image;
    const struct judge *judge;
    unsigned flags;                                   /* of the next probes; at first WP, NXE and CPL 0 */
    struct statement statements[SCENARIO_STATEMENTS]; /* by probe */
};

typedef void (*scenario_fn)(struct scenario *scenario);

struct scenario_row {
    const char *name;
    scenario_fn build;
    unsigned judge_set;           /* bits by enum judge_name: runs on each of these */
    struct image_setting setting; /* levels 0: as many as the judge has */
};

/* A test program of these: each row is one Check test. Answers main's exit status. */
int scenario_main(const char *suite, const struct scenario_row *rows, size_t count);

/* Mappings that must work. */
void scenario_map(struct scenario *scenario, uint64_t at, uint64_t hpa, unsigned level, pt_prop prop);

/* Changes an entry by hand: entry = (entry & ~clear) | set. */
void scenario_edit(struct scenario *scenario, uint64_t at, unsigned level, uint64_t clear, uint64_t set);

/* The access comes through, to this frame. For PROBE_WALK the frame is not told: 0. */
void state_frame(struct scenario *scenario, uint64_t at, enum probe_access access, uint64_t frame);

/* It ends in what the tables under test answer with: an EPT violation with this qualification, a nested page fault with
 * this EXITINFO1, or a page fault with this error code. */
void state_fault(struct scenario *scenario, uint64_t at, enum probe_access access, uint64_t code);
void state_misconfig(struct scenario *scenario, uint64_t at, enum probe_access access);

/* It ends in a general-protection exception. */
void state_protection(struct scenario *scenario, uint64_t at, enum probe_access access);

/* Of the last access: what the entries have afterwards, from the top: - neither, A accessed, D dirty and accessed. */
void state_marks(struct scenario *scenario, const char *marks);

#endif
