/* Printing: see print.h. Leaves must come out to the letter as in ept/generic/dump.h, which a test holds them to. */
#include "tools/ptdump/print.h"
#include "tools/ptdump/decode.h"

#include <inttypes.h>
#include <string.h>

static const char *const kinds[] = {
    [SLOT_HOLE] = "hole",
    [SLOT_LEAF] = "leaf",
    [SLOT_MISCONFIGURED] = "misconfigured",
    [SLOT_OUTSIDE] = "table outside the image",
};

static const char *size_name(unsigned level)
{
    static const char *const names[PT_HUGE_LEVEL + 1] = {"?", "4K", "2M", "1G"};

    return names[level];
}

static uint64_t last_of(const struct slot *first, uint64_t count)
{
    return first->start + count * first->bytes - 1;
}

static void leaf_text(FILE *out, const struct slot *leaf, bool live)
{
    char rights[8], flags[8], soft[8];

    fprintf(out, " -> 0x%012" PRIx64 "  %s  %s  %s  %s", leaf->hpa, size_name(leaf->level),
            letters_of(leaf->prop, PT_R, "rwxu", rights), memory_type_word(leaf->prop),
            letters_of(leaf->prop, PT_A, "adgi", flags));
    if (!live)
        fprintf(out, "  %s%s%s", letters_of(leaf->prop, PT_SOFT0, "012", soft),
                (leaf->prop & PT_TRACKED) ? "  tracked" : "", (leaf->prop & PT_WRITABLE) ? "  writable" : "");
}

/* Over the columns of run_text. Letters of rights and flags stand over their places. */
static void heads_text(FILE *out, bool live)
{
    fprintf(out, "%-14s %-14s    %-14s  PG  RWXU  MT  ADGI%s\n", "FIRST", "LAST", "HPA", live ? "" : "  SW");
}

static void run_text(FILE *out, const struct slot *first, uint64_t count, bool live)
{
    fprintf(out, "0x%012" PRIx64 "-0x%012" PRIx64, first->start, last_of(first, count));
    if (first->kind == SLOT_LEAF)
        leaf_text(out, first, live);
    else
        fprintf(out, "  %s", kinds[first->kind]);
    if (first->kind == SLOT_MISCONFIGURED || first->kind == SLOT_OUTSIDE)
        fprintf(out, "  level %u entry 0x%016" PRIx64, first->level, first->entry);
    fputc('\n', out);
}

static const char *truth(pt_prop bit)
{
    return bit ? "true" : "false";
}

static void leaf_json(FILE *out, const struct slot *leaf, uint64_t count, bool live)
{
    char rights[8];

    fprintf(out,
            ", \"hpa\": \"0x%" PRIx64 "\", \"page\": \"%s\", \"count\": %" PRIu64 ", \"rights\": \"%s\", \"memory\": "
            "\"%s\", \"accessed\": %s, \"dirty\": %s",
            leaf->hpa, size_name(leaf->level), count, letters_of(leaf->prop, PT_R, "rwxu", rights),
            memory_type_word(leaf->prop), truth(leaf->prop & PT_A), truth(leaf->prop & PT_D));
    if (!live)
        fprintf(out, ", \"global\": %s, \"ipat\": %s, \"tracked\": %s, \"soft\": %u, \"writable\": %s",
                truth(leaf->prop & PT_G), truth(leaf->prop & PT_IPAT), truth(leaf->prop & PT_TRACKED),
                (unsigned)(leaf->prop / PT_SOFT0 & 7), truth(leaf->prop & PT_WRITABLE));
}

static void run_json(FILE *out, const struct slot *first, uint64_t count, bool live)
{
    fprintf(out, "{\"start\": \"0x%" PRIx64 "\", \"last\": \"0x%" PRIx64 "\"", first->start, last_of(first, count));
    if (first->kind == SLOT_LEAF)
        leaf_json(out, first, count, live);
    else
        fprintf(out, ", \"what\": \"%s\", \"level\": %u, \"entry\": \"0x%016" PRIx64 "\"", kinds[first->kind],
                first->level, first->entry);
    fputc('}', out);
}

/* Prints the run and begins another. */
static void flush_run(struct printer *printer)
{
    if (printer->count == 0)
        return;
    if (printer->json) {
        fputs(printer->began ? ",\n " : "[\n ", printer->out);
        run_json(printer->out, &printer->first, printer->count, printer->live);
    } else {
        if (printer->heads && !printer->began)
            heads_text(printer->out, printer->live);
        run_text(printer->out, &printer->first, printer->count, printer->live);
    }
    printer->began = true;
    printer->count = 0;
}

static bool continues(const struct printer *printer, const struct slot *slot)
{
    const struct slot *first = &printer->first;
    uint64_t length = printer->count * first->bytes;

    if (printer->count == 0 || first->kind != slot->kind || first->level != slot->level ||
        first->start + length != slot->start)
        return false;
    if (slot->kind != SLOT_LEAF)
        return first->entry == slot->entry;
    return first->prop == slot->prop && first->hpa + length == slot->hpa;
}

void printer_add(void *context, const struct slot *slot, uint64_t count, const struct walk_answer *answer)
{
    struct printer *printer = context;

    (void)answer;
    if (slot->kind == SLOT_HOLE)
        return;
    if (!continues(printer, slot)) {
        flush_run(printer);
        printer->first = *slot;
    }
    printer->count += count;
}

void printer_end(struct printer *printer)
{
    flush_run(printer);
    if (printer->json)
        fputs(printer->began ? "\n]\n" : "[]\n", printer->out);
}

/* What the entry of one step is; the last one is what the slot was found to be. */
static const char *step_words(enum pt_image_format format, const struct path *path, unsigned i, char text[128])
{
    const struct walk_step *step = &path->steps[i];
    bool last = i + 1 == path->count;

    if (last && path->slot.kind == SLOT_MISCONFIGURED)
        return kinds[SLOT_MISCONFIGURED];
    entry_words(format, step->entry, step->level, text, 96);
    if (last && path->slot.kind == SLOT_OUTSIDE)
        snprintf(text + strlen(text), 32, ", outside the image");
    return text;
}

static unsigned step_index(const struct path *path, unsigned i)
{
    return (unsigned)(path->address >> pt_slot_shift(path->steps[i].level)) & (PT_ENTRIES - 1);
}

static void path_text(FILE *out, enum pt_image_format format, const struct path *path)
{
    char text[128];

    heads_text(out, false);
    run_text(out, &path->slot, 1, false);
    if (path->slot.kind == SLOT_LEAF)
        fprintf(out, "0x%" PRIx64 " -> 0x%" PRIx64 "\n", path->address,
                path->slot.hpa + (path->address - path->slot.start));
    fputs("LEVEL  INDEX  ENTRY               MEANS\n", out);
    for (unsigned i = 0; i < path->count; i++)
        fprintf(out, "%-5u  %5u  0x%016" PRIx64 "  %s\n", path->steps[i].level, step_index(path, i),
                path->steps[i].entry, step_words(format, path, i, text));
}

static void path_json(FILE *out, enum pt_image_format format, const struct path *path)
{
    char text[128];

    fprintf(out, "{\"address\": \"0x%" PRIx64 "\", ", path->address);
    if (path->slot.kind == SLOT_LEAF)
        fprintf(out, "\"hpa\": \"0x%" PRIx64 "\", ", path->slot.hpa + (path->address - path->slot.start));
    fputs("\"slot\": ", out);
    run_json(out, &path->slot, 1, false);
    fputs(",\n \"steps\": [", out);
    for (unsigned i = 0; i < path->count; i++)
        fprintf(out, "%s\n  {\"level\": %u, \"index\": %u, \"entry\": \"0x%016" PRIx64 "\", \"means\": \"%s\"}",
                i ? "," : "", path->steps[i].level, step_index(path, i), path->steps[i].entry,
                step_words(format, path, i, text));
    fputs("\n ]}\n", out);
}

void print_path(FILE *out, bool json, enum pt_image_format format, const struct path *path)
{
    if (json)
        path_json(out, format, path);
    else
        path_text(out, format, path);
}
