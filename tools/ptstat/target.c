/* See target.h. */
#include "tools/ptstat/target.h"
#include "tools/ptstat/terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* No byte of them has another meaning to the guest, whatever it is that comes first. */
static const struct {
    unsigned char byte;
    const char *three, *one; /* as base64 */
} choices[] = {{'x', "eHh4", "eA=="}, {'y', "eXl5", "eQ=="}};

void target_input(struct target_input *input, unsigned round)
{
    const size_t which = round % 2;
    char *text = input->base64;

    _Static_assert(TARGET_BYTES % 3 == 1, "one byte is left over by groups of three");
    memset(input->bytes, choices[which].byte, TARGET_BYTES);
    input->sum = TARGET_BYTES * (uint32_t)choices[which].byte;
    for (size_t i = 0; i < TARGET_BYTES / 3; i++, text += 4)
        memcpy(text, choices[which].three, 4);
    memcpy(text, choices[which].one, 5);
}

void target_check(const struct target_input *input, uint32_t sum, const char *how)
{
    if (sum != input->sum)
        die(EXIT_RUNTIME, "a run through %s gave %" PRIu32 " where %" PRIu32 " is right", how, sum, input->sum);
}

void target_arguments(struct workload *words, unsigned pages)
{
    words->count = 4;
    snprintf(words->text[0], WORKLOAD_ARGUMENT, "bytes=%d", TARGET_BYTES);
    snprintf(words->text[1], WORKLOAD_ARGUMENT, "input=%" PRIu64, TARGET_INPUT);
    snprintf(words->text[2], WORKLOAD_ARGUMENT, "result=%" PRIu64, TARGET_RESULT);
    snprintf(words->text[3], WORKLOAD_ARGUMENT, "pages=%u", pages);
}
