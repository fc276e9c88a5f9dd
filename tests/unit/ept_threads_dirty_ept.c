/* A and D bits set by hardware while the tables change, on EPT. Run under ThreadSanitizer too. */
#define PT_TEST_FORMAT ept
#define PT_TEST_LEVELS 4
#include "tests/support/ept_cursor_fixture.h"

#include "tests/support/ept_threads_body.h"

#include "tests/support/ept_hardware_body.h"

#include "tests/support/ept_dirty_body.h"

#include "tests/support/ept_stalled_body.h"

#include "tests/support/ept_dirty_count_body.h"
