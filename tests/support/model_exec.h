/* Runs lists of operations on trees and on their references. */
#ifndef TESTS_MODEL_EXEC_H
#define TESTS_MODEL_EXEC_H

#include "tests/support/model_job.h"

/* Runs the script on new trees, destroys them, and answers whether all was as the model says; else the lab has the
 * failure and the step. `thorough`: everything is compared after each operation, not only around what it touched. */
bool model_run(struct lab *lab, const struct model_format *format, const struct script *script, bool thorough);

/* Operations of one kind, for model_run. */
bool exec_on_range(struct lab *lab, const struct op *op);
bool exec_on_pair(struct lab *lab, const struct op *op);
bool exec_lookup(struct lab *lab, const struct op *op);
bool exec_access(struct lab *lab, const struct op *op);
bool exec_sync(struct lab *lab, const struct op *op);
bool exec_remake(struct lab *lab, const struct op *op);

/* Where an operation works, with whatever its fields hold made possible. */
struct place {
    unsigned tree, gather;
    uint64_t start, end, claim_start, claim_end;
};
struct place exec_place(const struct lab *lab, const struct op *op);

/* The open session of the place, or a new one. */
bool exec_open(struct lab *lab, const struct place *place, const struct op *op, bool writes);

/* Claims with a cursor and its reference alike. */
bool exec_claim(struct lab *lab, struct pt_cursor *cursor, struct ref_cursor *ref, const struct place *place,
                bool writes);

/* Moves both to an address of the claim. */
bool exec_jump(struct lab *lab, struct pt_cursor *cursor, struct ref_cursor *ref, uint64_t address);

/* The arguments of the operation; the caller adds cursors. */
struct job exec_job(struct lab *lab, const struct op *op, const struct place *place);

/* Puts the operation's flaw into the arguments. False: it has none that concerns arguments, or none that matters. */
bool exec_flaw(const struct op *op, struct job *job);

#endif
