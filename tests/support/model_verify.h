/* Compares trees with their references through raw walks, and the library's own check and count with both. */
#ifndef TESTS_MODEL_VERIFY_H
#define TESTS_MODEL_VERIFY_H

#include "tests/support/model_lab.h"

/* The mappings around [start, end) of one tree. */
bool verify_range(struct lab *lab, unsigned tree, uint64_t start, uint64_t end);

/* Everything: all mappings, check, count, frames and tables. */
bool verify_all(struct lab *lab);

/* After all trees were destroyed: nothing is left. */
bool verify_nothing(struct lab *lab);

#endif
