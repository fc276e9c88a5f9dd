/* Guest memory through the control protocol: base64, and reads longer than one call may be. See client.h. */
#include "tools/client/client.h"

#include <stdlib.h>
#include <string.h>

/* The most bytes one read-memory returns. */
#define READ_MAX 65536

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes four characters, the last `padding` of which are '='. */
static bool decode_group(const char *text, unsigned padding, unsigned char *out)
{
    unsigned bits = 0;
    for (unsigned i = 0; i < 4; i++) {
        int value = i < 4 - padding ? digit_value(text[i]) : 0;
        if (value < 0)
            return false;
        bits = bits << 6 | (unsigned)value;
    }
    for (unsigned i = 0; i < 3 - padding; i++)
        out[i] = (unsigned char)(bits >> (16 - 8 * i));
    return true;
}

unsigned char *client_base64_decode(const char *text, size_t *length)
{
    size_t characters = strlen(text);
    if (characters % 4 != 0)
        return NULL;
    unsigned char *bytes = malloc(characters / 4 * 3 + 1);
    if (!bytes)
        return NULL;
    *length = 0;
    for (size_t i = 0; i < characters; i += 4) {
        unsigned padding = 0;
        if (i + 4 == characters && text[i + 3] == '=')
            padding = text[i + 2] == '=' ? 2 : 1;
        if (!decode_group(text + i, padding, bytes + *length)) {
            free(bytes);
            return NULL;
        }
        *length += 3 - padding;
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
