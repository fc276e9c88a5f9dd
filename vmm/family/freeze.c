/* The pause of forks, checkpoints and snapshots: see freeze.h. */
#include "vmm/family/freeze.h"

#include "vmm/base/clock.h"
#include "vmm/family/internal.h"

#include <inttypes.h>

const char *const cleave_fork_phase_names[CLEAVE_FORK_PHASES] = {"stop",    "save", "harvest",
                                                                 "publish", "move", "resume"};

/* Fewer dirty pages than this are published in the pause sooner than a round is worth. */
#define AHEAD_PAGES  256
#define AHEAD_ROUNDS 4

/*
 * Publishing ahead, in rounds as live migration does it: what the guest has written is published while it runs on. A
 * page that it writes meanwhile may be copied half-way; but then it is dirty again, and published again in the next
 * round or in the pause. So the pause's length follows what the guest writes in a round and not what it wrote since it
 * was last forked. A guest that writes as fast as it is copied gains nothing, and gets no further round.
 */
static int publish_ahead(struct freezing *f, struct cleave_failure *failure)
{
    struct machine *machine = f->machine;
    if (machine->memory.window_shared || machine->state != CLEAVE_RUNNING)
        return 0;
    uint64_t before = UINT64_MAX;
    for (int round = 0; round < AHEAD_ROUNDS; round++) {
        if (machine_harvest(machine, failure) < 0)
            return -1;
        uint64_t dirty = memory_overlay_bytes(&machine->memory) / PAGE_BYTES;
        if (dirty < AHEAD_PAGES || dirty > before / 2)
            return 0;
        if (memory_publish(&machine->memory, &f->published_pages, failure) < 0)
            return -1;
        before = dirty;
    }
    return 0;
}

int freeze_prepare(struct freezing *f, struct cleave_family *family, struct machine *machine,
                   struct cleave_failure *failure)
{
    *f = (struct freezing){.family = family, .machine = machine};
    f->state = machine_state_new(&family->kvm, family->config.cpus, failure);
    if (!f->state || memory_preserve(&machine->memory, failure) < 0)
        return -1;
    if (machine->memory.window_shared)
        return pool_take(family->pool, &f->spare, 1, failure);
    int result = publish_ahead(f, failure);
    machine->ahead_pages += f->published_pages;
    return result < 0 ? family_blame_lost_file(machine, failure) : 0;
}

static void end_phase(struct freezing *f, enum cleave_fork_phase phase)
{
    uint64_t now = clock_ns();
    f->phases_ns[phase] = now - f->phase_start;
    f->phase_start = now;
}

/* The guest goes on in the spare VM. Its old one takes that place: it is not as the pool wants them. */
static int move(struct freezing *f, struct cleave_failure *failure)
{
    struct machine *machine = f->machine;
    struct vm *old = machine->vm, *fresh = f->spare;
    if (memory_project(&machine->memory, fresh->window, failure) < 0 ||
        machine_restore_vm(fresh, f->state, failure) < 0 || view_freeze(&machine->memory.view, failure) < 0)
        return -1;
    for (unsigned i = 0; i < fresh->cpus; i++) {
        fresh->vcpus[i].waiting = old->vcpus[i].waiting;
        fresh->vcpus[i].ended = old->vcpus[i].ended;
    }
    old->guest = NULL;
    fresh->caller = old->caller;
    old->caller = NULL;
    machine_take_vm(machine, fresh);
    machine->memory.window_shared = false;
    f->spare = old;
    return 0;
}

/* The guest may have ended between the command and the stop. */
static int inspect_stopped(const struct freezing *f, struct cleave_failure *failure)
{
    struct machine *machine = f->machine;
    if (report_has_end(machine))
        return fail(failure, CLEAVE_GUEST_NOT_FOUND, "guest %" PRIu64 " has just ended", machine->id);
    return 0;
}

static int in_pause(struct freezing *f, struct cleave_failure *failure)
{
    struct machine *machine = f->machine;
    if (inspect_stopped(f, failure) < 0 || machine_save(machine, f->state, failure) < 0)
        return -1;
    end_phase(f, CLEAVE_FORK_SAVE);
    if (machine_harvest(machine, failure) < 0)
        return -1;
    end_phase(f, CLEAVE_FORK_HARVEST);
    if (memory_publish(&machine->memory, &f->published_pages, failure) < 0)
        return family_blame_lost_file(machine, failure);
    end_phase(f, CLEAVE_FORK_PUBLISH);
    if (machine->memory.window_shared && move(f, failure) < 0)
        return -1;
    end_phase(f, CLEAVE_FORK_MOVE);
    return 0;
}

/* The pause ends when the last of the vCPUs is in the guest again. That is waited for: on a busy host what this thread
 * does next would otherwise keep them from the processor. */
int freeze(struct freezing *f, struct cleave_failure *failure)
{
    struct machine *machine = f->machine;
    uint64_t start = f->phase_start = clock_ns();
    vm_stop(machine->vm);
    end_phase(f, CLEAVE_FORK_STOP);
    int result = in_pause(f, failure);
    uint64_t resume = clock_ns(), end = resume;
    if (machine->state == CLEAVE_RUNNING && !report_has_stop(machine)) {
        vm_start(machine->vm);
        uint64_t entered = vm_wait_entered(machine->vm, resume);
        end = entered > resume ? entered : resume;
    }
    f->phases_ns[CLEAVE_FORK_RESUME] = end - resume;
    f->pause_ns = end - start;
    return result;
}

void freeze_end(struct freezing *f)
{
    if (f->spare)
        vm_free_later(f->family->reaper, f->spare);
    machine_state_put(f->state);
    f->spare = NULL;
    f->state = NULL;
}
