/* tree.h for Intel EPT. */
#define PT_TEST_FORMAT ept
#include "tests/hw/probe/tree_body.h"
