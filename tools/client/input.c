/* Bytes for a guest through the control protocol, in as many calls as it takes. See client.h. */
#include "tools/client/client.h"

#include <stdlib.h>

/* The most bytes one write-memory takes, and one console-write. */
#define WRITE_MAX 65536
#define INPUT_MAX 4096

static void encode_group(const unsigned char bytes[3], char text[4])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned bits = (unsigned)bytes[0] << 16 | (unsigned)bytes[1] << 8 | bytes[2];
    for (unsigned i = 0; i < 4; i++)
        text[i] = digits[bits >> (18 - 6 * i) & 63];
}

char *client_base64_encode(const void *bytes, size_t length)
{
    char *text = malloc((length + 2) / 3 * 4 + 1), *out = text;
    if (!text)
        return NULL;
    const unsigned char *next = bytes;
    for (; length > 0; out += 4) {
        unsigned char group[3] = {0};
        const size_t count = length < 3 ? length : 3;
        for (size_t i = 0; i < count; i++)
            group[i] = next[i];
        encode_group(group, out);
        for (size_t i = count; i < 3; i++)
            out[i + 1] = '=';
        next += count;
        length -= count;
    }
    *out = '\0';
    return text;
}

/* Calls with the arguments, which are taken over, and these bytes as `data`. */
static int send_piece(struct client *client, const char *command, json_t *arguments, const void *bytes, size_t length,
                      struct client_error *error)
{
    char *text = client_base64_encode(bytes, length);
    const bool whole = text && arguments && json_object_set_new(arguments, "data", json_string(text)) == 0;
    free(text);
    if (whole)
        return client_call(client, command, arguments, NULL, error);
    json_decref(arguments);
    return client_fail(error, CLIENT_CONNECTION, "%s: out of memory", command);
}

int client_write_memory(struct client *client, uint64_t guest, uint64_t gpa, size_t length, const void *buffer,
                        struct client_error *error)
{
    for (const char *next = buffer; length > 0;) {
        const size_t piece = length < WRITE_MAX ? length : WRITE_MAX;
        json_t *arguments = json_pack("{s:I, s:I}", "guest", (json_int_t)guest, "gpa", (json_int_t)gpa);
        if (send_piece(client, "write-memory", arguments, next, piece, error) < 0)
            return -1;
        next += piece;
        gpa += piece;
        length -= piece;
    }
    return 0;
}

int client_console_write(struct client *client, uint64_t guest, size_t length, const void *buffer,
                         struct client_error *error)
{
    for (const char *next = buffer; length > 0;) {
        const size_t piece = length < INPUT_MAX ? length : INPUT_MAX;
        json_t *arguments = json_pack("{s:I}", "guest", (json_int_t)guest);
        if (send_piece(client, "console-write", arguments, next, piece, error) < 0)
            return -1;
        next += piece;
        length -= piece;
    }
    return 0;
}
