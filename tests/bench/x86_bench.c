/* What the library's operations cost on x86-64 long-mode tables, which are also AMD's nested page tables. */
#include <ept/x86.h>

#define PT_FORMAT x86
#include "tests/bench/operations.h"
