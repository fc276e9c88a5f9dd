/* vmctl snapshot-info and snapshot-verify: what a snapshot file is, and whether every byte of it and of what it builds
 * on is as it was written. Neither asks a VMM. */
#include "tools/vmctl/show.h"
#include "tools/vmctl/vmctl.h"

#include <cleave/snapshot.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int refuse(const struct snapshot_error *error)
{
    fprintf(stderr, "vmctl: %s\n", error->text);
    return -1;
}

/* Text that came from a file: JSON has no room for what is not UTF-8. */
static json_t *json_of(const char *text)
{
    json_t *string = json_string(text);
    char *copy = string ? NULL : strdup(text);
    if (!copy)
        return string;
    for (char *at = copy; *at; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    string = json_string(copy);
    free(copy);
    return string;
}

static json_t *json_identity(const struct snapshot_name *name)
{
    char text[2 * sizeof name->id + 1];
    for (size_t i = 0; i < sizeof name->id; i++)
        snprintf(text + 2 * i, 3, "%02x", name->id[i]);
    return json_string(text);
}

/* The twelve letters of CPUID leaf 0, as far as they are letters. */
static json_t *json_vendor(const struct snapshot_state *state)
{
    char text[13] = "";
    for (unsigned i = 0; i < state->cpuid_count; i++) {
        if (state->cpuid[i].function != 0)
            continue;
        memcpy(text, &state->cpuid[i].ebx, 4);
        memcpy(text + 4, &state->cpuid[i].edx, 4);
        memcpy(text + 8, &state->cpuid[i].ecx, 4);
        break;
    }
    for (char *at = text; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    return json_string(text);
}

static void add_data(json_t *info, const struct snapshot *snapshot)
{
    size_t count;
    const struct snapshot_run *runs = snapshot_runs(snapshot, &count);
    uint64_t pages = 0, zero_pages = 0, stored = 0, whole = 0;

    for (size_t i = 0; i < count; i++) {
        *(runs[i].offset ? &pages : &zero_pages) += runs[i].bytes / SNAPSHOT_PAGE;
        stored += runs[i].stored;
        whole += runs[i].offset && runs[i].bytes == SNAPSHOT_BLOCK;
    }
    if (snapshot_kind(snapshot) == SNAPSHOT_FULL)
        zero_pages = snapshot_state(snapshot)->machine.memory / SNAPSHOT_PAGE - pages;
    json_object_set_new(info, "pages", json_integer((json_int_t)pages));
    json_object_set_new(info, "zero_pages", json_integer((json_int_t)zero_pages));
    json_object_set_new(info, "data_bytes", json_integer((json_int_t)stored));
    json_object_set_new(info, "runs", json_integer((json_int_t)count));
    json_object_set_new(info, "whole_blocks", json_integer((json_int_t)whole));
}

/* Of a diff: what it builds on, and whether that can be had. */
static void add_parent(json_t *info, const struct snapshot *snapshot)
{
    struct snapshot_chain chain;
    struct snapshot_error error;
    bool found = snapshot_chain_open(&chain, snapshot_path(snapshot), &error) == 0;
    json_t *parent = json_pack("{s:o*, s:o*, s:b}", "path", json_of(snapshot_parent_path(snapshot)), "identity",
                               json_identity(snapshot_parent(snapshot)), "found", found);
    if (found) {
        json_object_set_new(parent, "file", json_of(snapshot_path(chain.files[chain.count - 2])));
        json_object_set_new(info, "chain", json_integer(chain.count));
        snapshot_chain_close(&chain);
    } else {
        json_object_set_new(parent, "error", json_of(error.text));
    }
    json_object_set_new(info, "parent", parent);
}

static json_t *info_of(const struct snapshot *snapshot)
{
    const struct snapshot_state *state = snapshot_state(snapshot);
    const struct snapshot_machine *machine = &state->machine;
    bool diff = snapshot_kind(snapshot) == SNAPSHOT_DIFF;
    json_t *info = json_pack(
        "{s:o*, s:s, s:o*, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o*, s:I}", "path",
        json_of(snapshot_path(snapshot)), "kind", diff ? "diff" : "full", "identity",
        json_identity(snapshot_name(snapshot)), "bytes", (json_int_t)snapshot_bytes(snapshot), "compressed",
        snapshot_compressed(snapshot), "saved_unix_ns", (json_int_t)machine->saved_unix_ns, "memory",
        (json_int_t)machine->memory, "vcpus", (json_int_t)machine->cpus, "guest", (json_int_t)machine->guest_id,
        "generation", (json_int_t)machine->generation, "clock_ns", (json_int_t)machine->clock_ns, "tsc_khz",
        (json_int_t)machine->tsc_khz, "processor", json_vendor(state), "cpuid_entries", (json_int_t)state->cpuid_count);
    if (info) {
        add_data(info, snapshot);
        if (diff)
            add_parent(info, snapshot);
    }
    return info;
}

/* A line of the table; control characters of the text, which may come from the file, become question marks. */
__attribute__((format(printf, 3, 4))) static void row(struct table *table, const char *name, const char *format, ...)
{
    char text[2 * SNAPSHOT_TEXT];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (unsigned char *at = (unsigned char *)text; *at; at++)
        if (*at < ' ' || *at == 127 || (at[0] == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0))
            *at = '?';
    table_add(table, name);
    table_add(table, text);
}

static void show_when(struct table *table, uint64_t unix_ns)
{
    time_t seconds = (time_t)(unix_ns / 1000000000);
    struct tm when;
    char text[64] = "?";
    if (gmtime_r(&seconds, &when))
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &when);
    row(table, "saved", "%s", text);
}

static void show_parent(struct table *table, const json_t *info)
{
    const json_t *parent = json_object_get(info, "parent");
    if (!parent)
        return;
    row(table, "parent", "%s", member_text(parent, "path"));
    row(table, "parent identity", "%s", member_text(parent, "identity"));
    if (member_true(parent, "found"))
        row(table, "parent file", "%s, one of %" PRIu64 " files in all", member_text(parent, "file"),
            member_number(info, "chain"));
    else
        row(table, "parent file", "not found: %s", member_text(parent, "error"));
}

static int show_info(const json_t *info)
{
    struct table *table = table_new(2);
    bool diff = json_object_get(info, "parent") != NULL;

    row(table, "file", "%s", member_text(info, "path"));
    row(table, "kind", "%s%s", member_text(info, "kind"), member_true(info, "compressed") ? ", compressed" : "");
    row(table, "identity", "%s", member_text(info, "identity"));
    show_parent(table, info);
    show_when(table, member_number(info, "saved_unix_ns"));
    row(table, "size", "%s, %s of it page data", size_words(member_number(info, "bytes")).text,
        size_words(member_number(info, "data_bytes")).text);
    row(table, "memory", "%s", size_words(member_number(info, "memory")).text);
    row(table, "pages", "%" PRIu64 " (%s) in %" PRIu64 " runs, %" PRIu64 " of them whole 2 MiB",
        member_number(info, "pages"), size_words(member_number(info, "pages") * SNAPSHOT_PAGE).text,
        member_number(info, "runs"), member_number(info, "whole_blocks"));
    row(table, diff ? "zero since parent" : "zero", "%" PRIu64 " pages (%s)", member_number(info, "zero_pages"),
        size_words(member_number(info, "zero_pages") * SNAPSHOT_PAGE).text);
    row(table, "vcpus", "%" PRIu64, member_number(info, "vcpus"));
    row(table, "processor", "%s, %" PRIu64 " CPUID entries, TSC %" PRIu64 " kHz", member_text(info, "processor"),
        member_number(info, "cpuid_entries"), member_number(info, "tsc_khz"));
    row(table, "guest", "%" PRIu64 ", generation %" PRIu64, member_number(info, "guest"),
        member_number(info, "generation"));
    row(table, "guest clock", "%s", time_words(member_number(info, "clock_ns")).text);
    return table_print(table);
}

int run_snapshot_info(struct client *client, const struct arguments *arguments)
{
    struct snapshot_error error;
    struct snapshot *snapshot = snapshot_open(arguments->file, &error);
    (void)client;
    if (!snapshot)
        return refuse(&error);
    json_t *info = info_of(snapshot);
    snapshot_close(snapshot);
    int result = !info ? -1 : arguments->json ? show_json(info) : show_info(info);
    json_decref(info);
    return result < 0 ? out_of_memory() : 0;
}

/* One after the other, the oldest first; a line for each. */
static int verify_files(const struct snapshot_chain *chain, const struct arguments *arguments)
{
    bool terminal = isatty(STDERR_FILENO);
    struct snapshot_error error;

    for (unsigned i = 0; i < chain->count; i++) {
        const struct snapshot *file = chain->files[i];
        struct words size = size_words(snapshot_bytes(file));
        if (terminal)
            fprintf(stderr, "\rreading file %u of %u, %s ...\033[K", i + 1, chain->count, size.text);
        int result = snapshot_verify(file, &error);
        if (terminal)
            fputs("\r\033[K", stderr);
        if (result < 0)
            return refuse(&error);
        if (!arguments->json) {
            show_guest_text(snapshot_path(file), strlen(snapshot_path(file)));
            printf(": good, %s\n", size.text);
            fflush(stdout);
        }
    }
    return 0;
}

static int show_verified(const struct snapshot_chain *chain)
{
    json_t *files = json_array();
    for (unsigned i = 0; i < chain->count; i++)
        json_array_append_new(files, json_pack("{s:o*, s:I}", "path", json_of(snapshot_path(chain->files[i])), "bytes",
                                               (json_int_t)snapshot_bytes(chain->files[i])));
    json_t *reply = json_pack("{s:o}", "good", files);
    int result = reply ? show_json(reply) : -1;
    json_decref(reply);
    return result;
}

int run_snapshot_verify(struct client *client, const struct arguments *arguments)
{
    struct snapshot_chain chain;
    struct snapshot_error error;
    (void)client;
    if (snapshot_chain_open(&chain, arguments->file, &error) < 0)
        return refuse(&error);
    int result = verify_files(&chain, arguments);
    if (result == 0 && arguments->json && show_verified(&chain) < 0)
        result = out_of_memory();
    snapshot_chain_close(&chain);
    return result;
}
