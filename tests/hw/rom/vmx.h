/* VMX with EPT, as guest.h wants it (SDM volume 3, "Introduction to Virtual Machine Extensions" and after). */
#ifndef TESTS_HW_ROM_VMX_H
#define TESTS_HW_ROM_VMX_H

#include "tests/hw/rom/guest.h"

/* Enters VMX operation and sets up one VMCS (SDM "Enabling and Entering VMX Operation", "Initializing a VMCS"). False:
 * the processor has no VMX, or no EPT. */
bool vmx_open(void);

/* VMLAUNCH or VMRESUME, and what came of it (SDM "VM Entries", "VM Exits", "Exit Qualification for EPT Violations"). */
void vmx_run(struct guest *guest, struct guest_exit *exit);

/* INVEPT of the guest's EPTP. */
void vmx_flush(const struct guest *guest);

#endif
