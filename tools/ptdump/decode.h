/* What the bits of an entry mean, as the processors' manuals say it: shares nothing with the code that makes entries.
 */
#ifndef PTDUMP_DECODE_H
#define PTDUMP_DECODE_H

#include <ept/image.h>

/* Does the entry map memory, if it is no hole, rather than point at a table? */
bool entry_is_leaf(uint64_t entry, unsigned level);

/* Does hardware go by the entry, or is it at least a mapping to the library (one without rights)? */
bool entry_is_live(enum pt_image_format format, uint64_t entry);

/* What it points at: a table, or memory aligned to the level. */
uint64_t entry_address(uint64_t entry, unsigned level);

/* Its properties, with its own rights. */
pt_prop entry_prop(enum pt_image_format format, uint64_t entry);

/* "table 0x5000, rwx-" or "leaf 0x200000, r-x-, wb, dirty" and so on. */
void entry_words(enum pt_image_format format, uint64_t entry, unsigned level, char *text, size_t room);

/* "uc" and so on, as the library's dump has it. */
const char *memory_type_word(pt_prop prop);

/* One letter for each property from `first` on, '-' where it is missing. */
const char *letters_of(pt_prop prop, pt_prop first, const char *letters, char text[8]);

#endif
