/* See batch.h. */
#include "tests/hw/probe/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/hw/probe/compare.h"
#include "tests/hw/rom/machine.h"

#define MOST_IMAGES       256u
#define DIFFERENCES_SHOWN 5u

static _Noreturn void die(const char *what, const char *which)
{
    fprintf(stderr, "%s: %s\n", which, what);
    exit(2);
}

void batch_open(struct batch *batch, const struct judge *judge, const char *core)
{
    FILE *file = fopen(core, "re");

    *batch = (struct batch){.judge = judge, .used = sizeof(struct probe_payload)};
    batch->images = calloc(MOST_IMAGES, sizeof(struct image *));
    batch->rom = calloc(1, ROM_SIZE);
    if (!batch->images || !batch->rom)
        die("no memory", judge->name);
    if (!file || fread(batch->rom + ROM_SIZE - CORE_SIZE, 1, CORE_SIZE, file) != CORE_SIZE)
        die("cannot be read; `make hw-programs` makes it", core);
    fclose(file);
}

bool batch_add(struct batch *batch, struct image *image)
{
    size_t size = image_size(image);
    struct probe_payload payload = {.magic = PROBE_MAGIC, .images = batch->count + 1};

    if (size > ROM_SIZE - CORE_SIZE - batch->used || batch->count == MOST_IMAGES)
        return false;
    image_write(image, batch->rom + batch->used);
    batch->images[batch->count++] = image;
    batch->used += size;
    memcpy(batch->rom, &payload, sizeof(payload));
    return true;
}

void batch_mutate(struct batch *batch, size_t image, const uint64_t *entry, uint64_t bits)
{
    size_t at = sizeof(struct probe_payload) + image_offset(batch->images[image], entry);
    uint64_t value;

    for (size_t i = 0; i < image; i++)
        at += image_size(batch->images[i]);
    memcpy(&value, batch->rom + at, sizeof(value));
    value ^= bits;
    memcpy(batch->rom + at, &value, sizeof(value));
}

void batch_start(struct batch *batch)
{
    judge_start(&batch->run, batch->judge, batch->rom);
}

/* What comes next from the ROM; too little of it is the ROM's fault, not the tables'. */
static void take(const struct judge_output *output, size_t *at, void *to, size_t size)
{
    if (output->size - *at < size)
        die("the ROM's answers break off", "probe");
    memcpy(to, output->bytes + *at, size);
    *at += size;
}

static void compare_sums(const struct image *image, const struct judge_output *output, size_t *at, struct tally *tally)
{
    for (unsigned which = 0; which < 2; which++) {
        const struct table_space *space = &image->spaces[which];

        for (uint64_t page = 0; page < space->arena.fresh; page++) {
            uint64_t sum;

            take(output, at, &sum, sizeof(sum));
            if (sum == probe_sum(space->entries + page * PT_ENTRIES))
                continue;
            tally->elsewhere++;
            printf("%s: the %s table at %#" PRIx64 " has changed off all probes' paths (image %" PRIu64 ")\n",
                   image->judge->name, which == PROBE_NESTED ? "nested" : "guest's",
                   space->arena.pa + page * PT_PAGE_SIZE, image->seed);
        }
    }
}

static void compare_image(struct image *image, const struct judge_output *output, size_t *at, struct tally *tally)
{
    uint64_t entries[5];
    uint8_t mark;

    take(output, at, &mark, sizeof(mark));
    if (mark != PROBE_IMAGE_MARK)
        die("the ROM's answers are not what was asked for", "probe");
    image->results = calloc(image->nprobes + 1, sizeof(*image->results));
    if (!image->results)
        die("no memory", "probe");
    for (size_t i = 0; i < image->nprobes; i++) {
        struct probe_result *result = &image->results[i];

        take(output, at, result, sizeof(*result));
        if (result->entries > 5)
            die("the ROM's answers are not what was asked for", "probe");
        take(output, at, entries, result->entries * sizeof(entries[0]));
        compare_probe(image, &image->probes[i], result, entries, tally);
    }
    compare_sums(image, output, at, tally);
    tally->images++;
}

void batch_finish(struct batch *batch, struct tally *tally)
{
    struct judge_output output;
    const uint8_t *start;
    size_t at;

    if (!judge_finish(&batch->run, &output))
        die((const char *)output.bytes, batch->judge->name);
    start = memmem(output.bytes, output.size, PROBE_START, strlen(PROBE_START));
    if (!start)
        die("the ROM did not begin", batch->judge->name);
    at = (size_t)(start - output.bytes) + strlen(PROBE_START);
    for (size_t i = 0; i < batch->count; i++)
        compare_image(batch->images[i], &output, &at, tally);
    free(output.bytes);
}

void batch_close(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        image_close(batch->images[i]);
    free(batch->images);
    free(batch->rom);
}

void tally_print(const struct tally *tally, const char *title)
{
    static const char *const quirks[QUIRKS] = {"bit 12 of 2 MiB EPT leaves", "walks told as writes alone",
                                               "reserved without P", "A before a fault"};

    printf("%s: %" PRIu64 " probes of %" PRIu64 " images: %" PRIu64 " accesses, %" PRIu64 " exceptions, %" PRIu64
           " violations, %" PRIu64 " misconfigurations, %" PRIu64 " nested faults",
           title, tally->probes, tally->images, tally->outcomes[PROBE_OK], tally->outcomes[PROBE_EXCEPTION],
           tally->outcomes[PROBE_VIOLATION], tally->outcomes[PROBE_MISCONFIG], tally->outcomes[PROBE_NESTED_FAULT]);
    for (unsigned i = 0; i < QUIRKS; i++)
        if (tally->quirks[i])
            printf("; %s: %" PRIu64, quirks[i], tally->quirks[i]);
    printf("; %" PRIu64 " differences\n", tally->differences);
    for (unsigned i = 0; i < tally->differences && i < DIFFERENCES_SHOWN; i++)
        fputs(tally->kept[i].text, stdout);
}
