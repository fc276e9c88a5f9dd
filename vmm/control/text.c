/* Bytes of any kind as JSON strings, and back: see text.h. */
#include "vmm/control/text.h"
#include "vmm/control/json_memory.h"

#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* The length of the UTF-8 sequence that `first` leads, and the range its second byte must be in; 0 if it leads none. */
static size_t sequence_length(unsigned char first, unsigned char *low, unsigned char *high)
{
    *low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;  /* nothing overlong */
    *high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF; /* no surrogates, nothing past U+10FFFF */
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        return 2;
    if (first >= 0xE0 && first <= 0xEF)
        return 3;
    return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

/* The length of the valid UTF-8 sequence at `bytes`, or 0. */
static size_t valid_sequence(const unsigned char *bytes, size_t left)
{
    unsigned char low, high;
    size_t length = sequence_length(bytes[0], &low, &high);
    if (length == 0 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if (bytes[i] < low || bytes[i] > high)
            return 0;
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

json_t *text_json(const char *bytes, size_t length)
{
    char *text = json_memory_take(length * strlen(REPLACEMENT) + 1);
    if (!text)
        return NULL;
    size_t used = 0;
    for (size_t i = 0; i < length;) {
        size_t valid = valid_sequence((const unsigned char *)bytes + i, length - i);
        size_t size = valid ? valid : strlen(REPLACEMENT);
        memcpy(text + used, valid ? bytes + i : REPLACEMENT, size);
        used += size;
        i += valid ? valid : 1;
    }
    json_t *string = json_stringn_nocheck(text, used);
    json_memory_give(text);
    return string;
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode_group(const unsigned char bytes[3], char text[4])
{
    const unsigned bits = (unsigned)bytes[0] << 16 | (unsigned)bytes[1] << 8 | bytes[2];
    text[0] = digits[bits >> 18];
    text[1] = digits[bits >> 12 & 63];
    text[2] = digits[bits >> 6 & 63];
    text[3] = digits[bits & 63];
}

json_t *base64_json(const unsigned char *bytes, size_t length)
{
    const size_t characters = (length + 2) / 3 * 4;
    char *text = json_memory_take(characters + 1);
    if (!text)
        return NULL;
    char *out = text;
    for (; length >= 3; length -= 3, bytes += 3, out += 4)
        encode_group(bytes, out);
    if (length > 0) {
        unsigned char last[3] = {0};
        memcpy(last, bytes, length);
        encode_group(last, out);
        memset(out + 1 + length, '=', 3 - length);
    }
    json_t *string = json_stringn_nocheck(text, characters);
    json_memory_give(text);
    return string;
}

/* The value of a digit; 64 for what is none. */
static unsigned digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (unsigned)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* Four characters, of which the first `digits_there` are digits and the others padding. False where they are not. */
static bool decode_group(const char *text, size_t digits_there, unsigned char bytes[3])
{
    unsigned bits = 0;
    for (size_t i = 0; i < 4; i++) {
        const unsigned value = i < digits_there ? digit_value(text[i]) : text[i] == '=' ? 0 : 64;
        if (value == 64)
            return false;
        bits = bits << 6 | value;
    }
    bytes[0] = (unsigned char)(bits >> 16);
    bytes[1] = (unsigned char)(bits >> 8);
    bytes[2] = (unsigned char)bits;
    return true;
}

bool base64_decode(const char *text, size_t length, unsigned char *bytes, size_t *count)
{
    *count = 0;
    if (length % 4 != 0)
        return false;
    for (; length > 4; length -= 4, text += 4, *count += 3)
        if (!decode_group(text, 4, bytes + *count))
            return false;
    if (length == 0)
        return true;
    const size_t there = text[3] != '=' ? 4 : text[2] != '=' ? 3 : 2;
    unsigned char last[3];
    if (!decode_group(text, there, last))
        return false;
    for (size_t i = there - 1; i < 3; i++)
        if (last[i] != 0)
            return false;
    memcpy(bytes + *count, last, there - 1);
    *count += there - 1;
    return true;
}
