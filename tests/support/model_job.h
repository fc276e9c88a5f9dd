/* One call of the library and the same call of the reference, compared in all that they answer. */
#ifndef TESTS_MODEL_JOB_H
#define TESTS_MODEL_JOB_H

#include "tests/support/model_lab.h"

struct job {
    struct lab *lab;
    enum op_code code;
    enum op_fail fail; /* which hook is to fail */
    unsigned tree, source_tree;
    struct pt_cursor *cursor, *source; /* source: NULL where there is none */
    struct ref_cursor *ref, *ref_source;
    struct pt_range range;  /* what is compared afterwards */
    uint64_t source_offset; /* from there to the source's, modulo 2^64 */
    bool vague;             /* the cursor may hold tables that it has emptied: then holes may be reported smaller */
    bool alike;             /* the two trees can share tables */

    /* Arguments. */
    uint64_t length, hpa;
    unsigned level;
    pt_prop prop, bits;
    struct pt_change change, source_change;
    bool clearing;

    /* Answers. */
    struct pt_item item, ref_item;
    struct pt_range run, ref_run;
};

/* Runs both. Where a hook is to fail, the library's call is tried until it no longer meets a failure, and each time
 * must have changed nothing. False: they differ, see the lab's failure. */
bool job_run(struct job *job, enum pt_status *status);

/* Is the item what it should be? False: the lab has the failure. */
bool job_same_item(struct lab *lab, const struct pt_item *is, const struct pt_item *should, bool vague);

#endif
