/* Guest memory through the control protocol: base64, and reads longer than one call may be. See client.h. */
#include "tools/client/client.h"

#include <stdlib.h>
#include <string.h>

/* The most bytes one read-memory returns. */
#define READ_MAX 65536

/* The value of a digit, plus one; 0 for what is none. */
static const unsigned char digits[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

/* Decodes four digits into three bytes. False where one of them is none. */
static bool decode_group(const char text[4], unsigned char out[3])
{
    const unsigned a = digits[(unsigned char)text[0]], b = digits[(unsigned char)text[1]];
    const unsigned c = digits[(unsigned char)text[2]], d = digits[(unsigned char)text[3]];
    if (!a || !b || !c || !d)
        return false;
    const unsigned bits = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
    out[0] = (unsigned char)(bits >> 16);
    out[1] = (unsigned char)(bits >> 8);
    out[2] = (unsigned char)bits;
    return true;
}

/* The last four characters, of which one or two may be padding. The number of bytes; 0 where they are no base64. */
static size_t decode_last(const char text[4], unsigned char out[3])
{
    const size_t padding = text[3] != '=' ? 0 : text[2] != '=' ? 1 : 2;
    char padded[4] = {'A', 'A', 'A', 'A'};
    memcpy(padded, text, 4 - padding);
    return decode_group(padded, out) ? 3 - padding : 0;
}

/* The number of bytes that `groups` times four characters decode to, which is more than 0; 0 where they are no base64. */
static size_t decode(const char *text, size_t groups, unsigned char *out)
{
    const unsigned char *start = out;
    for (; groups > 1; groups--, text += 4, out += 3)
        if (!decode_group(text, out))
            return 0;
    const size_t rest = decode_last(text, out);
    return rest ? (size_t)(out - start) + rest : 0;
}

unsigned char *client_base64_decode(const char *text, size_t *length)
{
    const size_t characters = strlen(text);
    unsigned char *bytes = characters % 4 == 0 ? malloc(characters / 4 * 3 + 1) : NULL;
    if (!bytes)
        return NULL;
    *length = characters ? decode(text, characters / 4, bytes) : 0;
    if (characters && !*length) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

static int read_piece(struct client *client, uint64_t guest, uint64_t gpa, size_t length, void *buffer,
                      struct client_error *error)
{
    json_t *reply;
    if (client_callf(client, "read-memory", &reply, error, "{s:I, s:I, s:I}", "guest", (json_int_t)guest, "gpa",
                     (json_int_t)gpa, "length", (json_int_t)length) < 0)
        return -1;
    const char *text = json_string_value(json_object_get(reply, "data"));
    size_t decoded = 0;
    unsigned char *bytes = text ? client_base64_decode(text, &decoded) : NULL;
    json_decref(reply);
    bool whole = bytes && decoded == length;
    if (whole)
        memcpy(buffer, bytes, length);
    free(bytes);
    return whole ? 0
                 : client_fail(error, CLIENT_CONNECTION, "read-memory: the data is not %zu bytes of base64", length);
}

int client_read_memory(struct client *client, uint64_t guest, uint64_t gpa, size_t length, void *buffer,
                       struct client_error *error)
{
    unsigned char *next = buffer;
    while (length > 0) {
        size_t piece = length < READ_MAX ? length : READ_MAX;
        if (read_piece(client, guest, gpa, piece, next, error) < 0)
            return -1;
        next += piece;
        gpa += piece;
        length -= piece;
    }
    return 0;
}
