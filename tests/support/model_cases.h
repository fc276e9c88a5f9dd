/* Short lists of operations that every format must run as the reference does: what once failed, and what is hard. */
#ifndef TESTS_MODEL_CASES_H
#define TESTS_MODEL_CASES_H

#include "tests/support/model_op.h"

size_t model_cases(void);
const char *model_case_name(size_t number);

/* Its operations are not the caller's. */
struct script model_case(size_t number);

#endif
