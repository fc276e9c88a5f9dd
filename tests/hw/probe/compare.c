/* See compare.h. */
#include "tests/hw/probe/compare.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Of a qualification, the bits that are defined with the controls that the ROM sets (SDM volume 3, "Exit Qualification
 * for EPT Violations"): 0 to 5, 7 and 8. */
#define QUALIFICATION_BITS 0x1bfull
#define QUALIFICATION_READ 0x1ull
#define QUALIFICATION_RW   0x3ull
#define FAULT_PRESENT      0x1ull
#define FAULT_RESERVED     0x8ull
#define X86_ACCESSED       0x20ull
#define X86_AD             0x60ull
#define EPT_AD             0x300ull

static const char *const outcomes[] = {
    "nothing",           "access",       "lost write", "exception", "EPT violation", "EPT misconfiguration",
    "nested page fault", "strange exit",
};

static const char *outcome_name(unsigned outcome)
{
    return outcome < sizeof(outcomes) / sizeof(outcomes[0]) ? outcomes[outcome] : "unknown";
}

__attribute__((format(printf, 2, 3))) static void add(struct difference *difference, const char *format, ...)
{
    size_t length = strlen(difference->text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(difference->text + length, sizeof(difference->text) - length, format, arguments);
    va_end(arguments);
}

static void add_result(struct difference *difference, const char *who, const struct probe_result *result)
{
    add(difference, "\n  %-9s %s", who, outcome_name(result->outcome));
    if (result->outcome == PROBE_EXCEPTION)
        add(difference, " %u, error code %#x, address %#" PRIx64, result->vector, result->error_code, result->address);
    else if (result->outcome == PROBE_OK || result->outcome == PROBE_LOST)
        add(difference, ", value %#" PRIx64, result->code);
    else
        add(difference, ", code %#" PRIx64 ", address %#" PRIx64, result->code, result->address);
}

static void describe(struct difference *difference, const struct expectation *expected,
                     const struct probe_result *result, const uint64_t *entries)
{
    static const char *const accesses[] = {"read", "write", "fetch", "32-bit read", "32-bit write", "guest's walk"};
    const struct image *image = difference->image;
    const struct probe *probe = &difference->probe;

    add(difference, "%s: %s of %#" PRIx64 ", CPL %d%s%s%s%s%s%s (image %" PRIu64 ")", image->judge->name,
        accesses[probe->access], probe->address, probe->flags & PROBE_USER ? 3 : 0,
        probe->flags & PROBE_WP ? " WP" : "", probe->flags & PROBE_SMEP ? " SMEP" : "",
        probe->flags & PROBE_SMAP ? " SMAP" : "", probe->flags & PROBE_NXE ? " NXE" : "",
        probe->flags & PROBE_CLEAR ? " A and D cleared" : "", image->header.nested_ad ? " A/D on" : "", image->seed);
    add_result(difference, "walk", &expected->result);
    add_result(difference, "processor", result);
    for (unsigned i = 0; i < result->entries || i < expected->result.entries; i++) {
        add(difference, "\n  level %u: ", image->header.levels - i);
        if (i < expected->result.entries)
            add(difference, "%#018" PRIx64, expected->entries[i]);
        if (i < result->entries && (i >= expected->result.entries || entries[i] != expected->entries[i]))
            add(difference, " processor %#018" PRIx64, entries[i]);
    }
    add(difference, "\n");
}

static unsigned differ(const struct expectation *expected, const struct probe_result *result, const uint64_t *entries)
{
    const struct probe_result *e = &expected->result;
    unsigned what = 0;

    if (e->entries != result->entries || memcmp(entries, expected->entries, result->entries * sizeof(*entries)) != 0)
        what = DIFFERS_ENTRIES;
    if (e->outcome != result->outcome || e->vector != result->vector)
        return what | DIFFERS_OUTCOME;
    if (e->error_code != result->error_code)
        what |= DIFFERS_CODE;
    if (e->outcome == PROBE_VIOLATION && ((e->code ^ result->code) & QUALIFICATION_BITS))
        what |= DIFFERS_CODE;
    if (e->outcome != PROBE_OK && e->outcome != PROBE_VIOLATION && e->code != result->code)
        what |= DIFFERS_CODE;
    if (e->outcome != PROBE_OK && e->address != result->address)
        what |= DIFFERS_ADDRESS;
    if (e->outcome == PROBE_OK && e->code != result->code)
        what |= DIFFERS_VALUE;
    return what;
}

/* QUIRK_WALK_WRITE_ONLY. */
static bool expect_write_only(struct expectation *expected)
{
    struct probe_result *result = &expected->result;

    if (result->outcome != PROBE_VIOLATION || (result->code & QUALIFICATION_RW) != QUALIFICATION_RW)
        return false;
    result->code &= ~QUALIFICATION_READ;
    return true;
}

/* QUIRK_RESERVED_NO_P. */
static bool expect_no_p(struct expectation *expected)
{
    struct probe_result *result = &expected->result;
    bool nested = result->outcome == PROBE_NESTED_FAULT && (result->code & FAULT_RESERVED);
    bool exception = result->outcome == PROBE_EXCEPTION && (result->error_code & FAULT_RESERVED);

    if (nested)
        result->code &= ~FAULT_PRESENT;
    if (exception)
        result->error_code &= ~(uint32_t)FAULT_PRESENT;
    return nested || exception;
}

/* QUIRK_A_BEFORE_FAULT: in entries above the last that a faulting walk read, and in a 1 GiB leaf even if it is the
 * last. The copy takes it over. */
static bool adopt_accessed(const struct image *image, const struct probe *probe, const struct probe_result *result,
                           const uint64_t *entries, struct expectation *expected)
{
    uint64_t *path[5];
    bool adopted = false;

    if (expected->result.outcome == PROBE_OK)
        return false;
    image_path(image, probe->address, path);
    for (unsigned i = 0; i < expected->nwalked && i < result->entries; i++) {
        if (i + 1 == expected->nwalked && image->header.levels - i != 3)
            break;
        if (entries[i] == expected->entries[i] || entries[i] != (expected->entries[i] | X86_ACCESSED))
            continue;
        *path[i] = expected->entries[i] = entries[i];
        adopted = true;
    }
    return adopted;
}

static void expect(const struct image *image, const struct probe *probe, const struct probe_result *result,
                   const uint64_t *entries, struct expectation *expected, struct tally *tally)
{
    unsigned quirks = image->judge->quirks, met;

    met = oracle_expect(image, probe, expected);
    if ((quirks & QUIRK_WALK_WRITE_ONLY) && expect_write_only(expected))
        met |= QUIRK_WALK_WRITE_ONLY;
    if ((quirks & QUIRK_RESERVED_NO_P) && expect_no_p(expected))
        met |= QUIRK_RESERVED_NO_P;
    if ((quirks & QUIRK_A_BEFORE_FAULT) && adopt_accessed(image, probe, result, entries, expected))
        met |= QUIRK_A_BEFORE_FAULT;
    for (unsigned i = 0; i < QUIRKS; i++)
        tally->quirks[i] += met >> i & 1;
}

/* The level of the entry that is wrong, or else of the first whose A or D is. */
static unsigned level_of(const struct image *image, const struct expectation *expected,
                         const struct probe_result *result, const uint64_t *entries)
{
    uint64_t ad = image->header.format == PROBE_EPT ? EPT_AD : X86_AD;
    unsigned marked = 0;

    for (unsigned i = 0; i < result->entries && i < expected->result.entries; i++) {
        if ((entries[i] ^ expected->entries[i]) & ~ad)
            return image->header.levels - i;
        if (!marked && entries[i] != expected->entries[i])
            marked = image->header.levels - i;
    }
    return marked;
}

/* After a difference, A and D in the copy go on as the processor has them, so that it is not reported over and over. */
static void adopt_marks(const struct image *image, const struct probe *probe, const struct probe_result *result,
                        const uint64_t *entries)
{
    uint64_t *path[5], ad = image->header.format == PROBE_EPT ? EPT_AD : X86_AD;
    unsigned count = image_path(image, probe->address, path);

    for (unsigned i = 0; i < result->entries && i < count; i++)
        *path[i] = (*path[i] & ~ad) | (entries[i] & ad);
}

/* Misconfigured, or with reserved bits: NX is one of them where NXE is clear. */
static bool is_refused(const struct probe *probe, const struct probe_result *result)
{
    switch (result->outcome) {
    case PROBE_MISCONFIG:
        return true;
    case PROBE_NESTED_FAULT:
        return result->code & FAULT_RESERVED;
    case PROBE_EXCEPTION:
        return (result->error_code & FAULT_RESERVED) && (probe->flags & PROBE_NXE);
    default:
        return false;
    }
}

void compare_probe(struct image *image, const struct probe *probe, const struct probe_result *result,
                   const uint64_t *entries, struct tally *tally)
{
    struct expectation expected;
    struct difference *difference;
    unsigned what;

    expect(image, probe, result, entries, &expected, tally);
    tally->probes++;
    tally->refused += !image->damaged && is_refused(probe, result);
    tally->outcomes[result->outcome % 8]++;
    what = differ(&expected, result, entries);
    if (!what)
        return;
    if (tally->differences < DIFFERENCES_KEPT) {
        difference = &tally->kept[tally->differences];
        *difference = (struct difference){.image = image, .probe = *probe, .what = what};
        difference->level = level_of(image, &expected, result, entries);
        describe(difference, &expected, result, entries);
    }
    tally->differences++;
    adopt_marks(image, probe, result, entries);
}
