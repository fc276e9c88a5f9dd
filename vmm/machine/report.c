/* Reports of machines and mailboxes for them: see report.h. */
#include "vmm/machine/report.h"

#include "vmm/base/bell.h"
#include "vmm/machine/machine.h"

void mailbox_init(struct mailbox *mailbox, int bell)
{
    *mailbox = (struct mailbox){.bell = bell};
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
        machine->report.next = mailbox->first;
        mailbox->first = machine;
    }
    pthread_mutex_unlock(&mailbox->lock);
    if (ring)
        bell_ring(mailbox->bell);
}

struct machine *mailbox_take(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    struct machine *machine = mailbox->first;
    if (machine) {
        mailbox->first = machine->report.next;
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
static void end(struct machine *machine, enum cleave_end end, uint32_t exit_code, const struct cleave_crash *crash)
{
    struct machine_report *report = &machine->report;
    pthread_mutex_lock(&report->lock);
    if (report->end == CLEAVE_END_NONE) {
        report->end = end;
        report->exit_code = exit_code;
        if (crash)
            report->crash = *crash;
    }
    pthread_mutex_unlock(&report->lock);
    mailbox_post(machine->mailbox, machine);
}

void report_exit(struct machine *machine, uint32_t exit_code)
{
    end(machine, CLEAVE_END_EXIT, exit_code, NULL);
}

void report_crash(struct machine *machine, const struct cleave_crash *crash)
{
    end(machine, CLEAVE_END_CRASH, 0, crash);
}

void report_halt(struct machine *machine)
{
    pthread_mutex_lock(&machine->report.lock);
    bool all = ++machine->report.halted == machine->vm->cpus;
    pthread_mutex_unlock(&machine->report.lock);
    if (all) /* without an interrupt controller nothing can wake any of them */
        end(machine, CLEAVE_END_EXIT, 0, NULL);
}

void report_fork(struct machine *machine, unsigned vcpu, uint32_t count)
{
    pthread_mutex_lock(&machine->report.lock);
    machine->report.forks[vcpu] = count;
    pthread_mutex_unlock(&machine->report.lock);
    mailbox_post(machine->mailbox, machine);
}

void report_mark(struct machine *machine, uint32_t value)
{
    marks_add(&machine->marks, value);
    mailbox_post(machine->mailbox, machine);
}

bool report_has_end(struct machine *machine)
{
    pthread_mutex_lock(&machine->report.lock);
    bool reported = machine->report.end != CLEAVE_END_NONE;
    pthread_mutex_unlock(&machine->report.lock);
    return reported;
}

uint32_t report_take_fork(struct machine *machine, unsigned vcpu)
{
    pthread_mutex_lock(&machine->report.lock);
    uint32_t count = machine->report.forks[vcpu];
    machine->report.forks[vcpu] = 0;
    pthread_mutex_unlock(&machine->report.lock);
    return count;
}
