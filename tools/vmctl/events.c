/* vmctl events: what happens to the guests, one line each, as it happens. */
#include "tools/vmctl/show.h"
#include "tools/vmctl/vmctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void show_children(const json_t *data)
{
    size_t i;
    json_t *child;
    json_array_foreach(json_object_get(data, "children"), i, child)
        printf("%sg%" JSON_INTEGER_FORMAT, i ? " " : " into ", json_integer_value(child));
}

static void show_text(const char *text)
{
    show_guest_text(text, strlen(text));
}

/* " PATH 12 MiB of 256 MiB", " PATH", " PATH failed: WHY" */
static void show_snapshot(const json_t *data)
{
    putchar(' ');
    show_text(member_text(data, "path"));
    const char *error = member_text(data, "error");
    if (json_object_get(data, "of")) {
        printf(" %s", size_words(member_number(data, "bytes")).text);
        printf(" of %s", size_words(member_number(data, "of")).text);
    } else if (*error) {
        fputs(" failed: ", stdout);
        show_text(error);
    }
}

/* "   12.345678  g3  MARK 42". The time is the host's monotonic clock, in seconds. */
static void show_event(const json_t *event)
{
    const json_t *data = event_data(event);
    const char *name = event_name(event);
    uint64_t us = event_timestamp_ns(event) / 1000;
    printf("%8" PRIu64 ".%06" PRIu64 "  g%-4" PRId64 " %s", us / 1000000, us % 1000000, event_guest(event), name);
    const char *reason = member_text(data, "reason");
    if (strcmp(name, "MARK") == 0) {
        printf(" %" PRIu64, member_number(data, "value"));
    } else if (strcmp(name, "FORKED") == 0) {
        show_children(data);
    } else if (strcmp(name, "EXITED") == 0) {
        printf(" %s", end_words(data).text);
    } else if (json_object_get(data, "path")) {
        show_snapshot(data);
    } else if (*reason) {
        putchar(' ');
        show_text(reason);
    }
    putchar('\n');
}

int follow_events(struct client *client, bool json)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    json_t *event;
    while ((event = client_next_event(client, -1))) {
        if (json)
            show_json(event);
        else
            show_event(event);
        json_decref(event);
    }
    return 0;
}
