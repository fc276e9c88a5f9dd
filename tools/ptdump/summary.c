/* Summaries: see summary.h. */
#include "tools/ptdump/summary.h"

#include <inttypes.h>

/* The first walk into a table is the one to its first slot, or the very first one of all. */
static void count_tables(struct summary *summary, const struct slot *slot, const struct walk_answer *answer)
{
    for (unsigned i = 0; i < answer->nsteps; i++) {
        unsigned level = answer->steps[i].level;

        if (!summary->began || slot->start % pt_slot_size(level + 1) == 0) {
            summary->tables[level]++;
            summary->all_tables++;
        }
    }
}

void summary_add(void *context, const struct slot *slot, uint64_t count, const struct walk_answer *answer)
{
    struct summary *summary = context;

    if (answer)
        count_tables(summary, slot, answer);
    summary->began = true;
    if (slot->kind == SLOT_LEAF)
        summary->leaves[slot->level] += count;
    else if (slot->kind != SLOT_HOLE)
        summary->bad += count;
}

static void number(char text[24], bool known, uint64_t value, const char *unknown)
{
    snprintf(text, 24, "%" PRIu64, value);
    if (!known)
        snprintf(text, 24, "%s", unknown);
}

static void print_text(FILE *out, const struct summary *summary, uint64_t leaves, uint64_t bytes)
{
    char tables[24];

    fputs("LEVEL      TABLES      LEAVES            BYTES\n", out);
    for (unsigned level = summary->levels; level > 0; level--) {
        number(tables, summary->tables_by_level, summary->tables[level], "-");
        fprintf(out, "%-5u  %10s  %10" PRIu64 "  %15" PRIu64 "\n", level, tables, summary->leaves[level],
                summary->leaves[level] * pt_slot_size(level));
    }
    fprintf(out, "%-5s  %10" PRIu64 "  %10" PRIu64 "  %15" PRIu64 "\n", "all", summary->all_tables, leaves, bytes);
    if (summary->bad > 0)
        fprintf(out, "%" PRIu64 " entries are misconfigured or point outside the image\n", summary->bad);
}

static void print_json(FILE *out, const struct summary *summary, uint64_t leaves, uint64_t bytes)
{
    char tables[24];

    fputs("{\"levels\": [", out);
    for (unsigned level = summary->levels; level > 0; level--) {
        number(tables, summary->tables_by_level, summary->tables[level], "null");
        fprintf(out, "%s\n  {\"level\": %u, \"tables\": %s, \"leaves\": %" PRIu64 ", \"bytes\": %" PRIu64 "}",
                level < summary->levels ? "," : "", level, tables, summary->leaves[level],
                summary->leaves[level] * pt_slot_size(level));
    }
    fprintf(out,
            "\n ], \"tables\": %" PRIu64 ", \"leaves\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"bad\": %" PRIu64 "}\n",
            summary->all_tables, leaves, bytes, summary->bad);
}

void summary_print(FILE *out, bool json, const struct summary *summary)
{
    uint64_t leaves = 0, bytes = 0;

    for (unsigned level = 1; level <= summary->levels; level++) {
        leaves += summary->leaves[level];
        bytes += summary->leaves[level] * pt_slot_size(level);
    }
    if (json)
        print_json(out, summary, leaves, bytes);
    else
        print_text(out, summary, leaves, bytes);
}
