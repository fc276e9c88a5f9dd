/* Bytes of any kind as JSON strings, and back. New references; NULL when out of memory. */
#ifndef VMM_CONTROL_TEXT_H
#define VMM_CONTROL_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* As text: every byte that is not part of valid UTF-8 becomes U+FFFD. */
json_t *text_json(const char *bytes, size_t length);

/* As standard base64 with padding. */
json_t *base64_json(const unsigned char *bytes, size_t length);

/* The bytes that `length` characters of standard base64 with padding stand for: *count of them, into `bytes`, which has
 * room for BASE64_BYTES(length). False where it is none, or has bits set that stand for nothing. */
#define BASE64_BYTES(length) ((length) / 4 * 3)
bool base64_decode(const char *text, size_t length, unsigned char *bytes, size_t *count);

#endif
