/* Fuzzes EPT of 4 levels. */
#define FUZZ_FORMAT model_ept
#include "tests/fuzz/target.h"
