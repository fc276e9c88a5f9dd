/* See bare_reset.h. */
#include "tools/ptstat/bare_reset.h"
#include "tools/ptstat/bare_boot.h"
#include "tools/ptstat/bare_vm.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/terminal.h"
#include "tools/ptstat/workload.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define MSRS_MOST   256
#define XSAVE_BYTES 65536 /* more than any processor's */
#define WORD_BITS   64

#define MSR_TSC            0x10 /* the guest's clock runs on */
#define MSR_WALL_CLOCK     0x11
#define MSR_WALL_CLOCK_NEW 0x4b564d00 /* writing these has KVM write to guest memory */

union msr_indices {
    struct kvm_msr_list list;
    char space[sizeof(struct kvm_msr_list) + 4 * MSRS_MOST];
};

/* A struct kvm_msrs with room. */
struct msr_values {
    uint32_t nmsrs, pad;
    struct kvm_msr_entry entries[MSRS_MOST];
};

/* Beside what KVM_RUN takes with the call: registers and events, which wait in the shared page. */
struct whole_state {
    struct kvm_sync_regs registers;
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct msr_values msrs;
    char xsave[XSAVE_BYTES];
};

struct bare_reset {
    const struct bare *bare;
    struct bare_vm vm;
    struct whole_state state;
    uint64_t *log;
    uint64_t pages;
};

/* Every MSR that KVM lists, gives and takes back. */
static void find_msrs(struct bare_reset *reset)
{
    union msr_indices all = {.list.nmsrs = MSRS_MOST};
    struct msr_values *found = &reset->state.msrs;

    KVM_CALL(reset->bare->kvm, KVM_GET_MSR_INDEX_LIST, &all);
    for (uint32_t i = 0; i < all.list.nmsrs; i++) {
        struct msr_values one = {.nmsrs = 1};
        const uint32_t index = all.list.indices[i];

        one.entries[0].index = index;
        if (index != MSR_TSC && index != MSR_WALL_CLOCK && index != MSR_WALL_CLOCK_NEW &&
            ioctl(reset->vm.vcpu, KVM_GET_MSRS, &one) == 1 && ioctl(reset->vm.vcpu, KVM_SET_MSRS, &one) == 1)
            found->entries[found->nmsrs++] = one.entries[0];
    }
}

static void save_state(struct bare_reset *reset)
{
    struct whole_state *state = &reset->state;
    const int vcpu = reset->vm.vcpu;

    KVM_CALL(vcpu, KVM_GET_REGS, &state->registers.regs);
    KVM_CALL(vcpu, KVM_GET_SREGS, &state->registers.sregs);
    KVM_CALL(vcpu, KVM_GET_VCPU_EVENTS, &state->registers.events);
    KVM_CALL(vcpu, KVM_GET_XSAVE, state->xsave);
    KVM_CALL(vcpu, KVM_GET_XCRS, &state->xcrs);
    KVM_CALL(vcpu, KVM_GET_DEBUGREGS, &state->debugregs);
    find_msrs(reset);
}

static void set_state(struct bare_reset *reset)
{
    struct whole_state *state = &reset->state;
    const int vcpu = reset->vm.vcpu;

    KVM_CALL(vcpu, KVM_SET_XSAVE, state->xsave);
    if (state->xcrs.nr_xcrs > 0) /* none where the host has no XSAVE, and then KVM would refuse */
        KVM_CALL(vcpu, KVM_SET_XCRS, &state->xcrs);
    KVM_CALL(vcpu, KVM_SET_DEBUGREGS, &state->debugregs);
    KVM_CALL(vcpu, KVM_SET_MSRS, &state->msrs);
    reset->vm.run->s.regs = state->registers;
    reset->vm.run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
}

static bool is_dirty(const struct bare_reset *reset, uint64_t page)
{
    return reset->log[page / WORD_BITS] >> (page % WORD_BITS) & 1;
}

/* The dirty runs, each in one call. */
static void drop_written(struct bare_reset *reset)
{
    for (uint64_t page = 0, end; page < reset->pages; page = end) {
        end = page + 1;
        if (!reset->log[page / WORD_BITS]) {
            end = (page / WORD_BITS + 1) * WORD_BITS;
            continue;
        }
        if (!is_dirty(reset, page))
            continue;
        while (end < reset->pages && is_dirty(reset, end))
            end++;
        if (madvise(reset->vm.window + page * PAGE_BYTES, (end - page) * PAGE_BYTES, MADV_DONTNEED))
            bare_failed("MADV_DONTNEED");
    }
}

struct bare_reset *bare_reset_start(struct bare *bare)
{
    struct bare_reset *reset = calloc(1, sizeof(*reset));

    if (!reset)
        die(EXIT_RUNTIME, "out of memory");
    reset->bare = bare;
    reset->pages = bare->size / PAGE_BYTES;
    reset->log = calloc(reset->pages / WORD_BITS + 1, sizeof(*reset->log));
    if (!reset->log)
        die(EXIT_RUNTIME, "out of memory");
    bare_continue(bare, &reset->vm, KVM_MEM_LOG_DIRTY_PAGES);
    save_state(reset);
    return reset;
}

uint64_t bare_reset_round(struct bare_reset *reset)
{
    struct kvm_dirty_log log = {.dirty_bitmap = reset->log};
    uint64_t start, end;

    bare_vm_run_to(&reset->vm, WORKLOAD_PAID);
    bare_vm_complete_out(&reset->vm);
    start = now_ns();
    KVM_CALL(reset->vm.vm, KVM_GET_DIRTY_LOG, &log);
    drop_written(reset);
    set_state(reset);
    end = now_ns();
    bare_boot_forked(reset->vm.window); /* dropped with the rest: KVM logs what it maps writable, too */
    return end - start;
}

void bare_reset_end(struct bare_reset *reset)
{
    bare_vm_close(reset->bare, &reset->vm);
    free(reset->log);
    free(reset);
}
