/* Sharing tables copy-on-write, on x86-64 tables of 5 levels. */
#define PT_TEST_FORMAT x86
#define PT_TEST_LEVELS 5
#include "tests/support/ept_cursor_fixture.h"

#include "tests/support/ept_picture_body.h"

#include "tests/support/ept_share_body.h"

#include "tests/support/ept_resolve_body.h"

#include "tests/support/ept_owner_body.h"

#include "tests/support/ept_private_body.h"
