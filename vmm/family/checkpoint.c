/*
 * Checkpoints: a snapshot in memory for reset. It costs the guest what a fork does, without a child: after the pause
 * of freeze.h everything is in its view, and that is all there is to remember (instant.h).
 */
#include "vmm/family/freeze.h"
#include "vmm/family/internal.h"

int host_checkpoint(struct host *host, uint64_t guest, struct checkpoint_report *report, struct failure *failure)
{
    struct machine *machine = host_find_live(host, guest, failure);
    if (!machine)
        return -1;
    struct freezing freezing;
    int result = freeze_prepare(&freezing, host, machine, failure);
    if (result == 0)
        result = freeze(&freezing, failure);
    if (result == 0) {
        instant_set_checkpoint(machine, freezing.state, freezing.fork_result);
        machine->checkpoints++;
    }
    *report = (struct checkpoint_report){freezing.pause_ns, freezing.published_pages};
    bool moved = freezing.spare && result == 0;
    freeze_end(&freezing);
    layers_settle(host->layers);
    if (moved)
        pool_prepare(host->pool, 1);
    return result;
}
