/* Random operations on EPT of 4 levels against the segment model. */
#define PT_TEST_FORMAT ept
#define PT_TEST_LEVELS 4
#include "tests/model/ept_model_body.h"
