/* Random operations on x86-64 tables of 4 levels against the segment model. */
#define PT_TEST_FORMAT x86
#define PT_TEST_LEVELS 4
#include "tests/model/ept_model_body.h"
