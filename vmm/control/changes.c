/* Commands that change something, in one call of <cleave/cleave.h>. Once that is done the reply cannot fail any more:
 * see message.h and json_memory.h. */
#include "vmm/control/command_functions.h"
#include "vmm/control/request.h"
#include "vmm/control/values.h"

json_t *do_fork(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    struct cleave_fork_report report = {0};
    if (cleave_guest_fork(service->family, request->values[0], (unsigned)request->values[1], request->values[2] != 0,
                          &report, failure) < 0)
        return NULL;
    json_t *reply = fork_json(&report);
    cleave_fork_report_free(&report);
    return reply;
}

json_t *do_pause(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    return cleave_guest_pause(service->family, request->values[0], failure) == 0 ? json_object() : NULL;
}

json_t *do_resume(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    return cleave_guest_resume(service->family, request->values[0], failure) == 0 ? json_object() : NULL;
}

json_t *do_kill(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    return cleave_guest_kill(service->family, request->values[0], failure) == 0 ? json_object() : NULL;
}

json_t *do_checkpoint(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    struct cleave_checkpoint_report report;
    return cleave_guest_checkpoint(service->family, request->values[0], &report, failure) == 0
               ? checkpoint_json(&report)
               : NULL;
}

json_t *do_reset(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    const enum cleave_reset_then then = request->values[1] == ARGUMENT_ABSENT ? CLEAVE_RESET_AS_IT_WAS
                                        : request->values[1]                  ? CLEAVE_RESET_PAUSED
                                                                              : CLEAVE_RESET_RUNNING;
    struct cleave_reset_report report;
    return cleave_guest_reset(service->family, request->values[0], then, &report, failure) == 0 ? reset_json(&report)
                                                                                                : NULL;
}

json_t *do_write_memory(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    return cleave_guest_write(service->family, request->values[0], request->values[1], request->data_length,
                              request->data, failure) == 0
               ? json_object()
               : NULL;
}

json_t *do_console_write(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    return cleave_guest_console_write(service->family, request->values[0], request->data, request->data_length,
                                      failure) == 0
               ? json_object()
               : NULL;
}

json_t *do_quit(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    (void)service, (void)request, (void)failure;
    return json_object();
}
