/* Sharing tables copy-on-write, on EPT of 4 levels. */
#define PT_TEST_FORMAT ept
#define PT_TEST_LEVELS 4
#include "tests/support/ept_cursor_fixture.h"

#include "tests/support/ept_picture_body.h"

#include "tests/support/ept_share_body.h"

#include "tests/support/ept_resolve_body.h"

#include "tests/support/ept_owner_body.h"

#include "tests/support/ept_private_body.h"
