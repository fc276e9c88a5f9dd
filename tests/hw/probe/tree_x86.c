/* tree.h for x86-64 tables. */
#define PT_TEST_FORMAT x86
#include "tests/hw/probe/tree_body.h"
