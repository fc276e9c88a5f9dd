/* Random operations on x86-64 tables of 5 levels against the segment model. */
#define PT_TEST_FORMAT x86
#define PT_TEST_LEVELS 5
#include "tests/model/ept_model_body.h"
