/* Files that are no snapshots, or no good ones: whatever bytes they have, opening and verifying them together refuse
 * them, naming what is wrong, and nothing leaks. The sanitizers watch. */
#include "tests/support/snapshot_case.h"
#include "tests/support/steps.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct snapshot_case c;
static struct forge full, diff, packed; /* good files; `packed` is compressed */
static struct snapshot_error error;

static void setup(void)
{
    uint8_t *dirty;
    case_open(&c, 8 * CASE_MIB, 2);
    case_fill(&c, 0x5000, 2 * SNAPSHOT_PAGE);
    case_fill(&c, 0x10000, SNAPSHOT_PAGE);
    struct snapshot_job job = case_job(&c, case_path(&c, "full"));
    struct snapshot_result result = case_save(&job);
    full = case_read(job.path);

    dirty = calloc(c.memory / SNAPSHOT_PAGE, 1);
    memset(dirty + 5, 1, 4); /* two pages of data and two of zeros */
    case_save_diff(&c, case_path(&c, "diff"), &result.lineage, job.path, dirty, false);
    diff = case_read(case_path(&c, "diff"));
    job = case_job(&c, case_path(&c, "packed"));
    job.compress = true;
    case_save(&job);
    packed = case_read(job.path);
    free(dirty);
}

static void teardown(void)
{
    free(full.data);
    free(diff.data);
    free(packed.data);
    case_close(&c);
}

static struct forge copy_of(const struct forge *good)
{
    struct forge copy = {malloc(good->bytes), good->bytes};
    memcpy(copy.data, good->data, good->bytes);
    return copy;
}

/* What opening and then verifying a file says; NULL: it is good. */
static const char *judge_file(const char *path)
{
    struct snapshot *snapshot = snapshot_open(path, &error);
    if (!snapshot) {
        ck_assert_int_eq(strncmp(error.text, path, strlen(path)), 0);
        return error.text + strlen(path) + 2;
    }
    int result = snapshot_verify(snapshot, &error);
    snapshot_close(snapshot);
    return result < 0 ? error.text + strlen(path) + 2 : NULL;
}

static const char *judge(const struct forge *forge)
{
    const char *path = case_path(&c, "bad");
    case_write(path, forge);
    const char *wrong = judge_file(path);
    ck_assert_msg(!wrong || error.class == SNAPSHOT_INVALID, "class %d: %s", error.class, error.text);
    return wrong;
}

static const char *of_a_file_cut_off(size_t bytes)
{
    if (bytes == 0)
        return "is empty";
    if (bytes < LAYOUT_HEADER)
        return bytes < 8 ? "magic: " : "header: the file has only ";
    return "file size is ";
}

START_TEST(a_file_cut_off_anywhere_is_refused)
{
    const char *names[] = {"full", "diff", "packed"};
    for (unsigned i = 0; i < 3; i++) {
        const char *path = case_path(&c, names[i]);
        struct stat status;
        ck_assert_int_eq(stat(path, &status), 0);
        for (off_t bytes = status.st_size - 1; bytes >= 0; bytes--) {
            ck_assert_int_eq(truncate(path, bytes), 0);
            const char *wrong = judge_file(path), *phrase = of_a_file_cut_off((size_t)bytes);
            ck_assert_msg(wrong != NULL, "%lld bytes are enough", (long long)bytes);
            ck_assert_msg(strncmp(wrong, phrase, strlen(phrase)) == 0, "%lld bytes: %s", (long long)bytes, wrong);
            ck_assert_int_eq(error.class, bytes ? SNAPSHOT_INVALID : SNAPSHOT_ARGUMENT);
        }
    }
}
END_TEST

START_TEST(a_file_that_goes_on_is_refused)
{
    struct forge longer = {calloc(1, full.bytes + 8), full.bytes + 1};
    memcpy(longer.data, full.data, full.bytes);
    ck_assert_ptr_nonnull(strstr(judge(&longer), "file size is"));
    forge_header(&longer)->file_bytes++;
    forge_repair(&longer);
    ck_assert_ptr_nonnull(strstr(judge(&longer), "1 bytes follow its last part"));
    free(longer.data);
}
END_TEST

/* There is no byte that nothing covers. */
START_TEST(a_change_of_any_byte_is_found)
{
    const char *names[] = {"full", "diff", "packed"};
    const struct forge *good[] = {&full, &diff, &packed};
    for (unsigned i = 0; i < 3; i++) {
        const char *path = case_path(&c, names[i]);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        for (size_t at = 0; at < good[i]->bytes; at++) {
            uint8_t changed = good[i]->data[at] ^ (uint8_t)(1 << at % 8);
            ck_assert_int_eq(pwrite(fd, &changed, 1, (off_t)at), 1);
            ck_assert_msg(judge_file(path) != NULL, "file %u: byte %zu may change", i, at);
            ck_assert_int_eq(pwrite(fd, &good[i]->data[at], 1, (off_t)at), 1);
        }
        ck_assert_ptr_null(judge_file(path));
        close(fd);
    }
}
END_TEST

/* One change of a field, every checksum made right again. */
struct change {
    enum { OF_HEADER, OF_SECTION, OF_CONTENT } of;
    unsigned type; /* of the section */
    size_t offset, size;
    uint64_t value;
    const char *wrong;
};

static void expect_refusals(const struct forge *good, const struct change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct forge bad = copy_of(good);
        struct layout_section *section = forge_section(&bad, changes[i].type);
        uint8_t *of = changes[i].of == OF_HEADER    ? bad.data
                      : changes[i].of == OF_SECTION ? (uint8_t *)section
                                                    : forge_content(&bad, section);
        ck_assert_ptr_nonnull(of);
        memcpy(of + changes[i].offset, &changes[i].value, changes[i].size);
        forge_repair(&bad);
        const char *wrong = judge(&bad);
        ck_assert_msg(wrong && strstr(wrong, changes[i].wrong), "change %zu: \"%s\" is not in: %s", i, changes[i].wrong,
                      wrong ? wrong : "good");
        free(bad.data);
    }
}
#define EXPECT_REFUSALS(good, changes) expect_refusals(good, changes, sizeof changes / sizeof *changes)

#define HUGE (UINT64_MAX - 4095)

START_TEST(every_field_of_the_header_is_checked_and_named)
{
    static const struct change changes[] = {
        {OF_HEADER, 0, 0, 1, 'c', "magic: it is not"},
        {OF_HEADER, 0, 7, 1, 0, "magic: it is not"},
        {OF_HEADER, 0, 8, 4, 0, "version is 0: this program reads version 1"},
        {OF_HEADER, 0, 8, 4, 2, "version is 2"},
        {OF_HEADER, 0, 12, 4, 0, "page size is 0"},
        {OF_HEADER, 0, 12, 4, 16384, "page size is 16384"},
        {OF_HEADER, 0, 16, 4, 0, "kind is 0"},
        {OF_HEADER, 0, 16, 4, 3, "kind is 3"},
        {OF_HEADER, 0, 16, 4, 2, "type 5 (parent) is missing"},
        {OF_HEADER, 0, 20, 4, 2, "flags are 0x2"},
        {OF_HEADER, 0, 20, 4, 1u << 31, "flags are 0x80000000"},
        {OF_HEADER, 0, 24, 8, 0, "but the header says 0"},
        {OF_HEADER, 0, 24, 8, UINT64_MAX, "but the header says 18446744073709551615"},
        {OF_HEADER, 0, 48, 4, 0, "what is reserved is not zero"},
        {OF_HEADER, 0, 48, 4, 5, "what is reserved is not zero"},
        {OF_HEADER, 0, 48, 4, 7, "section 6: type 0 is not known"},
        {OF_HEADER, 0, 48, 4, 126, "section count is 126: must be at most 125"},
        {OF_HEADER, 0, 48, 4, UINT32_MAX, "section count is 4294967295"},
        {OF_HEADER, 0, 52, 4, 1, "what is reserved is not zero"},
        {OF_HEADER, 0, 56 + 6 * 32, 1, 1, "what is reserved is not zero"},
        {OF_HEADER, 0, 4087, 1, 1, "what is reserved is not zero"},
    };
    EXPECT_REFUSALS(&full, changes);
}
END_TEST

START_TEST(every_field_of_a_section_is_checked_and_named)
{
    static const struct change changes[] = {
        {OF_SECTION, LAYOUT_MACHINE, 0, 4, 0, "section 0: type 0 is not known"},
        {OF_SECTION, LAYOUT_MACHINE, 0, 4, 7, "section 0: type 7 is not known"},
        {OF_SECTION, LAYOUT_MACHINE, 0, 8, 7 | UINT64_C(1) << 32, "type 1 (machine) is missing"},
        {OF_SECTION, LAYOUT_MACHINE, 0, 4, 2, "the section of type 1 (machine) is missing"},
        {OF_SECTION, LAYOUT_DEVICES, 0, 4, 1, "section 4 (machine): there is one already, section 0"},
        {OF_SECTION, LAYOUT_DEVICES, 0, 4, 2, "section 4 (cpuid): there is one already, section 1"},
        {OF_SECTION, LAYOUT_DEVICES, 0, 4, 3, "section 4 (vcpu): the machine has 2 vCPUs only"},
        {OF_SECTION, LAYOUT_CPUID, 0, 8, 7 | UINT64_C(1) << 32, "type 2 (cpuid) is missing"},
        {OF_SECTION, LAYOUT_VCPU, 0, 8, 7 | UINT64_C(1) << 32, "cpus is 2, but there are 1 sections"},
        {OF_SECTION, LAYOUT_DEVICES, 0, 8, 7 | UINT64_C(1) << 32, "type 4 (devices) is missing"},
        {OF_SECTION, LAYOUT_RUNS, 0, 8, 7 | UINT64_C(1) << 32, "type 6 (runs) is missing"},
        {OF_SECTION, LAYOUT_RUNS, 4, 4, 2, "section 5 (runs): flags are 0x2"},
        {OF_SECTION, LAYOUT_RUNS, 8, 8, UINT64_MAX,
         "section 5 (runs): offset 18446744073709551615 lies beyond the end"},
        {OF_SECTION, LAYOUT_RUNS, 8, 8, UINT64_MAX - 7, "lies beyond the end of the file"},
        {OF_SECTION, LAYOUT_RUNS, 8, 8, 1, "is not a multiple of 8"},
        {OF_SECTION, LAYOUT_MACHINE, 8, 8, 0, "section 0 (machine): offset 0 overlaps what ends at 4096"},
        {OF_SECTION, LAYOUT_MACHINE, 8, 8, 4088, "section 0 (machine): offset 4088 overlaps what ends at 4096"},
        {OF_SECTION, LAYOUT_RUNS, 16, 8, UINT64_MAX, "18446744073709551615 bytes at "},
        {OF_SECTION, LAYOUT_RUNS, 16, 8, UINT64_MAX - 20000, "reach beyond the end of the file"},
        {OF_SECTION, LAYOUT_RUNS, 16, 8, 0, "bytes follow its last part"},
        {OF_SECTION, LAYOUT_RUNS, 16, 8, 79, "79 bytes are no multiple of 40"},
        {OF_SECTION, LAYOUT_MACHINE, 16, 8, 48, "section 0 (machine): 48 bytes: must be 56"},
        {OF_SECTION, LAYOUT_MACHINE, 16, 8, 0, "section 0 (machine): 0 bytes: must be 56"},
        {OF_SECTION, LAYOUT_CPUID, 16, 8, 119, "section 1 (cpuid): 119 bytes"},
        {OF_SECTION, LAYOUT_VCPU, 16, 8, 0, "vcpu 0: record type 1 (regs) is missing"},
        {OF_SECTION, LAYOUT_VCPU, 16, 8, 4, "vcpu 0: 4 bytes follow the last record"},
        {OF_SECTION, LAYOUT_VCPU, 16, 8, 144, "vcpu 0: record type 1: bytes is 144, beyond the end"},
        {OF_SECTION, LAYOUT_DEVICES, 16, 8, 0, "devices: record type 1 (uart) is missing"},
    };
    EXPECT_REFUSALS(&full, changes);
}
END_TEST

START_TEST(every_field_of_the_state_is_checked_and_named)
{
    /* A vCPU's records in their order, each with 8 bytes before it. */
    enum { SREGS = 8 + 144, XSAVE = SREGS + 8 + 312, XCRS = XSAVE + 8 + 4096, DEBUG = XCRS + 8 + 392 };
    enum { EVENTS = DEBUG + 8 + 128, MP = EVENTS + 8 + 64, MSRS = MP + 16, HALTED = MSRS + 8 + 48 + 16 };
    static const struct change changes[] = {
        {OF_CONTENT, LAYOUT_MACHINE, 0, 8, 0, "machine: memory is 0"},
        {OF_CONTENT, LAYOUT_MACHINE, 0, 8, 8 * CASE_MIB + 1, "machine: memory is 8388609"},
        {OF_CONTENT, LAYOUT_MACHINE, 0, 8, 4 * CASE_MIB - 4096, "machine: memory is 4190208"},
        {OF_CONTENT, LAYOUT_MACHINE, 0, 8, SNAPSHOT_MEMORY_MAX + 4096, "machine: memory is 68719480832"},
        {OF_CONTENT, LAYOUT_MACHINE, 0, 8, HUGE, "machine: memory is 18446744073709547520"},
        {OF_CONTENT, LAYOUT_MACHINE, 8, 4, 0, "machine: cpus is 0"},
        {OF_CONTENT, LAYOUT_MACHINE, 8, 4, 1, "section 3 (vcpu): the machine has 1 vCPUs only"},
        {OF_CONTENT, LAYOUT_MACHINE, 8, 4, 3, "machine: cpus is 3, but there are 2 sections"},
        {OF_CONTENT, LAYOUT_MACHINE, 8, 4, 9, "machine: cpus is 9: must be 1 to 8"},
        {OF_CONTENT, LAYOUT_MACHINE, 52, 4, 1, "machine: reserved is 1"},
        {OF_CONTENT, LAYOUT_VCPU, 0, 4, 0, "vcpu 0: record type 0 is not known"},
        {OF_CONTENT, LAYOUT_VCPU, 0, 4, 12, "vcpu 0: record type 12 is not known"},
        {OF_CONTENT, LAYOUT_VCPU, 0, 4, UINT32_MAX, "vcpu 0: record type 4294967295 is not known"},
        {OF_CONTENT, LAYOUT_VCPU, 4, 4, 143, "vcpu 0: record type 1: padding is not zero"},
        {OF_CONTENT, LAYOUT_VCPU, 4, 4, UINT32_MAX, "vcpu 0: record type 1: bytes is 4294967295, beyond the end"},
        {OF_CONTENT, LAYOUT_VCPU, XCRS, 8, 10 | UINT64_C(392) << 32, "vcpu 0: halted: bytes is 392: must be 1 to 1"},
        {OF_CONTENT, LAYOUT_VCPU, XCRS, 8, 8 | UINT64_C(392) << 32,
         "vcpu 0: msrs: bytes is 392: must be 0 to 4096, a multiple of 16"},
        {OF_CONTENT, LAYOUT_VCPU, MSRS, 8, 4 | UINT64_C(48) << 32, "vcpu 0: xcrs: bytes is 48: must be 392"},
        {OF_CONTENT, LAYOUT_VCPU, XCRS, 4, 5, "vcpu 0: debugregs: bytes is 392: must be 128"},
        {OF_CONTENT, LAYOUT_VCPU, MP + 8, 4, 5, "vcpu 0: mp_state is 5"},
        {OF_CONTENT, LAYOUT_VCPU, MP + 12, 1, 1, "vcpu 0: record type 7: padding is not zero"},
        {OF_CONTENT, LAYOUT_VCPU, HALTED, 4, 9, "vcpu 0: tsc: bytes is 1: must be 8"},
        {OF_CONTENT, LAYOUT_VCPU, HALTED + 8, 1, 2, "vcpu 0: halted is 2: must be 0 or 1"},
        {OF_CONTENT, LAYOUT_VCPU, HALTED + 15, 1, 1, "vcpu 0: record type 10: padding is not zero"},
        {OF_CONTENT, LAYOUT_VCPU, HALTED, 8, 9 | UINT64_C(8) << 32, "vcpu 0: record type 9 (tsc) is there twice"},
        {OF_CONTENT, LAYOUT_DEVICES, 0, 4, 3, "devices: record type 3 is not known"},
        {OF_CONTENT, LAYOUT_DEVICES, 4, 4, 10, "devices: uart: bytes is 10: must be 9"},
        {OF_CONTENT, LAYOUT_DEVICES, 16, 1, 2, "devices: uart: looped_ready is 2"},
    };
    EXPECT_REFUSALS(&full, changes);
}
END_TEST

/* Two runs, of two pages at 0x5000 and one at 0x10000, stored at 4096 and 12288. */
START_TEST(every_field_of_a_run_is_checked_and_named)
{
    static const struct change changes[] = {
        {OF_CONTENT, LAYOUT_RUNS, 0, 8, 1, "run 0: 8192 bytes at address 0x1 are not whole pages"},
        {OF_CONTENT, LAYOUT_RUNS, 0, 8, 0x10000, "run 1: address 0x10000 overlaps the run before it"},
        {OF_CONTENT, LAYOUT_RUNS, 0, 8, 0xf000, "run 1: address 0x10000 overlaps the run before it"},
        {OF_CONTENT, LAYOUT_RUNS, 40, 8, 0x6000, "run 1: address 0x6000 overlaps the run before it"},
        {OF_CONTENT, LAYOUT_RUNS, 40, 8, 0, "run 1: address 0 overlaps the run before it"},
        {OF_CONTENT, LAYOUT_RUNS, 40, 8, 8 * CASE_MIB,
         "run 1: address 0x800000 lies beyond the end of memory (0x800000)"},
        {OF_CONTENT, LAYOUT_RUNS, 40, 8, HUGE, "run 1: address 0xfffffffffffff000 lies beyond the end of memory"},
        {OF_CONTENT, LAYOUT_RUNS, 8, 8, 0, "run 0: bytes is 0"},
        {OF_CONTENT, LAYOUT_RUNS, 8, 8, 4097, "are not whole pages"},
        {OF_CONTENT, LAYOUT_RUNS, 8, 8, HUGE, "run 0: bytes is 18446744073709547520"},
        {OF_CONTENT, LAYOUT_RUNS, 8, 8, 2 * CASE_MIB,
         "run 0: bytes is 2097152: must be 1 page or more inside of 2 MiB"},
        {OF_CONTENT, LAYOUT_RUNS, 8, 8, 4096, "run 0: stored is 8192: must be 4096"},
        {OF_CONTENT, LAYOUT_RUNS, 8, 8, 12288, "run 0: stored is 8192: must be 12288"},
        {OF_CONTENT, LAYOUT_RUNS, 16, 8, 0, "run 0: offset is 0: only a diff has runs of zeros"},
        {OF_CONTENT, LAYOUT_RUNS, 16, 8, 4095, "run 0: offset 4095 is not a multiple of 4096"},
        {OF_CONTENT, LAYOUT_RUNS, 16, 8, HUGE, "run 0: offset 18446744073709547520 lies beyond the end of the file"},
        {OF_CONTENT, LAYOUT_RUNS, 16, 8, UINT64_MAX,
         "run 0: offset 18446744073709551615 lies beyond the end of the file"},
        {OF_CONTENT, LAYOUT_RUNS, 16, 8, 8192, "run 1: offset 12288 overlaps what ends at 16384"},
        {OF_CONTENT, LAYOUT_RUNS, 56, 8, 4096, "run 1: offset 4096 overlaps what ends at 12288"},
        {OF_CONTENT, LAYOUT_RUNS, 56, 8, 8192, "run 1: offset 8192 overlaps what ends at 12288"},
        {OF_CONTENT, LAYOUT_RUNS, 56, 8, 16384, "overlaps what ends at"}, /* sections */
        {OF_CONTENT, LAYOUT_RUNS, 24, 8, 0, "run 0: stored is 0: must be 8192"},
        {OF_CONTENT, LAYOUT_RUNS, 24, 8, 4096, "run 0: stored is 4096: must be 8192"},
        {OF_CONTENT, LAYOUT_RUNS, 24, 8, HUGE, "run 0: 18446744073709547520 stored bytes at 4096 reach beyond the end"},
        {OF_CONTENT, LAYOUT_RUNS, 24, 8, UINT64_MAX - 4095 + 8192, "run 0: stored is 4096: must be 8192"},
    };
    EXPECT_REFUSALS(&full, changes);
}
END_TEST

START_TEST(zeros_of_a_diff_store_nothing)
{
    static const struct change changes[] = {
        {OF_CONTENT, LAYOUT_RUNS, 40 + 24, 8, 1, "run 1: offset is 0, but stored or checksum is not"},
        {OF_CONTENT, LAYOUT_RUNS, 40 + 32, 8, 1, "run 1: offset is 0, but stored or checksum is not"},
        {OF_CONTENT, LAYOUT_RUNS, 40 + 8, 8, 4 * CASE_MIB, "run 1: bytes is 4194304"},
        {OF_CONTENT, LAYOUT_PARENT, 24, 1, 0, "section 5 (parent): the path is neither"},
        {OF_CONTENT, LAYOUT_PARENT, 26, 1, 0, "section 5 (parent): the path is neither"},
        {OF_CONTENT, LAYOUT_PARENT, 25, 1, '/', "section 5 (parent): the path is neither"},
        {OF_SECTION, LAYOUT_PARENT, 16, 8, 23, "section 5 (parent): 23 bytes are too few"},
        {OF_SECTION, LAYOUT_PARENT, 16, 8, 24, "section 5 (parent): the path is neither"},
        {OF_SECTION, LAYOUT_PARENT, 0, 8, 7 | UINT64_C(1) << 32, "type 5 (parent) is missing"},
        {OF_HEADER, 0, 16, 4, 1, "section 5 (parent): a full snapshot has none"},
    };
    EXPECT_REFUSALS(&diff, changes);
}
END_TEST

START_TEST(compressed_data_is_checked)
{
    static const struct change changes[] = {
        {OF_CONTENT, LAYOUT_RUNS, 24, 8, 0, "run 0: stored is 0: must be 1 to 8192"},
        {OF_CONTENT, LAYOUT_RUNS, 24, 8, 8193, "run 0: stored is 8193: must be 1 to 8192"},
        {OF_CONTENT, LAYOUT_RUNS, 24, 8, UINT64_MAX, "reach beyond the end of the file"},
        {OF_CONTENT, LAYOUT_RUNS, 24, 8, 1, "run 0: cannot be decompressed"},
        {OF_CONTENT, LAYOUT_RUNS, 8, 8, 4096, "run 0: cannot be decompressed"},
        {OF_CONTENT, LAYOUT_RUNS, 8, 8, 12288, "run 0: decompresses to 8192 bytes instead of 12288"},
        {OF_HEADER, 0, 4096, 4, 0, "run 0: cannot be decompressed"},
        {OF_HEADER, 0, 20, 4, 0, "must be 8192"},
    };
    EXPECT_REFUSALS(&packed, changes);
}
END_TEST

/* A section of a type that nobody knows yet, between the devices and the runs. */
START_TEST(what_later_versions_add_may_be_ignored)
{
    struct forge more = {calloc(1, full.bytes + 64), full.bytes + 64};
    struct layout_header *header = forge_header(&more);
    memcpy(more.data, full.data, full.bytes);
    header->sections[6] = (struct layout_section){77, LAYOUT_OPTIONAL, full.bytes + 8, 56, 0};
    header->section_count++;
    header->file_bytes = more.bytes;
    forge_repair(&more);
    ck_assert_msg(judge(&more) == NULL, "%s", error.text);
    header->sections[6].flags = 0;
    forge_repair(&more);
    ck_assert_ptr_nonnull(strstr(judge(&more), "section 6: type 77 is not known"));
    header->sections[6].flags = LAYOUT_OPTIONAL;
    forge_repair(&more);
    more.data[full.bytes + 20] = 1;
    ck_assert_ptr_nonnull(strstr(judge(&more), "section 6: its checksum is wrong"));
    more.data[full.bytes + 20] = 0;
    more.data[full.bytes + 3] = 1; /* in the gap */
    ck_assert_ptr_nonnull(strstr(judge(&more), "belongs to nothing and is not zero"));
    free(more.data);
}
END_TEST

START_TEST(room_for_something_hidden_is_refused)
{
    uint64_t far = full.bytes + SNAPSHOT_BLOCK + 8;
    struct forge more = {calloc(1, far + 80), far + 80};
    struct layout_section *section;
    memcpy(more.data, full.data, full.bytes);
    section = forge_section(&more, LAYOUT_RUNS);
    memcpy(more.data + far, more.data + section->offset, section->bytes);
    section->offset = far;
    forge_header(&more)->file_bytes = more.bytes;
    forge_repair(&more);
    ck_assert_ptr_nonnull(strstr(judge(&more), "leaves 2097"));
    free(more.data);
}
END_TEST

/* Sections are read into memory: a file of holes must not make that more than it may be. */
START_TEST(a_section_has_a_limit)
{
    struct forge bad = copy_of(&full);
    struct layout_section *section = forge_section(&bad, LAYOUT_DEVICES);
    const char *path = case_path(&c, "bad");
    section->offset = LAYOUT_HEADER + 65536;
    section->bytes = LAYOUT_SECTION_MAX + 8;
    forge_header(&bad)->file_bytes = UINT64_C(1) << 40;
    forge_repair(&bad);
    case_write(path, &bad);
    ck_assert_int_eq(truncate(path, (off_t)1 << 40), 0);
    ck_assert_ptr_null(snapshot_open(path, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "section 4 (devices): 16777224 bytes: must be at most 16777216"));
    free(bad.data);
}
END_TEST

static void expect_argument(const char *path, const char *phrase)
{
    ck_assert_ptr_null(snapshot_open(path, &error));
    ck_assert_int_eq(error.class, SNAPSHOT_ARGUMENT);
    ck_assert_msg(strstr(error.text, phrase) != NULL, "%s", error.text);
}

START_TEST(paths_that_are_no_files_are_refused)
{
    const char *fifo = case_path(&c, "fifo"), *empty = case_path(&c, "empty"), *loop = case_path(&c, "loop");
    struct forge nothing = {full.data, 0};
    char text[5000];

    expect_argument("", ": the path is empty");
    expect_argument(c.folder, ": is a directory, not a snapshot file");
    expect_argument(case_path(&c, "nothing"), ": No such file or directory");
    expect_argument("/dev/zero", ": is not a regular file");
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    expect_argument(fifo, ": is not a regular file"); /* and nobody waits for a writer */
    case_write(empty, &nothing);
    expect_argument(empty, ": is empty");
    ck_assert_int_eq(symlink("loop", loop), 0);
    expect_argument(loop, ": Too many levels of symbolic links");
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    expect_argument(text, "aaa: File name too long");
    expect_argument("no\nsuch\033file", "no?such?file: No such file");
}
END_TEST

static int open_it(void *path)
{
    return snapshot_open(path, &error) != NULL;
}

/* To open a device can be to set it off. */
START_TEST(what_is_no_file_is_not_even_opened)
{
    char device[] = "/dev/zero";
    long calls[64];
    int status;
    unsigned count = steps_trace(open_it, device, calls, 64, &status);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_ge(count, 1);
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_ne(calls[i], SYS_openat);
}
END_TEST

START_TEST(a_file_without_permission_is_refused)
{
    const char *path = case_path(&c, "full");
    ck_assert_int_eq(chmod(path, 0), 0);
    case_obey_modes();
    expect_argument(path, ": Permission denied");
}
END_TEST

static void read_a_file_that_is_cut_off(const char *name, off_t length)
{
    const char *path = case_path(&c, name);
    struct snapshot_chain chain = case_chain(path);
    uint8_t *memory = calloc(1, c.memory);
    ck_assert_int_eq(truncate(path, length), 0);
    ck_assert_int_eq(snapshot_chain_load(&chain, memory, NULL, &error), -1);
    ck_assert_int_eq(error.class, SNAPSHOT_IO);
    ck_assert_msg(strstr(error.text, "it has been cut off") != NULL, "%s", error.text);
    ck_assert_int_eq(snapshot_verify(chain.files[0], &error), -1);
    ck_assert_int_eq(error.class, SNAPSHOT_IO);
    snapshot_chain_close(&chain);
    free(memory);
}

START_TEST(a_file_cut_off_while_open_is_an_error)
{
    read_a_file_that_is_cut_off("full", 4096 + 4096 + 100);
    read_a_file_that_is_cut_off("packed", 4096 + 10);
}
END_TEST

START_TEST(page_data_that_changed_is_found_when_it_is_loaded)
{
    struct forge *files[] = {&full, &packed};
    uint8_t *memory = calloc(1, c.memory);
    for (unsigned i = 0; i < 2; i++) {
        files[i]->data[4096 + 17] ^= 1;
        case_write(case_path(&c, "bad"), files[i]);
        struct snapshot_chain chain = case_chain(case_path(&c, "bad"));
        ck_assert_int_eq(snapshot_chain_load(&chain, memory, NULL, &error), -1);
        ck_assert_int_eq(error.class, SNAPSHOT_INVALID);
        ck_assert_msg(strstr(error.text, "run 0: its checksum is wrong") != NULL, "%s", error.text);
        snapshot_chain_close(&chain);
    }
    free(memory);
}
END_TEST

/* Failing leaves no descriptor open. */
START_TEST(refusals_leak_no_descriptor)
{
    struct rlimit few = {40, 40};
    struct forge bad = copy_of(&diff);
    bad.data[bad.bytes - 1] ^= 1;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (unsigned i = 0; i < 100; i++) {
        struct snapshot_chain chain;
        ck_assert_ptr_nonnull(strstr(judge(&bad), "its checksum is wrong"));
        case_write(case_path(&c, "full"), i % 2 ? &packed : &bad);
        ck_assert_int_eq(snapshot_chain_open(&chain, case_path(&c, "diff"), &error), -1);
        ck_assert_int_eq(error.class, SNAPSHOT_INVALID);
    }
    free(bad.data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hostile snapshots");
    TCase *tcase = tcase_create("hostile snapshots");

    tcase_set_timeout(tcase, 280);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_file_cut_off_anywhere_is_refused);
    tcase_add_test(tcase, a_file_that_goes_on_is_refused);
    tcase_add_test(tcase, a_change_of_any_byte_is_found);
    tcase_add_test(tcase, every_field_of_the_header_is_checked_and_named);
    tcase_add_test(tcase, every_field_of_a_section_is_checked_and_named);
    tcase_add_test(tcase, every_field_of_the_state_is_checked_and_named);
    tcase_add_test(tcase, every_field_of_a_run_is_checked_and_named);
    tcase_add_test(tcase, zeros_of_a_diff_store_nothing);
    tcase_add_test(tcase, compressed_data_is_checked);
    tcase_add_test(tcase, what_later_versions_add_may_be_ignored);
    tcase_add_test(tcase, room_for_something_hidden_is_refused);
    tcase_add_test(tcase, a_section_has_a_limit);
    tcase_add_test(tcase, paths_that_are_no_files_are_refused);
    tcase_add_test(tcase, what_is_no_file_is_not_even_opened);
    tcase_add_test(tcase, a_file_without_permission_is_refused);
    tcase_add_test(tcase, a_file_cut_off_while_open_is_an_error);
    tcase_add_test(tcase, page_data_that_changed_is_found_when_it_is_loaded);
    tcase_add_test(tcase, refusals_leak_no_descriptor);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
