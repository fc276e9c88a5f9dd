/* Fuzzes what reads snapshot files. The first byte of an input says what is made right before the rest is opened: its
 * checksums, its length; so that what lies behind those checks is reached too. What opens must be read without harm.
 *
 * `PROGRAM --explain FILE` prints what opening the file says; `PROGRAM --corpus FOLDER` writes the files to begin with.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/snapshot_forge.h"

#define REPAIR_CHECKSUMS 1
#define REPAIR_LENGTH    2
#define MEMORY_MAX       (UINT64_C(64) << 20) /* of machines whose memory is loaded */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool talk;

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void say(const char *what, int result, const struct snapshot_error *error)
{
    if (result < 0)
        require(error->class <= SNAPSHOT_CANCELLED && strncmp(error->text, "/proc/", 6) == 0 &&
                    !strchr(error->text, '\n'),
                "an error without words");
    if (talk)
        printf("%s: %s\n", what, result < 0 ? error->text : "good");
}

static void check_extents(const struct snapshot_chain *chain, uint64_t memory)
{
    struct snapshot_extent *extents;
    struct snapshot_error error = {0};
    uint64_t end = 0;
    size_t count;
    int result = snapshot_chain_extents(chain, &extents, &count, &error);

    say("extents", result, &error);
    if (result < 0)
        return;
    for (size_t i = 0; i < count; i++) {
        const struct snapshot_extent *extent = &extents[i];
        require(extent->gpa == end && extent->bytes && extent->bytes <= memory - end, "extents leave a gap");
        require(layout_within(extent->offset, extent->offset ? extent->bytes : 0, snapshot_bytes(chain->files[0])),
                "an extent reaches beyond the file");
        end += extent->bytes;
    }
    require(end == memory, "extents end early");
    free(extents);
}

static void read_memory(const struct snapshot_chain *chain, uint64_t memory)
{
    struct snapshot_error error = {0};
    uint8_t *loaded;

    check_extents(chain, memory);
    if (memory > MEMORY_MAX)
        return;
    loaded = mmap(NULL, memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(loaded != MAP_FAILED, "no memory");
    say("load", snapshot_chain_load(chain, loaded, NULL, &error), &error);
    munmap(loaded, memory);
}

static void open_and_read(const char *path)
{
    struct snapshot_chain chain;
    struct snapshot_error error = {0};
    struct snapshot *snapshot = snapshot_open(path, &error);

    say("open", snapshot ? 0 : -1, &error);
    if (!snapshot)
        return;
    say("verify", snapshot_verify(snapshot, &error), &error);
    if (snapshot_kind(snapshot) == SNAPSHOT_FULL) {
        chain = (struct snapshot_chain){{snapshot}, 1};
        read_memory(&chain, snapshot_state(snapshot)->machine.memory);
    } else {
        int result = snapshot_chain_open(&chain, path, &error);
        say("chain", result, &error);
        require(result < 0, "a parent was found"); /* nothing is beside a file without a name */
    }
    snapshot_close(snapshot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    char path[32];
    struct forge forge = {NULL, size ? size - 1 : 0};

    if (fd < 0)
        fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (!size)
        return 0;
    forge.data = malloc(forge.bytes + 1);
    require(fd >= 0 && forge.data, "no memory");
    memcpy(forge.data, data + 1, forge.bytes);
    if (data[0] & REPAIR_LENGTH && forge_header(&forge))
        forge_header(&forge)->file_bytes = forge.bytes;
    if (data[0] & REPAIR_CHECKSUMS)
        forge_repair(&forge);
    require(ftruncate(fd, 0) == 0 && pwrite(fd, forge.data, forge.bytes, 0) == (ssize_t)forge.bytes, "no file");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    open_and_read(path);
    free(forge.data);
    return 0;
}

/* ---- What to begin with ---- */

static struct snapshot_state small_state(void)
{
    static const uint8_t zeros[4096];
    static const uint32_t bytes[] = {144, 312, 4096, 392, 128, 64, 4, 16, 8, 1};
    struct snapshot_state state = {.machine = {.memory = 4 << 20, .cpus = 1}};
    for (uint32_t i = 0; i < 10; i++)
        state.vcpus[0].list[state.vcpus[0].count++] = (struct snapshot_record){i + 1, bytes[i], zeros};
    state.devices.list[state.devices.count++] = (struct snapshot_record){SNAPSHOT_DEVICE_UART, 9, zeros};
    return state;
}

/* The file at the path with the first byte of an input before it. */
static void make_input(const char *path)
{
    static uint8_t bytes[1 << 16] = {REPAIR_CHECKSUMS | REPAIR_LENGTH};
    int fd = open(path, O_RDWR);
    ssize_t n = read(fd, bytes + 1, sizeof bytes - 1);
    require(n > 0 && pwrite(fd, bytes, (size_t)n + 1, 0) == n + 1, path);
    close(fd);
}

static void make_corpus(const char *folder)
{
    static const char *const names[] = {"full", "packed", "diff"};
    struct snapshot_lineage parent = {{{{1}, 2}}, 1};
    struct snapshot_state state = small_state();
    struct snapshot_source sources[] = {{0x5000, 4096, -1, 0}, {0x6000, 8192, -1, 0}};
    char path[4096], page[4096] = "page";
    struct snapshot_error error;

    sources[0].fd = memfd_create("ram", MFD_CLOEXEC);
    require(write(sources[0].fd, page, sizeof page) == sizeof page, "no memory");
    for (unsigned i = 0; i < 3; i++) {
        struct snapshot_job job = {.path = path, .kind = SNAPSHOT_FULL, .state = &state, .sources = sources};
        job.source_count = 2;
        job.compress = i == 1;
        if (i == 2) {
            job.kind = SNAPSHOT_DIFF;
            job.parent = &parent;
            job.parent_path = "/nowhere/parent";
        }
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        require(snapshot_save(&job, NULL, &error) == 0, folder);
        make_input(path);
    }
}

static void explain(const char *path)
{
    uint8_t *bytes = malloc(1 << 20);
    FILE *file = fopen(path, "rb");
    require(file && bytes, path);
    size_t n = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    talk = true;
    LLVMFuzzerTestOneInput(bytes, n);
    free(bytes);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (*argc != 3)
        return 0;
    if (strcmp((*argv)[1], "--explain") == 0)
        explain((*argv)[2]);
    else if (strcmp((*argv)[1], "--corpus") == 0)
        make_corpus((*argv)[2]);
    else
        return 0;
    exit(EXIT_SUCCESS);
}
