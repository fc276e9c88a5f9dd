/* vmctl console: what a guest has written last, and with --follow what it writes from then on. The protocol says only
 * what the last 64 KiB are, so that they are asked for again and again. */
#include "tools/vmctl/console_tail.h"
#include "tools/vmctl/show.h"
#include "tools/vmctl/vmctl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOOK_EVERY_MS 100

static int show_console(const json_t *reply)
{
    const json_t *text = json_object_get(reply, "text");
    if (json_is_string(text))
        show_guest_text(json_string_value(text), json_string_length(text));
    return 0;
}

/* What has been seen so far: the last reply, whose text up to `shown` is on stdout. */
struct follow {
    struct client *client;
    uint64_t guest;
    json_t *reply;
    size_t shown;
};

static const json_t *text_of(const json_t *reply)
{
    return json_object_get(reply, "text");
}

/* Shows what is new in the reply, which is taken over. The end of a character may still be on its way, but `at_end`.
 * How much it was. */
static size_t show_fresh(struct follow *follow, json_t *reply, bool at_end)
{
    const char *now = json_string_value(text_of(reply)), *old = json_string_value(text_of(follow->reply));
    size_t length = json_string_length(text_of(reply)), end = at_end ? length : tail_complete(now, length);
    bool missed;
    size_t from = tail_fresh(old, follow->shown, now, length, &missed);
    if (missed)
        fprintf(stderr, "vmctl: console: guest %llu wrote more than can be shown; some of it is left out\n",
                (unsigned long long)follow->guest);
    if (from > end)
        end = from;
    show_guest_text(now + from, end - from);
    fflush(stdout);
    json_decref(follow->reply);
    follow->reply = reply;
    follow->shown = end;
    return end - from;
}

/* The guest's console. 1, or 0 where the VMM has ended, or -1, having said why. */
static int look(const struct follow *follow, json_t **reply)
{
    struct client_error error;
    if (client_callf(follow->client, "query-console", reply, &error, "{s:I}", "guest", (json_int_t)follow->guest) ==
        0) {
        if (json_is_string(text_of(*reply)))
            return 1;
        json_decref(*reply);
        fprintf(stderr, "vmctl: console failed: the VMM's reply has no text\n");
        return -1;
    }
    return follow->reply && vmm_has_ended(follow->client) ? 0 : print_error("console", &error);
}

/* Can it never write again? */
static bool has_ended(const struct follow *follow)
{
    json_t *guests, *guest;
    bool ended = true; /* the VMM forgets about guests that ended long ago */
    size_t i;
    if (client_call(follow->client, "query-guests", NULL, &guests, NULL) < 0)
        return false;
    json_array_foreach(guests, i, guest) if (member_number(guest, "id") == follow->guest) ended =
        !json_is_null(json_object_get(guest, "reason")) && json_is_null(json_object_get(guest, "reset_to"));
    json_decref(guests);
    return ended;
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits, but goes on taking events: a client that does not is disconnected. */
static void wait_for_more(struct client *client)
{
    for (int64_t left, end = now_ms() + LOOK_EVERY_MS; (left = end - now_ms()) > 0 && !client_closed(client);)
        json_decref(client_next_event(client, (int)left));
}

/* The question whether it has ended comes before the look at what it wrote to its end. */
static int follow_console(struct client *client, uint64_t guest)
{
    struct follow follow = {.client = client, .guest = guest};
    json_t *reply;
    bool at_end = false;
    int result = look(&follow, &follow.reply);
    if (result <= 0)
        return result;
    reply = json_incref(follow.reply);
    for (;;) {
        bool is_still = show_fresh(&follow, reply, at_end) == 0;
        if (at_end)
            break;
        client_drop_events(client);
        at_end = is_still && has_ended(&follow);
        if (!at_end)
            wait_for_more(client);
        result = look(&follow, &reply);
        if (result <= 0)
            break;
    }
    json_decref(follow.reply);
    return result < 0 ? -1 : 0;
}

int run_console(struct client *client, const struct arguments *arguments)
{
    if (arguments->options & OPTION_FOLLOW)
        return follow_console(client, arguments->parameters[0]);
    return call_and_show(client, arguments, "query-console", guest_parameter(arguments), show_console);
}
