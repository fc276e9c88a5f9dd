/* The random tests of one format as a Check program. Environment: RUNS and STEPS set how many runs and how many
 * operations each, SEED repeats one run. */
#ifndef TESTS_MODEL_DRIVER_H
#define TESTS_MODEL_DRIVER_H

#include "tests/support/model_exec.h"

int model_main(const struct model_format *format);

/* Shortens a script that fails, and prints what is left with its failure. Each try runs in a process of its own. */
void model_explain(const struct model_format *format, struct script *script);

#endif
