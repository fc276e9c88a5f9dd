/* Fuzzes x86-64 tables of 4 levels. */
#define FUZZ_FORMAT model_x86
#include "tests/fuzz/target.h"
