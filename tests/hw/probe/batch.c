/* See batch.h. */
#include "tests/hw/probe/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/hw/probe/compare.h"
#include "tests/hw/rom/machine.h"

#define CORE              "build/tests/hw/probe.rom" /* as other test programs: from the repository's root */
#define MOST_IMAGES       256u
#define DIFFERENCES_SHOWN 5u
#define COMPLAINT         1000u /* of what an emulator said, so much of the end */

static _Noreturn void die(const char *what, const char *which)
{
    fprintf(stderr, "%s: %s\n", which, what);
    exit(2);
}

void batch_open(struct batch *batch, const struct judge *judge)
{
    FILE *file = fopen(CORE, "re");

    *batch = (struct batch){.judge = judge, .used = sizeof(struct probe_payload)};
    batch->images = calloc(MOST_IMAGES, sizeof(struct image *));
    batch->rom = calloc(1, ROM_SIZE);
    if (!batch->images || !batch->rom)
        die("no memory", judge->name);
    if (!file || fread(batch->rom + ROM_SIZE - CORE_SIZE, 1, CORE_SIZE, file) != CORE_SIZE)
        die("cannot be read; `make hw-programs` makes it", CORE);
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

/* Where probes differ, the tables do too, and that has been told. */
static void compare_sums(const struct image *image, const struct judge_output *output, size_t *at, bool tell,
                         struct tally *tally)
{
    for (unsigned which = 0; which < 2; which++) {
        const struct table_space *space = &image->spaces[which];

        for (uint64_t page = 0; page < space->arena.fresh; page++) {
            uint64_t sum;

            take(output, at, &sum, sizeof(sum));
            if (!tell || sum == probe_sum(space->entries + page * PT_ENTRIES))
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
    uint64_t before = tally->differences;
    uint8_t mark;

    take(output, at, &mark, sizeof(mark));
    if (mark != PROBE_IMAGE_MARK)
        die("the ROM's answers are not what was asked for", "probe");
    image->results = calloc(image->nprobes + 1, sizeof(*image->results));
    if (!image->results)
        die("no memory", "probe");
    for (size_t i = 0; i < image->nprobes; i++) {
        struct image_result *answer = &image->results[i];

        take(output, at, &answer->result, sizeof(answer->result));
        if (answer->result.entries > 5)
            die("the ROM's answers are not what was asked for", "probe");
        take(output, at, answer->entries, answer->result.entries * sizeof(answer->entries[0]));
        compare_probe(image, &image->probes[i], &answer->result, answer->entries, tally);
    }
    compare_sums(image, output, at, tally->differences == before, tally);
    tally->images++;
}

void batch_finish(struct batch *batch, struct tally *tally)
{
    struct judge_output output;
    const uint8_t *start;
    size_t at;

    if (!judge_finish(&batch->run, &output)) {
        fprintf(stderr, "%s failed on a ROM with images %" PRIu64 " to %" PRIu64 "; it said:\n", batch->judge->name,
                batch->images[0]->seed, batch->images[batch->count - 1]->seed);
        die((const char *)output.bytes + (output.size > COMPLAINT ? output.size - COMPLAINT : 0), batch->judge->name);
    }
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
    static const char *const quirks[QUIRKS] = {"bit 12 of large EPT leaves", "walks told as writes alone",
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
    fflush(stdout); /* a Check test that fails does not */
}
