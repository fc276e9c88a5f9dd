/* Bytes of any kind as JSON strings. New references; NULL when out of memory. */
#ifndef VMM_CONTROL_TEXT_H
#define VMM_CONTROL_TEXT_H

#include <jansson.h>
#include <stddef.h>

/* As text: every byte that is not part of valid UTF-8 becomes U+FFFD. */
json_t *text_json(const char *bytes, size_t length);

/* As standard base64 with padding. */
json_t *base64_json(const unsigned char *bytes, size_t length);

#endif
