/* What guests report from their vCPU threads, taken up on the event loop: ends, forks by port, marks. */
#include "vmm/family/internal.h"

#include "vmm/base/clock.h"
#include "vmm/base/log.h"

#include <cleave/guest_abi.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void host_post(struct host *host, struct machine *machine)
{
    pthread_mutex_lock(&host->lock);
    bool ring = !machine->report.posted;
    if (ring) {
        machine->report.posted = true;
        machine->report.next = host->posted;
        host->posted = machine;
    }
    pthread_mutex_unlock(&host->lock);
    if (ring)
        uv_async_send(&host->wake);
}

static struct machine *take_posted(struct host *host)
{
    pthread_mutex_lock(&host->lock);
    struct machine *machine = host->posted;
    if (machine) {
        host->posted = machine->report.next;
        machine->report.posted = false;
    }
    pthread_mutex_unlock(&host->lock);
    return machine;
}

static void pass_marks(struct host *host, struct machine *machine)
{
    struct mark mark;
    while (marks_next(&machine->marks, &mark)) {
        struct host_event event = {
            .kind = EVENT_MARK, .guest = machine->id, .timestamp_ns = mark.timestamp_ns, .mark = mark.value};
        host_emit(host, &event);
    }
}

static void print_crash(const struct machine *machine, const char *reason, const char *registers)
{
    char text[MACHINE_REASON + MACHINE_REGISTERS + 64];
    int length =
        snprintf(text, sizeof text, "vmm: guest %" PRIu64 " crashed: %s\n%s\n", machine->id, reason, registers);
    if (write(STDERR_FILENO, text, (size_t)length) < 0)
        return; /* nowhere left to complain */
}

/* Forks by port, one vCPU's after the other. The parent's vCPU waits meanwhile, and reads the outcome afterwards. */
static void fork_for(struct host *host, struct machine *machine, unsigned vcpu, uint32_t count)
{
    struct fork_report report;
    struct failure failure;
    bool done = host_fork_machine(host, machine, count, false, true, &report, &failure) == 0;
    if (done)
        fork_report_free(&report);
    else
        log_warning("guest %" PRIu64 ": its fork into %u was refused: %s", machine->id, count, failure.text);
    if (!machine->vm)
        return;
    vm_stop(machine->vm);
    machine->fork_result = done ? 0 : FORK_REFUSED;
    machine->vm->vcpus[vcpu].waiting = false;
    if (machine->state == GUEST_RUNNING)
        vm_start(machine->vm);
}

static uint32_t take_fork(struct machine *machine, unsigned vcpu)
{
    pthread_mutex_lock(&machine->report.lock);
    uint32_t count = machine->report.forks[vcpu];
    machine->report.forks[vcpu] = 0;
    pthread_mutex_unlock(&machine->report.lock);
    return count;
}

static void take_report(struct host *host, struct machine *machine)
{
    pass_marks(host, machine);
    if (machine_has_ended(machine))
        return;
    pthread_mutex_lock(&machine->report.lock);
    enum guest_end end = machine->report.end;
    uint32_t exit_code = machine->report.exit_code;
    pthread_mutex_unlock(&machine->report.lock);
    if (end != END_NONE) {
        /* Nothing is written to the report after its first end. */
        const char *reason = machine->report.reason;
        char lost[MACHINE_REASON];
        if (end == END_CRASH && host_lost_file(host, machine, lost, sizeof lost))
            reason = lost;
        if (end == END_CRASH)
            print_crash(machine, reason, machine->report.registers);
        host_end(host, machine, end, exit_code, reason);
        return;
    }
    for (unsigned i = 0; i < host->options->cpus && machine->vm; i++) {
        uint32_t count = take_fork(machine, i);
        if (count)
            fork_for(host, machine, i, count);
    }
}

void host_take_reports(struct host *host)
{
    struct machine *machine;
    while ((machine = take_posted(host)))
        take_report(host, machine);
}
