/* See bare_run.h. */
#include "tools/ptstat/bare_run.h"
#include "cleave/guest_abi.h"
#include "tools/ptstat/bare_vm.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/guest_image.h"
#include "tools/ptstat/target.h"
#include "tools/ptstat/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct bare_run {
    struct bare *bare;
    struct bare_vm vm;
    struct kvm_sync_regs registers;
    uint64_t *pages; /* that a run changes, by address, */
    size_t count;    /* so many; */
    uint8_t *copies; /* and what is in them when the guest is ready */
};

/* A run has just changed them. What is in the page of the input is written anew for each run. */
static void find_pages(struct bare_run *run)
{
    const uint8_t *origin = mmap(NULL, TARGET_MEMORY, PROT_READ, MAP_SHARED, run->bare->memory, 0);

    if (origin == MAP_FAILED)
        bare_failed("cannot map guest RAM");
    for (uint64_t at = 0; at < TARGET_MEMORY; at += PAGE_BYTES)
        if (at != TARGET_INPUT && memcmp(run->vm.window + at, origin + at, PAGE_BYTES) != 0)
            run->pages[run->count++] = at;
    run->copies = aligned_alloc(PAGE_BYTES, (run->count + 1) * PAGE_BYTES);
    if (!run->copies)
        die(EXIT_RUNTIME, "out of memory");
    for (size_t i = 0; i < run->count; i++)
        memcpy(run->copies + i * PAGE_BYTES, origin + run->pages[i], PAGE_BYTES);
    munmap((void *)(uintptr_t)origin, TARGET_MEMORY);
}

static uint32_t run_to_exit(struct bare_run *run, const struct target_input *input, uint64_t *end)
{
    memcpy(run->vm.window + TARGET_INPUT, input->bytes, TARGET_BYTES);
    run->vm.run->s.regs = run->registers;
    run->vm.run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
    return bare_vm_run_to_port(&run->vm, PORT_EXIT, end);
}

struct bare_run *bare_run_start(unsigned pages)
{
    char path[IMAGE_PATH];
    struct workload words;
    struct bare_run *run = calloc(1, sizeof(*run));
    struct target_input input;
    uint64_t end;

    target_arguments(&words, pages);
    target_input(&input, 0);
    if (!run || !(run->pages = calloc(TARGET_MEMORY / PAGE_BYTES, sizeof(*run->pages))))
        die(EXIT_RUNTIME, "out of memory");
    run->bare = bare_start_guest(&(struct bare_guest){.image = guest_image_file(IMAGE_TARGET, path, sizeof(path)),
                                                      .memory = TARGET_MEMORY,
                                                      .words = &words,
                                                      .port = PORT_READY,
                                                      .value = pages});
    bare_vm_open(run->bare, &run->vm, MAP_PRIVATE, 0);
    bare_vm_set(&run->vm, &run->bare->ready);
    run->registers.regs = run->bare->ready.regs;
    run->registers.sregs = run->bare->ready.sregs;
    KVM_CALL(run->vm.vcpu, KVM_GET_VCPU_EVENTS, &run->registers.events);
    run_to_exit(run, &input, &end);
    find_pages(run);
    if (run->count < pages)
        die(EXIT_RUNTIME, "bare KVM: the guest has written %zu pages where %u were asked for", run->count, pages);
    return run;
}

uint64_t bare_run_round(struct bare_run *run, const struct target_input *input)
{
    const uint64_t start = now_ns();
    uint64_t end;
    uint32_t sum;

    for (size_t i = 0; i < run->count; i++)
        memcpy(run->vm.window + run->pages[i], run->copies + i * PAGE_BYTES, PAGE_BYTES);
    run_to_exit(run, input, &end);
    memcpy(&sum, run->vm.window + TARGET_RESULT, sizeof(sum));
    target_check(input, sum, "bare KVM");
    return end - start;
}

void bare_run_end(struct bare_run *run)
{
    bare_vm_close(run->bare, &run->vm);
    bare_end(run->bare);
    free(run->copies);
    free(run->pages);
    free(run);
}
