/* What the log says of what a guest does: see complaints.h. */
#include "vmm/machine/complaints.h"

#include "vmm/base/clock.h"
#include "vmm/base/log.h"
#include "vmm/machine/machine.h"

#include <inttypes.h>
#include <stdatomic.h>

#define PORTS 65536

static bool may_say(struct machine *machine, struct rate *rate, uint64_t *left_out)
{
    pthread_mutex_lock(&machine->report.lock);
    const bool allowed = rate_allows(rate, clock_ns(), left_out);
    pthread_mutex_unlock(&machine->report.lock);
    return allowed;
}

static void say_left_out_forks(const struct machine *machine, uint64_t left_out)
{
    if (left_out)
        log_warning("guest %" PRIu64 ": %" PRIu64 " more of its forks were refused", machine->id, left_out);
}

static void say_left_out_accesses(const struct machine *machine, uint64_t left_out)
{
    if (left_out)
        log_info("guest %" PRIu64 " uses %" PRIu64 " more ports and addresses where there is nothing", machine->id,
                 left_out);
}

void complain_of_fork(struct machine *machine, unsigned children, const struct cleave_failure *failure)
{
    uint64_t left_out;
    if (!may_say(machine, &machine->complaints.forks, &left_out))
        return;
    say_left_out_forks(machine, left_out);
    log_warning("guest %" PRIu64 ": its fork into %u was refused: %s", machine->id, children, failure->text);
}

void complain_of_port(struct machine *machine, unsigned port)
{
    static _Atomic uint8_t seen[PORTS / 8]; /* of the process */
    const uint8_t bit = (uint8_t)(1u << (port & 7));
    uint64_t left_out;
    if (atomic_fetch_or_explicit(&seen[port >> 3], bit, memory_order_relaxed) & bit ||
        !may_say(machine, &machine->complaints.ports, &left_out))
        return;
    say_left_out_accesses(machine, left_out);
    log_info("guest %" PRIu64 " uses port %#x, where there is no device: reads all ones", machine->id, port);
}

void complain_of_address(struct machine *machine, uint64_t gpa)
{
    uint64_t left_out;
    if (!may_say(machine, &machine->complaints.addresses, &left_out))
        return;
    say_left_out_accesses(machine, left_out);
    log_info("guest %" PRIu64 " uses GPA %#" PRIx64 ", where there is neither RAM nor a device: reads all ones",
             machine->id, gpa);
}

void complain_of_rest(struct machine *machine)
{
    struct complaints *complaints = &machine->complaints;
    pthread_mutex_lock(&machine->report.lock);
    const uint64_t forks = rate_take_left_out(&complaints->forks);
    const uint64_t accesses = rate_take_left_out(&complaints->ports) + rate_take_left_out(&complaints->addresses);
    pthread_mutex_unlock(&machine->report.lock);
    say_left_out_forks(machine, forks);
    say_left_out_accesses(machine, accesses);
}
