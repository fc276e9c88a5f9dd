/* vmctl kill: ends the guests that are named, or all there are. */
#include "tools/vmctl/show.h"
#include "tools/vmctl/vmctl.h"

#include <stdio.h>
#include <string.h>

#define ROUNDS_MAX 1000 /* for guests that fork themselves meanwhile */

static int kill_guest(struct client *client, const struct arguments *arguments, uint64_t guest)
{
    return call_and_show(client, arguments, "kill", json_pack("{s:I}", "guest", (json_int_t)guest), show_nothing);
}

/* It runs, is paused, or has ended and can be reset. */
static bool lives(const json_t *guest)
{
    return json_is_null(json_object_get(guest, "reason")) || !json_is_null(json_object_get(guest, "reset_to"));
}

/* Kills those of the list that live. Their number, or -1, having said why. One that ends by itself meanwhile has ended.
 */
static int kill_those(struct client *client, const struct arguments *arguments, const json_t *guests)
{
    struct client_error error;
    int killed = 0;
    size_t i;
    json_t *guest, *reply;
    json_array_foreach(guests, i, guest)
    {
        if (!lives(guest))
            continue;
        killed++;
        if (client_callf(client, "kill", &reply, &error, "{s:I}", "guest", (json_int_t)member_number(guest, "id")) ==
            0) {
            if (show_reply(arguments, reply, show_nothing) < 0)
                return -1;
        } else if (vmm_has_ended(client)) {
            return 0; /* it was the last, and the VMM has ended with it */
        } else if (strcmp(error.class, "GuestNotFound") != 0) {
            return print_error("kill", &error);
        }
    }
    return killed;
}

/* A guest may have forked itself before its turn came, so that there are new ones; children have higher numbers than
 * their parents, and so most are found at once. */
static int kill_all(struct client *client, const struct arguments *arguments)
{
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        json_t *guests;
        struct client_error error;
        if (client_call(client, "query-guests", NULL, &guests, &error) < 0)
            return round > 0 && vmm_has_ended(client) ? 0 : print_error("kill", &error);
        int killed = kill_those(client, arguments, guests);
        json_decref(guests);
        if (killed <= 0)
            return killed;
    }
    fprintf(stderr,
            "vmctl: kill: the guests fork themselves faster than they can be killed; 'vmctl quit' ends them all\n");
    return -1;
}

int run_kill(struct client *client, const struct arguments *arguments)
{
    int result = 0;
    if (arguments->options & OPTION_ALL)
        return kill_all(client, arguments);
    for (size_t i = 0; i < arguments->parameter_count; i++)
        if (kill_guest(client, arguments, arguments->parameters[i]) < 0)
            result = -1; /* the others are killed all the same */
    return result;
}
