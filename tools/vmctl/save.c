/* vmctl snapshot and restore: guests into files, with a line on the terminal that says how far it is, and back. */
#include "tools/vmctl/show.h"
#include "tools/vmctl/vmctl.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The file's path as a new JSON string that means the same in the VMM's directory, which may be another. NULL, having
 * said why. */
static json_t *absolute_path(const char *file)
{
    static char path[2 * PATH_MAX];
    char directory[PATH_MAX] = "";
    if (*file && *file != '/' && !getcwd(directory, sizeof directory)) {
        fprintf(stderr, "vmctl: the current directory: %s\n", strerror(errno));
        return NULL;
    }
    snprintf(path, sizeof path, "%s%s%s", directory, *directory ? "/" : "", file);
    json_t *string = json_string(path);
    if (!string)
        fprintf(stderr, "vmctl: the file's name is not UTF-8, which the control protocol cannot say; rename it\n");
    return string;
}

/* Which snapshot's progress is shown. */
struct progress {
    uint64_t guest;
    const char *path;
    bool shown; /* something of it is on the terminal */
};

static void on_event(void *context, const json_t *event)
{
    struct progress *progress = context;
    const json_t *data = event_data(event);
    const char *name = event_name(event);
    if (!name || strcmp(name, "SNAPSHOT_PROGRESS") != 0 || event_guest(event) != (int64_t)progress->guest ||
        strcmp(member_text(data, "path"), progress->path) != 0)
        return;
    uint64_t done = member_number(data, "bytes"), all = member_number(data, "of");
    fprintf(stderr, "\r%3.0f %% of %s\033[K", all ? 100 * (double)done / (double)all : 100, size_words(all).text);
    fflush(stderr);
    progress->shown = true;
}

static int show_snapshot(const json_t *report)
{
    printf("saved %" PRIu64 " pages in %s of file in %s\n", member_number(report, "pages"),
           size_words(member_number(report, "bytes")).text, time_words(member_number(report, "total_ns")).text);
    printf("paused for %s\n", time_words(member_number(report, "pause_ns")).text);
    return 0;
}

int run_snapshot(struct client *client, const struct arguments *arguments)
{
    json_t *path = absolute_path(arguments->file);
    if (!path)
        return -1;
    struct progress progress = {.guest = arguments->parameters[0], .path = json_string_value(path)};
    if (!arguments->json && isatty(STDERR_FILENO))
        client_on_event(client, on_event, &progress);
    client_set_timeout(client, -1); /* large files take their time */
    json_t *kind = arguments->options & OPTION_DIFF ? json_string("diff") : NULL;
    json_t *compress = arguments->options & OPTION_COMPRESS ? json_true() : NULL;
    json_t *parameters = json_pack("{s:I, s:O, s:o*, s:o*}", "guest", (json_int_t)arguments->parameters[0], "path",
                                   path, "kind", kind, "compress", compress);
    json_t *reply;
    struct client_error error;
    int result = client_call(client, "snapshot", parameters, &reply, &error);
    if (progress.shown)
        fputs("\r\033[K", stderr);
    client_on_event(client, NULL, NULL);
    json_decref(path);
    return result < 0 ? print_error("snapshot", &error) : show_reply(arguments, reply, show_snapshot);
}

static int show_restore(const json_t *report)
{
    uint64_t ready_ns = member_number(report, "ready_ns");
    printf("g%" PRIu64 " ", member_number(report, "id"));
    if (ready_ns)
        printf("ready after %s\n", time_words(ready_ns).text);
    else
        printf("(paused)\n");
    return 0;
}

int run_restore(struct client *client, const struct arguments *arguments)
{
    json_t *path = absolute_path(arguments->file);
    if (!path)
        return -1;
    client_set_timeout(client, -1);
    json_t *paused = arguments->options & OPTION_PAUSED ? json_true() : NULL;
    json_t *eager = arguments->options & OPTION_EAGER ? json_true() : NULL;
    json_t *parameters = json_pack("{s:o, s:o*, s:o*}", "path", path, "paused", paused, "eager", eager);
    return call_and_show(client, arguments, "restore", parameters, show_restore);
}
