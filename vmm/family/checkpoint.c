/*
 * Checkpoints: a snapshot in memory for reset. It costs the guest what a fork does, without a child: after the pause
 * of freeze.h everything is in its view, and that is all there is to remember (machine.h).
 */
#include "vmm/family/freeze.h"
#include "vmm/family/internal.h"

int cleave_guest_checkpoint(struct cleave_family *family, uint64_t guest, struct cleave_checkpoint_report *report,
                            struct cleave_failure *failure)
{
    struct machine *machine = family_find_live(family, guest, failure);
    if (!machine)
        return -1;
    struct freezing freezing;
    int result = freeze_prepare(&freezing, family, machine, failure);
    if (result == 0)
        result = freeze(&freezing, failure);
    if (result == 0) {
        machine_set_checkpoint(machine, freezing.state);
        machine->checkpoints++;
    }
    *report = (struct cleave_checkpoint_report){freezing.pause_ns, freezing.published_pages};
    bool moved = freezing.spare && result == 0;
    freeze_end(&freezing);
    store_settle(&family->store);
    if (moved && family->config.ready_vms)
        pool_prepare(family->pool, 1);
    return result;
}
