/* vmctl write-memory and console-write: a file's bytes, or those of standard input, for a guest. */
#include "tools/vmctl/vmctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All of a file, or of standard input for "-"; the caller frees it. NULL after a line of error. */
static char *read_all(const char *path, size_t *length)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    char *bytes = NULL;
    size_t capacity = 0;
    *length = 0;
    while (file && !feof(file) && !ferror(file)) {
        capacity = 2 * capacity + 65536;
        char *grown = realloc(bytes, capacity);
        if (!grown) {
            errno = ENOMEM;
            break;
        }
        bytes = grown;
        *length += fread(bytes + *length, 1, capacity - *length, file);
    }
    const bool whole = file && feof(file) && !ferror(file);
    if (!whole) {
        fprintf(stderr, "vmctl: %s: %s\n", path, strerror(errno));
        free(bytes);
        bytes = NULL;
    }
    if (file && file != stdin)
        fclose(file);
    return bytes;
}

/* -1 where a command that returns nothing has failed; else says in JSON that it is done, where that is wanted. */
static int show_done(const struct arguments *arguments, const char *command, int result,
                     const struct client_error *error)
{
    if (result < 0)
        return print_error(command, error);
    return arguments->json ? show_reply(arguments, json_object(), show_nothing) : 0;
}

int run_write_memory(struct client *client, const struct arguments *arguments)
{
    struct client_error error;
    size_t length;
    char *bytes = read_all(arguments->file, &length);
    if (!bytes)
        return -1;
    const int result =
        client_write_memory(client, arguments->parameters[0], arguments->parameters[1], length, bytes, &error);
    free(bytes);
    return show_done(arguments, "write-memory", result, &error);
}

int run_console_write(struct client *client, const struct arguments *arguments)
{
    struct client_error error;
    size_t length;
    char *bytes = read_all(arguments->file, &length);
    if (!bytes)
        return -1;
    const int result = client_console_write(client, arguments->parameters[0], length, bytes, &error);
    free(bytes);
    return show_done(arguments, "console-write", result, &error);
}
