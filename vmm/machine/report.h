/*
 * What a guest has to tell, from its vCPU threads to the thread that owns it: its end, a fork it asks for, new marks. A
 * machine with news puts itself into its owner's mailbox, which rings the owner's bell.
 */
#ifndef VMM_MACHINE_REPORT_H
#define VMM_MACHINE_REPORT_H

#include "vmm/kvm/kick.h"

#include <cleave/guest.h>
#include <cleave/guest_abi.h>

#include <pthread.h>

struct machine;

/* Machines with something to tell, each once. Any thread may post; the owner takes. */
struct mailbox {
    int bell; /* base/bell.h; rung when a machine is posted */
    pthread_mutex_t lock;
    struct machine *first, **last; /* the longest posted first; under lock, as is the next */
    size_t count;
    struct kick_target runner; /* the owner, while it runs a vCPU itself and does not listen to the bell */
};

/* Has the owner look, by the bell or by a kick. Any thread, and signal handlers. */
void mailbox_ring(struct mailbox *mailbox);

void mailbox_init(struct mailbox *mailbox, int bell);
void mailbox_destroy(struct mailbox *mailbox);
void mailbox_post(struct mailbox *mailbox, struct machine *machine);

/* How many are in it. */
size_t mailbox_count(struct mailbox *mailbox);

/* The one that was posted first, taken out; NULL: none. */
struct machine *mailbox_take(struct mailbox *mailbox);

/* The machine is in it. */
bool mailbox_holds(struct mailbox *mailbox, const struct machine *machine);

/* Under `lock` but for the first two, which are under the mailbox's. */
struct machine_report {
    bool posted;
    struct machine *next;
    pthread_mutex_t lock;
    enum cleave_end end; /* the first end reported counts; nothing is written to it, and to the next two, after that */
    uint32_t exit_code;
    struct cleave_crash crash;
    bool all_halted;                /* that was its end: every vCPU has halted */
    unsigned halted;                /* vCPUs */
    uint32_t forks[GUEST_MAX_CPUS]; /* by vCPU: children it has asked for and waits for; 0: does not wait */
    bool stopped;                   /* a stop that the run was to end at; the first counts */
    struct cleave_stop stop;        /* without its crash */
    bool ready;                     /* the ready port was written to, and no run ended there; the last time counts */
    uint32_t ready_value;
};

/* From vCPU threads: the guest has exited; it has crashed; this vCPU has halted; it asks for a fork. */
void report_exit(struct machine *machine, uint32_t exit_code);
void report_crash(struct machine *machine, const struct cleave_crash *crash);
void report_halt(struct machine *machine);
void report_fork(struct machine *machine, unsigned vcpu, uint32_t count);

/* The same: a new mark; the guest is ready. True where the run under way is to end here: the vCPU must stop. */
bool report_mark(struct machine *machine, unsigned vcpu, uint32_t value);
bool report_ready(struct machine *machine, unsigned vcpu, uint32_t value);

/* A vCPU has reported the guest's end. With all vCPUs stopped that is the last word, be it taken up or not. */
bool report_has_end(struct machine *machine);

/* Forgets what belongs to a life that is undone, and starts with so many halted vCPUs. */
void report_reset(struct machine *machine, unsigned halted);

/* There is a stop that has not been taken: the guest is not to go on before it has been. */
bool report_has_stop(struct machine *machine);

/* The stop that was reported, once; false: none. */
bool report_take_stop(struct machine *machine, struct cleave_stop *stop);

/* The guest's readiness, once; false: none. */
bool report_take_ready(struct machine *machine, uint32_t *value);

/* How many children the vCPU has asked for, once; 0: none. */
uint32_t report_take_fork(struct machine *machine, unsigned vcpu);

#endif
