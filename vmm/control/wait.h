/* `wait`: clients that wait for guests to end. */
#ifndef VMM_CONTROL_WAIT_H
#define VMM_CONTROL_WAIT_H

#include "vmm/control/command.h"

/* Answers those that have waited for this. */
void waits_take_event(struct service *service, const struct cleave_event *event);

#endif
