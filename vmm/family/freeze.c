/* The pause of forks and checkpoints: see freeze.h. */
#include "vmm/family/freeze.h"

#include "vmm/base/clock.h"
#include "vmm/family/internal.h"

#include <cleave/guest_abi.h>

#include <inttypes.h>

const char *const fork_phase_names[FORK_PHASES] = {"stop", "save", "harvest", "publish", "move", "resume"};

/* Fewer dirty pages than this are published in the pause sooner than a round is worth. */
#define AHEAD_PAGES  256
#define AHEAD_ROUNDS 4

/*
 * Publishing ahead, in rounds as live migration does it: what the guest has written is published while it runs on. A
 * page that it writes meanwhile may be copied half-way; but then it is dirty again, and published again in the next
 * round or in the pause. So the pause's length follows what the guest writes in a round and not what it wrote since it
 * was last forked. A guest that writes as fast as it is copied gains nothing, and gets no further round.
 */
static int publish_ahead(struct freezing *f, struct failure *failure)
{
    struct machine *machine = f->machine;
    if (machine->window_shared || machine->state != GUEST_RUNNING)
        return 0;
    uint64_t before = UINT64_MAX;
    for (int round = 0; round < AHEAD_ROUNDS; round++) {
        if (machine_harvest(machine, failure) < 0)
            return -1;
        uint64_t dirty = machine_overlay_bytes(machine) / PAGE_BYTES;
        if (dirty < AHEAD_PAGES || dirty > before / 2)
            return 0;
        if (machine_publish(machine, f->host->layers, &f->published_pages, failure) < 0)
            return -1;
        before = dirty;
    }
    return 0;
}

int freeze_prepare(struct freezing *f, struct host *host, struct machine *machine, struct failure *failure)
{
    *f = (struct freezing){.host = host, .machine = machine};
    f->state = machine_state_new(&host->kvm, host->options->cpus, failure);
    if (!f->state || instant_preserve(machine, failure) < 0)
        return -1;
    if (machine->window_shared)
        return pool_take(host->pool, &f->spare, 1, failure);
    int result = publish_ahead(f, failure);
    machine->ahead_pages += f->published_pages;
    return result < 0 ? host_blame_lost_file(host, machine, failure) : 0;
}

static void end_phase(struct freezing *f, enum fork_phase phase)
{
    uint64_t now = clock_ns();
    f->phases_ns[phase] = now - f->phase_start;
    f->phase_start = now;
}

/* The guest goes on in the spare VM. Its old one takes that place: it is not as the pool wants them. */
static int move(struct freezing *f, struct failure *failure)
{
    struct machine *machine = f->machine;
    struct vm *old = machine->vm, *fresh = f->spare;
    if (machine_project(machine, fresh, failure) < 0 || machine_restore_vm(fresh, f->state, failure) < 0 ||
        view_freeze(&machine->view, failure) < 0)
        return -1;
    for (unsigned i = 0; i < fresh->cpus; i++) {
        fresh->vcpus[i].waiting = old->vcpus[i].waiting;
        fresh->vcpus[i].ended = old->vcpus[i].ended;
    }
    fresh->machine = machine;
    old->machine = NULL;
    machine->vm = fresh;
    machine->window_shared = false;
    f->spare = old;
    return 0;
}

/* The guest may have ended between the command and the stop. A fork that a vCPU has asked for is carried out for this
 * guest alone, and not for who goes on from the same state. */
static int inspect_stopped(struct freezing *f, struct failure *failure)
{
    struct machine *machine = f->machine;
    if (machine_end_reported(machine))
        return fail(failure, FAIL_GUEST_NOT_FOUND, "guest %" PRIu64 " has just ended", machine->id);
    f->fork_result = machine->fork_result;
    for (unsigned i = 0; i < machine->vm->cpus; i++)
        if (machine->vm->vcpus[i].waiting)
            f->fork_result = FORK_REFUSED;
    return 0;
}

static int in_pause(struct freezing *f, struct failure *failure)
{
    struct machine *machine = f->machine;
    if (inspect_stopped(f, failure) < 0 || machine_save(machine, f->state, failure) < 0)
        return -1;
    end_phase(f, FORK_SAVE);
    if (machine_harvest(machine, failure) < 0)
        return -1;
    end_phase(f, FORK_HARVEST);
    if (machine_publish(machine, f->host->layers, &f->published_pages, failure) < 0)
        return host_blame_lost_file(f->host, machine, failure);
    end_phase(f, FORK_PUBLISH);
    if (machine->window_shared && move(f, failure) < 0)
        return -1;
    end_phase(f, FORK_MOVE);
    return 0;
}

/* The pause ends when the last of the vCPUs is in the guest again. That is waited for: on a busy host what this thread
 * does next would otherwise keep them from the processor. */
int freeze(struct freezing *f, struct failure *failure)
{
    struct machine *machine = f->machine;
    uint64_t start = f->phase_start = clock_ns();
    vm_stop(machine->vm);
    end_phase(f, FORK_STOP);
    int result = in_pause(f, failure);
    uint64_t resume = clock_ns(), end = resume;
    if (machine->state == GUEST_RUNNING) {
        vm_start(machine->vm);
        uint64_t entered = vm_wait_entered(machine->vm, resume);
        end = entered > resume ? entered : resume;
    }
    f->phases_ns[FORK_RESUME] = end - resume;
    f->pause_ns = end - start;
    return result;
}

void freeze_end(struct freezing *f)
{
    if (f->spare)
        vm_free_later(f->host->reaper, f->spare);
    machine_state_put(f->state);
    f->spare = NULL;
    f->state = NULL;
}
