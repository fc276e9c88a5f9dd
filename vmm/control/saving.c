/* Commands about snapshots, which take their time. */
#include "vmm/control/answer.h"
#include "vmm/control/command_functions.h"
#include "vmm/control/request.h"
#include "vmm/control/values.h"

static void on_snapshot(void *context, const struct cleave_save_report *report, const struct cleave_failure *failure)
{
    answer_give(context, report ? snapshot_json(report) : NULL, failure);
}

int start_snapshot(struct service *service, const struct request *request, struct answer *answer,
                   struct cleave_failure *failure)
{
    const struct cleave_save_request wanted = {
        .guest = request->values[0],
        .path = request->texts[1],
        .diff = request->values[2] == SNAPSHOT_KIND_DIFF,
        .compress = request->values[3] != 0,
    };
    return cleave_guest_save(service->family, &wanted, on_snapshot, answer, failure);
}

static void on_restore(void *context, const struct cleave_restore_report *report, const struct cleave_failure *failure)
{
    answer_give(context, report ? restore_json(report) : NULL, failure);
}

int start_restore(struct service *service, const struct request *request, struct answer *answer,
                  struct cleave_failure *failure)
{
    const struct cleave_restore_request wanted = {
        .path = request->texts[0],
        .paused = request->values[1] != 0,
        .eager = request->values[2] != 0,
    };
    return cleave_guest_restore(service->family, &wanted, on_restore, answer, failure);
}
