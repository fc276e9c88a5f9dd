/* A vCPU's registers as <cleave/guest.h> has them. */
#ifndef VMM_MACHINE_REGISTERS_H
#define VMM_MACHINE_REGISTERS_H

#include <cleave/guest.h>
#include <linux/kvm.h>

void registers_fill(struct cleave_registers *registers, const struct kvm_regs *regs, const struct kvm_sregs *sregs);

#endif
