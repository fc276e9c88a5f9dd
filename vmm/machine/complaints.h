/*
 * What the log says of what a guest does. A guest can do it as often as it likes, so each reason has a rate of its own
 * for each guest, and what is left out is counted and told. Any thread.
 */
#ifndef VMM_MACHINE_COMPLAINTS_H
#define VMM_MACHINE_COMPLAINTS_H

#include "vmm/base/rate.h"

#include <cleave/failure.h>

struct machine;

/* Under the lock of the machine's report. */
struct complaints {
    struct rate forks, ports, addresses;
};

/* A fork that the guest has asked for was refused. */
void complain_of_fork(struct machine *machine, unsigned children, const struct cleave_failure *failure);

/* The guest uses a port, or an address, where there is nothing. Each port is worth one line for all guests together. */
void complain_of_port(struct machine *machine, unsigned port);
void complain_of_address(struct machine *machine, uint64_t gpa);

/* What has been left out and not been told of: the guest has ended. */
void complain_of_rest(struct machine *machine);

#endif
