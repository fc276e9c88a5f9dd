/* What can be done with a guest, by its id: the calls of <cleave/cleave.h> that are no more than a look for the guest
 * and one step. */
#include "vmm/family/internal.h"

#include "vmm/base/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int cleave_guest_fork(struct cleave_family *family, uint64_t guest, unsigned count, bool paused,
                      struct cleave_fork_report *report, struct cleave_failure *failure)
{
    *report = (struct cleave_fork_report){0};
    struct machine *parent = family_find_live(family, guest, failure);
    if (!parent)
        return -1;
    return family_fork(family, parent, count, paused, -1, report, failure);
}

int cleave_guest_save(struct cleave_family *family, const struct cleave_save_request *request, cleave_save_fn *done,
                      void *context, struct cleave_failure *failure)
{
    struct machine *machine = family_find_live(family, request->guest, failure);
    return machine ? family_save(family, machine, request, done, context, failure) : -1;
}

static bool must_load(const struct snapshot_chain *chain, const struct cleave_restore_request *request)
{
    for (unsigned i = 0; i < chain->count; i++)
        if (snapshot_compressed(chain->files[i]))
            return true;
    return request->eager;
}

/* The chain, open: that of the configuration, if it is this one, or anew. */
static int open_chain(struct cleave_family *family, const char *path, struct snapshot_chain *chain,
                      struct cleave_failure *failure)
{
    if (family->snapshot && strcmp(path, family->snapshot_path) == 0) {
        *chain = *family->snapshot;
        free(family->snapshot);
        family->snapshot = NULL;
        family_close_snapshot(family);
        return 0;
    }
    struct snapshot_error error;
    return snapshot_chain_open(chain, path, &error) < 0 ? family_fail_snapshot(&error, failure) : 0;
}

static int restore(const struct restoring *restoring, cleave_restore_fn *done, void *context,
                   struct cleave_failure *failure)
{
    struct cleave_restore_report report;
    if (family_restore_chain(restoring, &report, failure) < 0)
        return -1;
    done(context, &report, NULL);
    return 0;
}

int cleave_guest_restore(struct cleave_family *family, const struct cleave_restore_request *request,
                         cleave_restore_fn *done, void *context, struct cleave_failure *failure)
{
    struct snapshot_chain chain;
    const struct restoring restoring = {family, &chain, request, clock_ns(), NULL};
    if (open_chain(family, request->path, &chain, failure) < 0)
        return -1;
    bool load = must_load(&chain, request);
    int result = family_check_restore(&restoring, failure);
    if (result == 0)
        result = load ? family_load_and_restore(&restoring, done, context, failure)
                      : restore(&restoring, done, context, failure);
    if (!load || result < 0)
        snapshot_chain_close(&chain);
    return result;
}

int cleave_guest_pause(struct cleave_family *family, uint64_t guest, struct cleave_failure *failure)
{
    struct machine *machine = family_find_live(family, guest, failure);
    if (!machine)
        return -1;
    if (machine->state == CLEAVE_PAUSED)
        return 0;
    family_pause_or_end(family, machine, NULL);
    return 0;
}

int cleave_guest_resume(struct cleave_family *family, uint64_t guest, struct cleave_failure *failure)
{
    struct machine *machine = family_find_live(family, guest, failure);
    if (!machine)
        return -1;
    if (machine->state == CLEAVE_RUNNING)
        return 0;
    family_start(family, machine);
    family_emit_plain(family, machine, CLEAVE_EVENT_RESUMED);
    return 0;
}

_Static_assert(UART_INPUT_MAX == CLEAVE_CONSOLE_INPUT_MAX, "what is promised is what there is");

int cleave_guest_console_write(struct cleave_family *family, uint64_t guest, const void *bytes, size_t length,
                               struct cleave_failure *failure)
{
    struct machine *machine = family_find_live(family, guest, failure);
    if (!machine)
        return -1;
    if (length < 1 || length > UART_INPUT_MAX)
        return fail(failure, CLEAVE_INVALID_ARGUMENT, "%zu bytes of console input: must be from 1 to %d", length,
                    UART_INPUT_MAX);
    pthread_mutex_lock(&machine->report.lock);
    const size_t unread = uart_unread(&machine->uart);
    const bool fits = uart_receive(&machine->uart, bytes, length);
    pthread_mutex_unlock(&machine->report.lock);
    return fits ? 0
                : fail(failure, CLEAVE_BUSY,
                       "guest %" PRIu64 " has not read %zu bytes of its console input yet: there is room for %zu more",
                       guest, unread, UART_INPUT_MAX - unread);
}

int cleave_guest_kill(struct cleave_family *family, uint64_t guest, struct cleave_failure *failure)
{
    struct machine *machine = family_find_held(family, guest, failure);
    if (!machine)
        return -1;
    if (machine_has_ended(machine)) {
        family_release(family, machine);
        family_forget_oldest(family);
        family_check_idle(family);
    } else {
        family_end(family, machine, CLEAVE_END_KILLED, 0, NULL);
    }
    return 0;
}

int cleave_guest_write(struct cleave_family *family, uint64_t guest, uint64_t gpa, size_t length, const void *buffer,
                       struct cleave_failure *failure)
{
    struct machine *machine = family_find_live(family, guest, failure);
    if (!machine)
        return -1;
    if (memory_write(&machine->memory, gpa, buffer, length, failure) == 0)
        return 0;
    return failure->kind == CLEAVE_INVALID_ARGUMENT ? -1 : family_blame_lost_file(machine, failure);
}

int cleave_guest_registers(struct cleave_family *family, uint64_t guest, struct cleave_registers *registers,
                           unsigned *count, struct cleave_failure *failure)
{
    struct machine *machine = family_find_live(family, guest, failure);
    if (!machine)
        return -1;
    vm_stop(machine->vm);
    int result = machine_registers(machine, registers, failure);
    *count = machine->vm->cpus;
    if (machine->state == CLEAVE_RUNNING && !report_has_stop(machine))
        vm_start(machine->vm);
    return result;
}
