/* What there is to save, and comparing what comes back: see snapshot_case.h. */
#include "tests/support/snapshot_case.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of each vCPU: sizes as in KVM. */
static const struct {
    uint32_t type, bytes;
} vcpu_records[] = {
    {SNAPSHOT_VCPU_REGS, 144},      {SNAPSHOT_VCPU_SREGS, 312}, {SNAPSHOT_VCPU_XSAVE, 4096}, {SNAPSHOT_VCPU_XCRS, 392},
    {SNAPSHOT_VCPU_DEBUGREGS, 128}, {SNAPSHOT_VCPU_EVENTS, 64}, {SNAPSHOT_VCPU_MP_STATE, 4}, {SNAPSHOT_VCPU_MSRS, 48},
    {SNAPSHOT_VCPU_TSC, 8},         {SNAPSHOT_VCPU_HALTED, 1},
};

uint64_t case_random(struct snapshot_case *c, uint64_t limit)
{
    c->random = c->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (c->random >> 32) % limit;
}

static void add_record(struct snapshot_case *c, struct snapshot_records *records, uint32_t type, uint32_t bytes)
{
    uint8_t *data = malloc(bytes);
    for (uint32_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)case_random(c, 256);
    if (type == SNAPSHOT_VCPU_MP_STATE && records != &c->state.devices)
        memset(data, 0, bytes);
    if (type == SNAPSHOT_VCPU_HALTED)
        data[0] &= 1;
    if (records == &c->state.devices)
        data[8] &= 1;
    records->list[records->count++] = (struct snapshot_record){type, bytes, data};
}

static void make_state(struct snapshot_case *c, unsigned cpus)
{
    c->state.machine = (struct snapshot_machine){.memory = c->memory,
                                                 .cpus = cpus,
                                                 .fork_result = 7,
                                                 .guest_id = 3,
                                                 .generation = UINT64_C(1) << 40,
                                                 .clock_ns = 123456789,
                                                 .saved_unix_ns = UINT64_C(1764547200000000000),
                                                 .tsc_khz = 2000000};
    for (unsigned i = 0; i < 3; i++)
        c->cpuid[i] = (struct snapshot_cpuid){.function = i, .eax = 0x80000000u + i, .edx = 1u << i};
    c->state.cpuid = c->cpuid;
    c->state.cpuid_count = 3;
    for (unsigned cpu = 0; cpu < cpus; cpu++)
        for (size_t i = 0; i < sizeof vcpu_records / sizeof *vcpu_records; i++)
            add_record(c, &c->state.vcpus[cpu], vcpu_records[i].type, vcpu_records[i].bytes);
    add_record(c, &c->state.devices, SNAPSHOT_DEVICE_UART, 9);
}

void case_open(struct snapshot_case *c, uint64_t memory, unsigned cpus)
{
    const char *folder = getenv("TMPDIR");
    *c = (struct snapshot_case){.memory = memory, .random = 1};
    snprintf(c->folder, sizeof c->folder, "%s/cleave-snapshot.XXXXXX", folder && *folder ? folder : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(c->folder));
    c->fd = memfd_create("ram", MFD_CLOEXEC);
    ck_assert_int_ge(c->fd, 0);
    ck_assert_int_eq(ftruncate(c->fd, (off_t)memory), 0);
    c->ram = mmap(NULL, memory, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
    ck_assert_ptr_ne(c->ram, MAP_FAILED);
    c->whole = (struct snapshot_source){0, memory, c->fd, 0};
    make_state(c, cpus);
}

static void free_records(struct snapshot_records *records)
{
    for (unsigned i = 0; i < records->count; i++)
        free((void *)(uintptr_t)records->list[i].data);
}

void case_close(struct snapshot_case *c)
{
    unsigned hidden;
    case_files(c, &hidden);
    ck_assert_uint_eq(hidden, 0);

    DIR *list = opendir(c->folder);
    for (struct dirent *entry; (entry = readdir(list));)
        if (entry->d_name[0] != '.')
            unlink(case_path(c, entry->d_name));
    closedir(list);
    ck_assert_int_eq(rmdir(c->folder), 0);
    for (unsigned i = 0; i < SNAPSHOT_CPUS_MAX; i++)
        free_records(&c->state.vcpus[i]);
    free_records(&c->state.devices);
    munmap(c->ram, c->memory);
    close(c->fd);
}

const char *case_path(const struct snapshot_case *c, const char *name)
{
    static char paths[64][2 * CASE_PATH];
    static unsigned next;
    char *path = paths[next++ % 64];
    snprintf(path, sizeof paths[0], "%s/%s", c->folder, name);
    return path;
}

void case_obey_modes(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    ck_assert_int_eq((int)syscall(SYS_capget, &header, data), 0);
    data[0].effective &= ~(1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH);
    ck_assert_int_eq((int)syscall(SYS_capset, &header, data), 0);
}

unsigned case_files(const struct snapshot_case *c, unsigned *hidden)
{
    unsigned count = 0;
    DIR *list = opendir(c->folder);
    ck_assert_ptr_nonnull(list);
    *hidden = 0;
    for (struct dirent *entry; (entry = readdir(list));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        count++;
        *hidden += entry->d_name[0] == '.';
    }
    closedir(list);
    return count;
}

void case_fill(struct snapshot_case *c, uint64_t gpa, uint64_t bytes)
{
    for (uint64_t at = gpa; at < gpa + bytes; at += SNAPSHOT_PAGE)
        for (unsigned i = 0; i < 4; i++) { /* some words of a page are enough to tell it from any other */
            uint64_t word = case_random(c, UINT32_MAX) + 1;
            memcpy(c->ram + at + case_random(c, SNAPSHOT_PAGE / 8) * 8, &word, 8);
        }
}

void case_punch(struct snapshot_case *c, uint64_t gpa, uint64_t bytes)
{
    ck_assert_int_eq(fallocate(c->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)gpa, (off_t)bytes), 0);
}

void case_scribble(struct snapshot_case *c, unsigned changes, uint8_t *dirty)
{
    for (unsigned i = 0; i < changes; i++) {
        uint64_t pages = case_random(c, 8) ? 1 + case_random(c, 3) : 1 + case_random(c, 600);
        uint64_t first = case_random(c, c->memory / SNAPSHOT_PAGE);
        if (!case_random(c, 8)) {
            first = first / 512 * 512;
            pages = 512;
        }
        if (pages > c->memory / SNAPSHOT_PAGE - first)
            pages = c->memory / SNAPSHOT_PAGE - first;
        uint64_t gpa = first * SNAPSHOT_PAGE, bytes = pages * SNAPSHOT_PAGE;
        switch (case_random(c, 5)) {
        case 0:
            case_punch(c, gpa, bytes);
            break;
        case 1:
            memset(c->ram + gpa, 0, bytes);
            break;
        default:
            case_fill(c, gpa, bytes);
        }
        if (dirty)
            memset(dirty + first, 1, pages);
    }
}

struct snapshot_job case_job(const struct snapshot_case *c, const char *path)
{
    return (struct snapshot_job){
        .path = path, .kind = SNAPSHOT_FULL, .state = &c->state, .sources = &c->whole, .source_count = 1};
}

struct snapshot_result case_save(const struct snapshot_job *job)
{
    struct snapshot_result result;
    struct snapshot_error error;
    int status = snapshot_save(job, &result, &error);
    ck_assert_msg(status == 0, "%s", status ? error.text : "");
    return result;
}

struct snapshot_result case_save_diff(struct snapshot_case *c, const char *path, const struct snapshot_lineage *parent,
                                      const char *parent_path, uint8_t *dirty, bool compress)
{
    uint64_t pages = c->memory / SNAPSHOT_PAGE;
    struct snapshot_source *sources = calloc(pages, sizeof *sources);
    struct snapshot_job job = case_job(c, path);

    job.kind = SNAPSHOT_DIFF;
    job.compress = compress;
    job.parent = parent;
    job.parent_path = parent_path;
    job.sources = sources;
    job.source_count = 0;
    for (uint64_t i = 0; i < pages; i++) {
        struct snapshot_source *last = job.source_count ? &sources[job.source_count - 1] : NULL;
        if (!dirty[i])
            continue;
        if (last && last->gpa + last->bytes == i * SNAPSHOT_PAGE)
            last->bytes += SNAPSHOT_PAGE;
        else
            sources[job.source_count++] =
                (struct snapshot_source){i * SNAPSHOT_PAGE, SNAPSHOT_PAGE, c->fd, i * SNAPSHOT_PAGE};
    }
    struct snapshot_result result = case_save(&job);
    free(sources);
    memset(dirty, 0, pages);
    return result;
}

struct snapshot *case_snapshot(const char *path)
{
    struct snapshot_error error;
    struct snapshot *snapshot = snapshot_open(path, &error);
    ck_assert_msg(snapshot != NULL, "%s", snapshot ? "" : error.text);
    return snapshot;
}

struct snapshot_chain case_chain(const char *path)
{
    struct snapshot_chain chain;
    struct snapshot_error error;
    int status = snapshot_chain_open(&chain, path, &error);
    ck_assert_msg(status == 0, "%s", status ? error.text : "");
    return chain;
}

static void expect_extents(const struct snapshot_chain *chain, const uint8_t *ram, uint64_t memory)
{
    struct snapshot_extent *extents;
    struct snapshot_error error;
    uint8_t *pages = malloc(memory);
    uint64_t end = 0;
    size_t count;

    ck_assert_int_eq(snapshot_chain_extents(chain, &extents, &count, &error), 0);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(extents[i].gpa, end);
        ck_assert_uint_le(extents[i].bytes, memory - end);
        end += extents[i].bytes;
        memset(pages, 0, extents[i].bytes);
        if (extents[i].offset) {
            ssize_t n =
                pread(snapshot_fd(chain->files[extents[i].file]), pages, extents[i].bytes, (off_t)extents[i].offset);
            ck_assert_int_eq(n, (ssize_t)extents[i].bytes);
        }
        ck_assert_msg(memcmp(pages, ram + extents[i].gpa, extents[i].bytes) == 0, "extent %zu of %zu", i, count);
    }
    ck_assert_uint_eq(end, memory);
    free(extents);
    free(pages);
}

void case_expect(const char *path, const uint8_t *ram, uint64_t memory)
{
    struct snapshot_chain chain = case_chain(path);
    struct snapshot_error error;
    uint8_t *loaded = mmap(NULL, memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool compressed = false;

    ck_assert_ptr_ne(loaded, MAP_FAILED);
    int status = snapshot_chain_load(&chain, loaded, NULL, &error);
    ck_assert_msg(status == 0, "%s", status ? error.text : "");
    for (uint64_t at = 0; at < memory; at += SNAPSHOT_PAGE)
        ck_assert_msg(memcmp(loaded + at, ram + at, SNAPSHOT_PAGE) == 0, "the page at %#llx", (unsigned long long)at);
    munmap(loaded, memory);
    for (unsigned i = 0; i < chain.count; i++) {
        status = snapshot_verify(chain.files[i], &error);
        ck_assert_msg(status == 0, "%s", status ? error.text : "");
        compressed |= snapshot_compressed(chain.files[i]);
    }
    if (!compressed)
        expect_extents(&chain, ram, memory);
    snapshot_chain_close(&chain);
}

static void expect_records(const struct snapshot_records *got, const struct snapshot_records *wanted)
{
    ck_assert_uint_eq(got->count, wanted->count);
    for (unsigned i = 0; i < got->count; i++) {
        ck_assert_uint_eq(got->list[i].type, wanted->list[i].type);
        ck_assert_uint_eq(got->list[i].bytes, wanted->list[i].bytes);
        ck_assert_mem_eq(got->list[i].data, wanted->list[i].data, wanted->list[i].bytes);
    }
}

void case_expect_state(const struct snapshot_state *got, const struct snapshot_state *wanted)
{
    ck_assert_mem_eq(&got->machine, &wanted->machine, sizeof wanted->machine);
    ck_assert_uint_eq(got->cpuid_count, wanted->cpuid_count);
    ck_assert_mem_eq(got->cpuid, wanted->cpuid, wanted->cpuid_count * sizeof *wanted->cpuid);
    for (unsigned i = 0; i < wanted->machine.cpus; i++)
        expect_records(&got->vcpus[i], &wanted->vcpus[i]);
    expect_records(&got->devices, &wanted->devices);
}

struct forge case_read(const char *path)
{
    struct forge forge;
    struct stat status;
    int fd = open(path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &status), 0);
    forge.bytes = (size_t)status.st_size;
    forge.data = malloc(forge.bytes);
    ck_assert_int_eq(read(fd, forge.data, forge.bytes), (ssize_t)forge.bytes);
    close(fd);
    return forge;
}

void case_write(const char *path, const struct forge *forge)
{
    unlink(path); /* some file systems write a file out at once that is cut to nothing and written again */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, forge->data, forge->bytes), (ssize_t)forge->bytes);
    close(fd);
}
