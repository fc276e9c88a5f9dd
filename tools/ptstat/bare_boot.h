/* What a flat guest finds in its memory and registers at its start (cleave/guest_abi.h), for one vCPU under bare KVM.
 */
#ifndef PTSTAT_BARE_BOOT_H
#define PTSTAT_BARE_BOOT_H

#include <linux/kvm.h>
#include <stdint.h>

struct workload;

/* Lays out `ram`, `size` bytes of zeroes, but for the guest's own file, and changes *sregs, as KVM gave it, and *regs.
 */
void bare_boot(uint8_t *ram, uint64_t size, const struct workload *workload, struct kvm_regs *regs,
               struct kvm_sregs *sregs);

/* Gives the guest in `ram` another identity, as a fork does. */
void bare_boot_forked(uint8_t *ram);

#endif
