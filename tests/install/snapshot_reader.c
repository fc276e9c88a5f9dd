/* A program of somebody who has the library of snapshot files installed: opens one, reads its memory, compares every
 * checksum, and sees what is no snapshot refused. tests/install/check_install compiles and runs it. */
#include <cleave/snapshot.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const struct snapshot_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    return EXIT_FAILURE;
}

static uint64_t pages_of(const struct snapshot *snapshot)
{
    uint64_t pages = 0;
    size_t count;
    const struct snapshot_run *runs = snapshot_runs(snapshot, &count);
    for (size_t i = 0; i < count; i++)
        pages += runs[i].bytes / SNAPSHOT_PAGE;
    return pages;
}

int main(int argc, char **argv)
{
    struct snapshot_error error;
    struct snapshot_chain chain;
    if (argc != 2 || snapshot_open("/dev/null", &error) || !strstr(error.text, "/dev/null"))
        return EXIT_FAILURE;
    if (snapshot_chain_open(&chain, argv[1], &error) < 0)
        return fail(&error);
    const struct snapshot *snapshot = chain.files[chain.count - 1];
    const uint64_t memory = snapshot_state(snapshot)->machine.memory;
    uint8_t *bytes = calloc(1, memory);
    if (!bytes || snapshot_chain_load(&chain, bytes, NULL, &error) < 0 || snapshot_verify(snapshot, &error) < 0)
        return fail(&error);
    printf("memory %llu bytes, %llu pages, good\n", (unsigned long long)memory, (unsigned long long)pages_of(snapshot));
    free(bytes);
    snapshot_chain_close(&chain);
    return EXIT_SUCCESS;
}
