/* What the library's operations cost on Intel EPT. */
#include <ept/ept.h>

#define PT_FORMAT ept
#include "tests/bench/operations.h"
