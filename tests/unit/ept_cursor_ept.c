/* Every cursor operation on EPT of 4 levels. */
#define PT_TEST_FORMAT ept
#define PT_TEST_LEVELS 4
#include "tests/support/ept_cursor_fixture.h"

#include "tests/support/ept_picture_body.h"

#include "tests/support/ept_config_body.h"

#include "tests/support/ept_map_body.h"

#include "tests/support/ept_change_body.h"

#include "tests/support/ept_refuse_body.h"

#include "tests/support/ept_flush_body.h"

#include "tests/support/ept_copy_body.h"
