/* Fuzzes x86-64 tables of 5 levels. */
#define FUZZ_FORMAT model_x86_5
#include "tests/fuzz/target.h"
