/* Every operation at every edge, and failing at every call, on x86-64 tables of 4 levels. */
#define PT_TEST_FORMAT x86
#define PT_TEST_LEVELS 4
#include "tests/support/ept_cursor_fixture.h"

#include "tests/support/ept_picture_body.h"

#include "tests/support/ept_edges_body.h"

#include "tests/support/ept_edges_main_body.h"

#include "tests/support/ept_failure_body.h"
