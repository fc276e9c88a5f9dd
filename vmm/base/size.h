/* Sizes as people write them: 4096, 64K, 256M, 1G. */
#ifndef VMM_BASE_SIZE_H
#define VMM_BASE_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/* Parses a decimal number with an optional suffix K, M or G (powers of 1024). False for anything else, overflow
 * included. */
bool size_parse(const char *text, uint64_t *bytes);

#endif
