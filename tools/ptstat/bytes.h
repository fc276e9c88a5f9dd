/* Byte sizes as people type and read them: "256M" on the command line, "256 MiB" in the table. Pure. */
#ifndef PTSTAT_BYTES_H
#define PTSTAT_BYTES_H

#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES UINT64_C(4096)

/*
 * Reads a decimal number with an optional suffix K, M or G (powers of 1024). 0; -EINVAL where text is anything else,
 * zero or no multiple of 4096; -ERANGE where it does not fit in 63 bits. *bytes is set only on success.
 */
__attribute__((warn_unused_result)) int bytes_parse(const char *text, uint64_t *bytes);

/* Writes the size in the largest unit that divides it, as "256 MiB", to text, and returns text. */
#define BYTES_TEXT 32
char *bytes_text(char text[BYTES_TEXT], uint64_t bytes);

/* The same as the option's argument, "256M". */
char *bytes_option(char text[BYTES_TEXT], uint64_t bytes);

#endif
