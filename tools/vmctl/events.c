/* vmctl events: what happens to the guests, one line each, as it happens; and the marks that were made before. */
#include "tools/vmctl/show.h"
#include "tools/vmctl/vmctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char *const known[] = {
    "STARTED", "PAUSED",        "RESUMED",           "FORKED",        "RESET",  "MARK",
    "READY",   "OVERLAY_LIMIT", "SNAPSHOT_PROGRESS", "SNAPSHOT_DONE", "EXITED", "CRASHED"};

#define KNOWN_COUNT (sizeof known / sizeof *known)

void print_event_names(FILE *to)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        fprintf(to, "%s%s", i ? ", " : "", known[i]);
}

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
    if (strcmp(name, "MARK") == 0 || strcmp(name, "READY") == 0) {
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

static bool names_are_known(const struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->parameter_count; i++) {
        size_t k = 0;
        while (k < KNOWN_COUNT && strcasecmp(known[k], arguments->words[i]) != 0)
            k++;
        if (k < KNOWN_COUNT)
            continue;
        fprintf(stderr, "vmctl: events: no event \"%s\"; there are ", arguments->words[i]);
        print_event_names(stderr);
        fputc('\n', stderr);
        return false;
    }
    return true;
}

static bool is_asked_for(const struct arguments *arguments, const char *name, int64_t guest)
{
    if (arguments->options & OPTION_GUEST && guest != (int64_t)arguments->guest)
        return false;
    for (size_t i = 0; i < arguments->parameter_count; i++)
        if (strcasecmp(arguments->words[i], name) == 0)
            return true;
    return arguments->parameter_count == 0;
}

static void show(const struct arguments *arguments, const json_t *event)
{
    if (arguments->json)
        show_json(event);
    else
        show_event(event);
}

/* The marks from before, as the events that they were. */
struct past {
    json_t *events; /* an array */
    json_t *last;   /* of each guest, by its number as text: when it made the last of them */
};

static void note_last(struct past *past, int64_t guest, json_t *timestamp)
{
    char key[24];
    snprintf(key, sizeof key, "%" PRId64, guest);
    json_object_set(past->last, key, timestamp);
}

/* Is it a mark that was among them? Events that come while marks are asked for are seen twice. */
static bool is_past(const struct past *past, const json_t *event)
{
    char key[24];
    snprintf(key, sizeof key, "%" PRId64, event_guest(event));
    const json_t *last = json_object_get(past->last, key);
    return last && strcmp(event_name(event), "MARK") == 0 &&
           event_timestamp_ns(event) <= (uint64_t)json_integer_value(last);
}

static int add_marks(struct client *client, struct past *past, int64_t guest)
{
    json_t *marks, *mark;
    size_t i;
    struct client_error error;
    if (client_callf(client, "query-marks", &marks, &error, "{s:I}", "guest", (json_int_t)guest) < 0)
        return strcmp(error.class, "GuestNotFound") == 0 ? 0 : print_error("events", &error);
    json_array_foreach(marks, i, mark)
    {
        json_t *when = json_object_get(mark, "timestamp_ns");
        json_t *event = json_pack("{s:s, s:{s:I, s:O}, s:O}", "event", "MARK", "data", "guest", (json_int_t)guest,
                                  "value", json_object_get(mark, "value"), "timestamp_ns", when);
        if (!event || json_array_append_new(past->events, event) < 0) {
            json_decref(marks);
            return out_of_memory();
        }
        note_last(past, guest, when);
    }
    json_decref(marks);
    return 0;
}

static int by_time(const void *a, const void *b)
{
    uint64_t first = event_timestamp_ns(*(json_t *const *)a), second = event_timestamp_ns(*(json_t *const *)b);
    return first < second ? -1 : first > second;
}

static int show_in_order(const struct arguments *arguments, const json_t *events)
{
    size_t count = json_array_size(events);
    const json_t **sorted = calloc(count + 1, sizeof(json_t *));
    if (!sorted)
        return out_of_memory();
    for (size_t i = 0; i < count; i++)
        sorted[i] = json_array_get(events, i);
    qsort(sorted, count, sizeof(json_t *), by_time);
    for (size_t i = 0; i < count; i++)
        show(arguments, sorted[i]);
    free(sorted);
    return 0;
}

static int show_past(struct client *client, const struct arguments *arguments, struct past *past)
{
    json_t *guests, *guest;
    size_t i;
    struct client_error error;
    if (client_call(client, "query-guests", NULL, &guests, &error) < 0)
        return print_error("events", &error);
    int result = 0;
    json_array_foreach(guests, i, guest)
    {
        int64_t id = (int64_t)member_number(guest, "id");
        if (result == 0 && is_asked_for(arguments, "MARK", id))
            result = add_marks(client, past, id);
    }
    json_decref(guests);
    if (result == 0)
        result = show_in_order(arguments, past->events);
    json_decref(past->events);
    past->events = NULL;
    return result;
}

int run_events(struct client *client, const struct arguments *arguments)
{
    struct past past = {.events = json_array(), .last = json_object()};
    json_t *event;
    if (!names_are_known(arguments))
        return EXIT_USAGE;
    if (!past.events || !past.last)
        return out_of_memory();
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (arguments->options & OPTION_PAST && show_past(client, arguments, &past) < 0)
        return -1;
    if (!(arguments->options & OPTION_PAST) && isatty(STDERR_FILENO))
        fprintf(stderr, "From now on; marks that were made before are shown with --past, or by 'vmctl marks GUEST'.\n");
    while ((event = client_next_event(client, -1))) {
        const char *name = event_name(event);
        if (name && is_asked_for(arguments, name, event_guest(event)) && !is_past(&past, event))
            show(arguments, event);
        json_decref(event);
    }
    json_decref(past.last);
    return 0;
}
