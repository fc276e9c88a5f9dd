/* A live guest's view: see live.h. */
#include "tools/ptdump/live.h"
#include "tools/ptdump/decode.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAPPINGS_AT_ONCE 4096 /* the most that the protocol allows */

/* Makes a call; takes over the arguments. */
static int call(struct client *client, const char *command, json_t *arguments, json_t **reply)
{
    struct client_error error;

    if (client_call(client, command, arguments, reply, &error) == 0)
        return 0;
    if (strcmp(error.class, CLIENT_CONNECTION) == 0)
        fprintf(stderr, "ptdump: %s\n", error.text);
    else
        fprintf(stderr, "ptdump: %s failed: %s (%s)\n", command, error.text, error.class);
    return -1;
}

static int strange_reply(const char *command, const char *what)
{
    fprintf(stderr, "ptdump: %s: the VMM's reply makes no sense: %s\n", command, what);
    return -1;
}

static uint64_t member_number(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static pt_prop member_prop(const json_t *object, const char *key, pt_prop prop)
{
    return json_is_true(json_object_get(object, key)) ? prop : 0;
}

static pt_prop memory_type(const char *name)
{
    static const struct {
        const char *name;
        pt_prop type;
    } types[] = {{"WB", PT_WB}, {"WT", PT_WT}, {"WP", PT_WP}, {"WC", PT_WC}};

    for (size_t i = 0; name && i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    return PT_UC;
}

/* What mappings and translations say alike. False: that is no page size. */
static bool read_leaf(const json_t *object, uint64_t start, uint64_t hpa, struct slot *slot)
{
    uint64_t bytes = member_number(object, "page_size");

    *slot = (struct slot){.kind = SLOT_LEAF, .start = start, .bytes = bytes, .hpa = hpa};
    for (unsigned level = 1; level <= PT_HUGE_LEVEL; level++)
        if (bytes == pt_slot_size(level))
            slot->level = level;
    slot->prop = member_prop(object, "read", PT_R) | member_prop(object, "write", PT_W) |
                 member_prop(object, "execute", PT_X) | member_prop(object, "accessed", PT_A) |
                 member_prop(object, "dirty", PT_D) |
                 memory_type(json_string_value(json_object_get(object, "memory_type")));
    return slot->level > 0 && start % bytes == 0;
}

/* One reply: its mappings up to `last`, and where the next one is to begin; 0: nowhere. */
static int take_mappings(const json_t *reply, uint64_t last, slot_fn *fn, void *context, uint64_t *gpa)
{
    uint64_t from = *gpa;
    const json_t *mapping;
    struct slot slot;
    size_t i;

    *gpa = member_number(reply, "next");
    json_array_foreach(json_object_get(reply, "mappings"), i, mapping)
    {
        uint64_t start = member_number(mapping, "gpa"), bytes = member_number(mapping, "bytes"), pages;

        if (!read_leaf(mapping, start, member_number(mapping, "hpa"), &slot) || bytes == 0 || bytes % slot.bytes != 0)
            return strange_reply("query-mappings", "a page size");
        if (start > last) {
            *gpa = 0;
            return 0;
        }
        pages = (last - start) / slot.bytes + 1;
        fn(context, &slot, pages < bytes / slot.bytes ? pages : bytes / slot.bytes, NULL);
    }
    if (*gpa != 0 && *gpa <= from)
        return strange_reply("query-mappings", "it goes back");
    return 0;
}

int live_each(struct client *client, uint64_t guest, uint64_t start, uint64_t last, slot_fn *fn, void *context)
{
    uint64_t gpa = start;
    int result;

    do {
        json_t *reply, *arguments = json_pack("{s:I, s:I, s:i}", "guest", (json_int_t)guest, "gpa", (json_int_t)gpa,
                                              "count", MAPPINGS_AT_ONCE);

        if (call(client, "query-mappings", arguments, &reply) < 0)
            return -1;
        result = take_mappings(reply, last, fn, context, &gpa);
        json_decref(reply);
    } while (result == 0 && gpa != 0 && gpa <= last);
    return result;
}

/* Levels and entries of a translation. */
static int read_steps(const json_t *reply, struct path *path)
{
    const json_t *steps = json_object_get(reply, "steps"), *step;
    size_t i;

    path->count = (unsigned)json_array_size(steps);
    if (path->count == 0 || path->count > PT_MAX_LEVEL)
        return strange_reply("translate", "the number of steps");
    json_array_foreach(steps, i, step)
    {
        const char *entry = json_string_value(json_object_get(step, "entry"));
        uint64_t level = member_number(step, "level");

        if (!entry || level < 1 || level > PT_MAX_LEVEL)
            return strange_reply("translate", "a step");
        path->steps[i] = (struct walk_step){.level = (unsigned)level, .entry = strtoull(entry, NULL, 16)};
    }
    return 0;
}

int live_path(struct client *client, uint64_t guest, uint64_t address, struct path *path)
{
    struct slot *slot = &path->slot;
    const struct walk_step *last;
    json_t *reply;
    int result;

    if (call(client, "translate", json_pack("{s:I, s:I}", "guest", (json_int_t)guest, "gpa", (json_int_t)address),
             &reply) < 0)
        return -1;
    *path = (struct path){.address = address};
    result = read_steps(reply, path);
    if (result == 0) {
        uint64_t start = member_number(reply, "page_start");

        last = &path->steps[path->count - 1];
        *slot = (struct slot){.kind = SLOT_HOLE, .level = last->level, .bytes = pt_slot_size(last->level)};
        slot->start = address & ~(slot->bytes - 1);
        if (json_is_true(json_object_get(reply, "mapped")) &&
            !read_leaf(reply, start, member_number(reply, "hpa") - (address - start), slot))
            result = strange_reply("translate", "a page size");
        slot->entry = last->entry;
        slot->prop |= entry_prop(LIVE_FORMAT, last->entry) & (PT_TRACKED | PT_IPAT | PT_SOFT0 | PT_SOFT1 | PT_SOFT2);
    }
    json_decref(reply);
    return result;
}

int live_tables(struct client *client, uint64_t guest, uint64_t *tables)
{
    json_t *reply;

    if (call(client, "query-stats", json_pack("{s:I}", "guest", (json_int_t)guest), &reply) < 0)
        return -1;
    *tables = member_number(reply, "tables");
    json_decref(reply);
    return 0;
}
