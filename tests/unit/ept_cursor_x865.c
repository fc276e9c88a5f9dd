/* Every cursor operation on x86-64 tables of 5 levels. */
#define PT_TEST_FORMAT x86
#define PT_TEST_LEVELS 5
#include "tests/support/ept_cursor_fixture.h"

#include "tests/support/ept_picture_body.h"

#include "tests/support/ept_config_body.h"

#include "tests/support/ept_map_body.h"

#include "tests/support/ept_change_body.h"

#include "tests/support/ept_refuse_body.h"

#include "tests/support/ept_flush_body.h"

#include "tests/support/ept_copy_body.h"
