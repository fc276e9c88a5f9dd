/* What the host and the command table say, as the JSON of the protocol: see values.h. */
#include "vmm/control/values.h"
#include "vmm/control/request.h"
#include "vmm/control/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* JSON integers are signed here; no quantity of the protocol comes near the limit. */
static json_int_t number(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : (json_int_t)value;
}

static json_t *capabilities(void)
{
    return json_pack("[s, s, s]", "fork", "checkpoint", "snapshot");
}

json_t *greeting_json(void)
{
    return json_pack("{s:{s:s, s:i, s:o}}", "VMM", "version", CLEAVE_VERSION, "protocol", CONTROL_PROTOCOL,
                     "capabilities", capabilities());
}

/* The words of a set whose bits are 1. NULL when out of memory. */
static json_t *set_json(const struct argument *argument, uint64_t bits)
{
    json_t *words = json_array();
    for (size_t i = 0; words && argument->choices[i]; i++)
        if (bits >> i & 1 && json_array_append_new(words, json_string(argument->choices[i])) < 0) {
            json_decref(words);
            return NULL;
        }
    return words;
}

static json_t *default_json(const struct argument *argument)
{
    if (argument->default_value == ARGUMENT_ABSENT)
        return json_null();
    switch (argument->type) {
    case ARGUMENT_BOOLEAN:
        return json_boolean(argument->default_value != 0);
    case ARGUMENT_CHOICE:
        return json_string(argument->choices[argument->default_value]);
    case ARGUMENT_SET:
        return set_json(argument, argument->default_value);
    case ARGUMENT_INTEGER:
    case ARGUMENT_TEXT:
    case ARGUMENT_DATA:
        break;
    }
    return json_integer(number(argument->default_value));
}

static json_t *argument_json(const struct argument *argument)
{
    bool ranged =
        argument->type == ARGUMENT_INTEGER || argument->type == ARGUMENT_TEXT || argument->type == ARGUMENT_DATA;
    return json_pack("{s:s, s:s, s:b, s:o*, s:o*, s:o*, s:o*}", "name", argument->name, "type",
                     argument_type_name(argument->type), "required", (int)argument->required, "default",
                     argument->required ? NULL : default_json(argument), "minimum",
                     ranged ? json_integer(number(argument->minimum)) : NULL, "maximum",
                     ranged ? json_integer(number(argument->maximum)) : NULL, "choices",
                     argument->choices ? set_json(argument, UINT64_MAX) : NULL);
}

json_t *command_json(const struct command *command)
{
    json_t *arguments = json_array();
    for (size_t i = 0; i < command->argument_count; i++)
        if (json_array_append_new(arguments, argument_json(&command->arguments[i])) < 0) {
            json_decref(arguments);
            return NULL;
        }
    return json_pack("{s:s, s:s, s:o}", "name", command->name, "description", command->description, "arguments",
                     arguments);
}

json_t *facts_json(const struct cleave_facts *facts)
{
    return json_pack("{s:s, s:i, s:o, s:i, s:o, s:o, s:I, s:I, s:I, s:I}", "version", CLEAVE_VERSION, "protocol",
                     CONTROL_PROTOCOL, "capabilities", capabilities(), "kvm_api_version", facts->kvm_api_version,
                     "kernel", text_json(facts->kernel, strlen(facts->kernel)), "cpu",
                     text_json(facts->cpu, strlen(facts->cpu)), "page_size", number(facts->page_size), "memory",
                     number(facts->memory), "vcpus", (json_int_t)facts->vcpus, "pool_ready",
                     (json_int_t)facts->pool_ready);
}

static const char *state_name(enum cleave_state state)
{
    static const char *const names[] = {
        [CLEAVE_RUNNING] = "running",
        [CLEAVE_PAUSED] = "paused",
        [CLEAVE_EXITED] = "exited",
        [CLEAVE_CRASHED] = "crashed",
    };
    return names[state];
}

static json_t *reset_target_json(enum cleave_reset_target target)
{
    static const char *const names[] = {
        [CLEAVE_RESET_TO_FORK] = "fork",
        [CLEAVE_RESET_TO_CHECKPOINT] = "checkpoint",
        [CLEAVE_RESET_TO_RESTORE] = "restore",
    };
    return target == CLEAVE_RESET_NOWHERE ? json_null() : json_string(names[target]);
}

json_t *guest_json(const struct cleave_guest_info *guest)
{
    return json_pack("{s:I, s:o, s:s, s:o, s:I, s:I, s:I, s:I, s:o, s:o}", "id", number(guest->id), "parent",
                     guest->has_parent ? json_integer(number(guest->parent)) : json_null(), "state",
                     state_name(guest->state), "reason", end_json(guest->end), "generation", number(guest->generation),
                     "vcpus", (json_int_t)guest->vcpus, "memory", number(guest->memory), "children",
                     (json_int_t)guest->children, "exit_code", exit_code_json(guest->end, guest->exit_code), "reset_to",
                     reset_target_json(guest->reset_to));
}

/* NULL when out of memory. */
static json_t *phases_json(const char *const names[], const uint64_t ns[], unsigned count)
{
    json_t *phases = json_object();
    for (unsigned i = 0; i < count; i++)
        if (json_object_set_new(phases, names[i], json_integer(number(ns[i]))) < 0) {
            json_decref(phases);
            return NULL;
        }
    return phases;
}

json_t *checkpoint_json(const struct cleave_checkpoint_report *report)
{
    return json_pack("{s:I, s:I}", "pause_ns", number(report->pause_ns), "published_pages",
                     number(report->published_pages));
}

json_t *reset_json(const struct cleave_reset_report *report)
{
    return json_pack("{s:I, s:I, s:o}", "dropped_pages", number(report->dropped_pages), "total_ns",
                     number(report->total_ns), "phases",
                     phases_json(cleave_reset_phase_names, report->phases_ns, CLEAVE_RESET_PHASES));
}

json_t *snapshot_json(const struct cleave_save_report *report)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "bytes", number(report->bytes), "pages", number(report->pages), "pause_ns",
                     number(report->pause_ns), "total_ns", number(report->total_ns));
}

json_t *restore_json(const struct cleave_restore_report *report)
{
    return json_pack("{s:I, s:I}", "id", number(report->id), "ready_ns", number(report->ready_ns));
}

json_t *fork_json(const struct cleave_fork_report *report)
{
    json_t *children = json_array();
    json_t *phases = phases_json(cleave_fork_phase_names, report->phases_ns, CLEAVE_FORK_PHASES);
    int result = children && phases ? 0 : -1;
    for (unsigned i = 0; i < report->count && result == 0; i++)
        result = json_array_append_new(children, json_pack("{s:I, s:I}", "id", number(report->children[i].id),
                                                           "ready_ns", number(report->children[i].ready_ns)));
    if (result < 0) {
        json_decref(children);
        json_decref(phases);
        return NULL;
    }
    return json_pack("{s:o, s:I, s:o, s:I}", "children", children, "pause_ns", number(report->pause_ns), "phases",
                     phases, "published_pages", number(report->published_pages));
}

json_t *stats_json(const struct cleave_stats *stats)
{
    json_t *object = json_object();
    for (size_t i = 0; i < stats->count; i++)
        if (json_object_set_new(object, stats->counters[i].name, json_integer(number(stats->counters[i].value))) < 0) {
            json_decref(object);
            return NULL;
        }
    return object;
}

/* A raw entry uses all 64 bits, more than every JSON reader keeps, so it travels as text. */
static json_t *step_json(const struct cleave_translation_step *step)
{
    char entry[19];
    snprintf(entry, sizeof entry, "0x%016" PRIx64, step->entry);
    return json_pack("{s:i, s:s}", "level", (int)step->level, "entry", entry);
}

json_t *translation_json(const struct cleave_translation *translation)
{
    json_t *steps = json_array();
    for (unsigned i = 0; i < translation->step_count; i++)
        if (json_array_append_new(steps, step_json(&translation->steps[i])) < 0) {
            json_decref(steps);
            return NULL;
        }
    if (!translation->mapped)
        return json_pack("{s:b, s:o}", "mapped", 0, "steps", steps);
    return json_pack("{s:b, s:o, s:I, s:I, s:I, s:b, s:b, s:b, s:b, s:b, s:s, s:s}", "mapped", 1, "steps", steps, "hpa",
                     number(translation->hpa), "page_start", number(translation->page_start), "page_size",
                     number(translation->page_size), "read", (int)translation->read, "write", (int)translation->write,
                     "execute", (int)translation->execute, "accessed", (int)translation->accessed, "dirty",
                     (int)translation->dirty, "memory_type", translation->memory_type, "backing", translation->backing);
}

static json_t *mapping_json(const struct cleave_mapping *mapping)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:b, s:b, s:b, s:b, s:b, s:s}", "gpa", number(mapping->gpa), "bytes",
                     number(mapping->bytes), "hpa", number(mapping->hpa), "page_size", number(mapping->page_size),
                     "read", (int)mapping->read, "write", (int)mapping->write, "execute", (int)mapping->execute,
                     "accessed", (int)mapping->accessed, "dirty", (int)mapping->dirty, "memory_type",
                     mapping->memory_type);
}

json_t *mappings_json(const struct cleave_mapping *list, size_t count, uint64_t next)
{
    json_t *mappings = json_array();
    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(mappings, mapping_json(&list[i])) < 0) {
            json_decref(mappings);
            return NULL;
        }
    return json_pack("{s:o, s:o*}", "mappings", mappings, "next", next ? json_integer(number(next)) : NULL);
}

json_t *mark_json(const struct cleave_mark *mark)
{
    return json_pack("{s:I, s:I}", "value", (json_int_t)mark->value, "timestamp_ns", number(mark->timestamp_ns));
}

static const char *event_kind_name(enum cleave_event_kind kind)
{
    static const char *const names[] = {
        [CLEAVE_EVENT_STARTED] = "STARTED",
        [CLEAVE_EVENT_PAUSED] = "PAUSED",
        [CLEAVE_EVENT_RESUMED] = "RESUMED",
        [CLEAVE_EVENT_FORKED] = "FORKED",
        [CLEAVE_EVENT_MARK] = "MARK",
        [CLEAVE_EVENT_READY] = "READY",
        [CLEAVE_EVENT_EXITED] = "EXITED",
        [CLEAVE_EVENT_CRASHED] = "CRASHED",
        [CLEAVE_EVENT_OVERLAY_LIMIT] = "OVERLAY_LIMIT",
        [CLEAVE_EVENT_RESET] = "RESET",
        [CLEAVE_EVENT_SNAPSHOT_PROGRESS] = "SNAPSHOT_PROGRESS",
        [CLEAVE_EVENT_SNAPSHOT_DONE] = "SNAPSHOT_DONE",
    };
    return names[kind];
}

static json_t *children_json(const struct cleave_event *event)
{
    json_t *children = json_array();
    for (unsigned i = 0; i < event->child_count; i++)
        if (json_array_append_new(children, json_integer(number(event->children[i]))) < 0) {
            json_decref(children);
            return NULL;
        }
    return children;
}

static json_t *event_data_json(const struct cleave_event *event)
{
    json_int_t guest = number(event->guest);
    const char *reason = event->reason ? event->reason : "";
    switch (event->kind) {
    case CLEAVE_EVENT_FORKED:
        return json_pack("{s:I, s:o}", "guest", guest, "children", children_json(event));
    case CLEAVE_EVENT_MARK:
    case CLEAVE_EVENT_READY:
        return json_pack("{s:I, s:I}", "guest", guest, "value", (json_int_t)event->mark);
    case CLEAVE_EVENT_EXITED:
        return json_pack("{s:I, s:o, s:o}", "guest", guest, "reason", end_json(event->end), "exit_code",
                         exit_code_json(event->end, event->exit_code));
    case CLEAVE_EVENT_CRASHED:
        return with_crash(json_pack("{s:I, s:o}", "guest", guest, "reason", text_json(reason, strlen(reason))),
                          event->crash);
    case CLEAVE_EVENT_OVERLAY_LIMIT:
        return json_pack("{s:I, s:I}", "guest", guest, "overlay_bytes", (json_int_t)event->overlay_bytes);
    case CLEAVE_EVENT_SNAPSHOT_PROGRESS:
        return json_pack("{s:I, s:o, s:I, s:I}", "guest", guest, "path", text_json(event->path, strlen(event->path)),
                         "bytes", number(event->bytes_done), "of", number(event->bytes_total));
    case CLEAVE_EVENT_SNAPSHOT_DONE:
        return json_pack("{s:I, s:o, s:o}", "guest", guest, "path", text_json(event->path, strlen(event->path)),
                         "error", event->reason ? text_json(reason, strlen(reason)) : json_null());
    case CLEAVE_EVENT_STARTED:
    case CLEAVE_EVENT_PAUSED:
    case CLEAVE_EVENT_RESUMED:
    case CLEAVE_EVENT_RESET:
        break;
    }
    return json_pack("{s:I}", "guest", guest);
}

json_t *event_json(const struct cleave_event *event)
{
    return json_pack("{s:s, s:o, s:I}", "event", event_kind_name(event->kind), "data", event_data_json(event),
                     "timestamp_ns", number(event->timestamp_ns));
}
