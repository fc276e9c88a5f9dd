/* Reports of machines and mailboxes for them: see report.h. */
#include "vmm/machine/report.h"

#include "vmm/base/bell.h"
#include "vmm/machine/machine.h"

void mailbox_init(struct mailbox *mailbox, int bell)
{
    *mailbox = (struct mailbox){.bell = bell};
    mailbox->last = &mailbox->first;
    pthread_mutex_init(&mailbox->lock, NULL);
}

void mailbox_destroy(struct mailbox *mailbox)
{
    pthread_mutex_destroy(&mailbox->lock);
}

void mailbox_post(struct mailbox *mailbox, struct machine *machine)
{
    pthread_mutex_lock(&mailbox->lock);
    bool ring = !machine->report.posted;
    if (ring) {
        machine->report.posted = true;
        machine->report.next = NULL;
        *mailbox->last = machine;
        mailbox->last = &machine->report.next;
        mailbox->count++;
    }
    pthread_mutex_unlock(&mailbox->lock);
    if (kick_is_mine(&mailbox->runner)) { /* the owner itself, which looks before it enters the guest again */
        atomic_store(&mailbox->runner.attention, true);
        return;
    }
    if (ring)
        mailbox_ring(mailbox);
}

void mailbox_ring(struct mailbox *mailbox)
{
    bell_ring(mailbox->bell);
    kick(&mailbox->runner);
}

size_t mailbox_count(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    size_t count = mailbox->count;
    pthread_mutex_unlock(&mailbox->lock);
    return count;
}

struct machine *mailbox_take(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    struct machine *machine = mailbox->first;
    if (machine) {
        mailbox->first = machine->report.next;
        if (!mailbox->first)
            mailbox->last = &mailbox->first;
        mailbox->count--;
        machine->report.posted = false;
    }
    pthread_mutex_unlock(&mailbox->lock);
    return machine;
}

bool mailbox_holds(struct mailbox *mailbox, const struct machine *machine)
{
    pthread_mutex_lock(&mailbox->lock);
    bool posted = machine->report.posted;
    pthread_mutex_unlock(&mailbox->lock);
    return posted;
}

/* The first end counts. */
static void end(struct machine *machine, enum cleave_end end, uint32_t exit_code, bool halted,
                const struct cleave_crash *crash)
{
    struct machine_report *report = &machine->report;
    pthread_mutex_lock(&report->lock);
    if (report->end == CLEAVE_END_NONE) {
        report->end = end;
        report->exit_code = exit_code;
        report->all_halted = halted;
        if (crash)
            report->crash = *crash;
    }
    pthread_mutex_unlock(&report->lock);
    mailbox_post(machine->mailbox, machine);
}

void report_exit(struct machine *machine, uint32_t exit_code)
{
    end(machine, CLEAVE_END_EXIT, exit_code, false, NULL);
}

void report_crash(struct machine *machine, const struct cleave_crash *crash)
{
    end(machine, CLEAVE_END_CRASH, 0, false, crash);
}

void report_halt(struct machine *machine)
{
    pthread_mutex_lock(&machine->report.lock);
    bool all = ++machine->report.halted == machine->vm->cpus;
    pthread_mutex_unlock(&machine->report.lock);
    if (all) /* without an interrupt controller nothing can wake any of them */
        end(machine, CLEAVE_END_EXIT, 0, true, NULL);
}

void report_fork(struct machine *machine, unsigned vcpu, uint32_t count)
{
    pthread_mutex_lock(&machine->report.lock);
    machine->report.forks[vcpu] = count;
    pthread_mutex_unlock(&machine->report.lock);
    mailbox_post(machine->mailbox, machine);
}

/* Whether the run is to end at this; then all vCPUs of the guest are asked to stop. */
static bool stop_at(struct machine *machine, enum cleave_stop_reason reason, unsigned vcpu, uint32_t value)
{
    if (!(atomic_load_explicit(&machine->until, memory_order_relaxed) & 1u << reason))
        return false;
    struct machine_report *report = &machine->report;
    pthread_mutex_lock(&report->lock);
    if (!report->stopped) {
        report->stopped = true;
        report->stop.reason = reason;
        report->stop.vcpu = vcpu;
        report->stop.value = value;
    }
    pthread_mutex_unlock(&report->lock);
    vm_ask_stop(machine->vm);
    return true;
}

bool report_mark(struct machine *machine, unsigned vcpu, uint32_t value)
{
    marks_add(&machine->marks, value);
    bool stop = stop_at(machine, CLEAVE_STOP_MARK, vcpu, value);
    mailbox_post(machine->mailbox, machine);
    return stop;
}

bool report_ready(struct machine *machine, unsigned vcpu, uint32_t value)
{
    bool stop = stop_at(machine, CLEAVE_STOP_READY, vcpu, value);
    if (!stop) {
        pthread_mutex_lock(&machine->report.lock);
        machine->report.ready = true;
        machine->report.ready_value = value;
        pthread_mutex_unlock(&machine->report.lock);
    }
    mailbox_post(machine->mailbox, machine);
    return stop;
}

void report_reset(struct machine *machine, unsigned halted)
{
    struct machine_report *report = &machine->report;
    pthread_mutex_lock(&report->lock);
    report->end = CLEAVE_END_NONE;
    report->all_halted = report->stopped = report->ready = false;
    for (unsigned i = 0; i < GUEST_MAX_CPUS; i++)
        report->forks[i] = 0;
    report->halted = halted;
    pthread_mutex_unlock(&report->lock);
}

bool report_take_stop(struct machine *machine, struct cleave_stop *stop)
{
    pthread_mutex_lock(&machine->report.lock);
    bool stopped = machine->report.stopped;
    machine->report.stopped = false;
    if (stopped)
        *stop = machine->report.stop;
    pthread_mutex_unlock(&machine->report.lock);
    return stopped;
}

bool report_take_ready(struct machine *machine, uint32_t *value)
{
    pthread_mutex_lock(&machine->report.lock);
    bool ready = machine->report.ready;
    machine->report.ready = false;
    *value = machine->report.ready_value;
    pthread_mutex_unlock(&machine->report.lock);
    return ready;
}

bool report_has_end(struct machine *machine)
{
    pthread_mutex_lock(&machine->report.lock);
    bool reported = machine->report.end != CLEAVE_END_NONE;
    pthread_mutex_unlock(&machine->report.lock);
    return reported;
}

bool report_has_stop(struct machine *machine)
{
    pthread_mutex_lock(&machine->report.lock);
    bool stopped = machine->report.stopped;
    pthread_mutex_unlock(&machine->report.lock);
    return stopped;
}

uint32_t report_take_fork(struct machine *machine, unsigned vcpu)
{
    pthread_mutex_lock(&machine->report.lock);
    uint32_t count = machine->report.forks[vcpu];
    machine->report.forks[vcpu] = 0;
    pthread_mutex_unlock(&machine->report.lock);
    return count;
}
