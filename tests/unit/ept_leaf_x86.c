/* Leaves split, collapsed, harvested, looked up and decoded, on x86-64 tables of 4 levels. */
#define PT_TEST_FORMAT x86
#define PT_TEST_LEVELS 4
#include "tests/support/ept_cursor_fixture.h"

#include "tests/support/ept_picture_body.h"

#include "tests/support/ept_leaf_body.h"

#include "tests/support/ept_harvest_body.h"

#include "tests/support/ept_lookup_body.h"

#include "tests/support/ept_decode_body.h"
