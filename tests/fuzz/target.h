/* A libFuzzer target: bytes become a list of operations, which one format's trees and the reference must answer alike.
 * Define FUZZ_FORMAT (a model_format) and include this. `PROGRAM --explain FILE` shortens and prints what a file does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/model_driver.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void explain(const char *path)
{
    uint8_t *bytes = malloc(1 << 20);
    FILE *file = fopen(path, "rb");
    struct script script;

    if (!file || !bytes) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(EXIT_FAILURE);
    }
    script = script_of_bytes(bytes, fread(bytes, 1, 1 << 20, file), FUZZ_FORMAT.levels);
    fclose(file);
    free(bytes);
    model_explain(&FUZZ_FORMAT, &script);
    free(script.ops);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (*argc == 3 && strcmp((*argv)[1], "--explain") == 0) {
        explain((*argv)[2]);
        exit(EXIT_SUCCESS);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lab *lab;
    struct script script = script_of_bytes(data, size, FUZZ_FORMAT.levels);

    if (!lab)
        lab = lab_new();
    if (!model_run(lab, &FUZZ_FORMAT, &script, false)) {
        fprintf(stderr, "operation %zu: %s\n", lab->step + 1, lab->failure);
        abort();
    }
    free(script.ops);
    return 0;
}
