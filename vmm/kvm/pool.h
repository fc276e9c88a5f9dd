/*
 * The pool: KVM VMs made ahead of time, because making one takes longer than forking the guest that is to run in it. A
 * thread of its own fills it; another frees old ones.
 */
#ifndef VMM_KVM_POOL_H
#define VMM_KVM_POOL_H

#include "vmm/kvm/vm.h"

struct pool;

/* An empty pool for VMs like *config, with the dirty log. NULL: out of memory. */
struct pool *pool_new(const struct vm_config *config);

/* Frees every VM in it; waits for what is under way. */
void pool_free(struct pool *pool);

/* Fills up, in the background, to what forks of up to `count` VMs need; it never shrinks its aim, which is at most 64.
 */
void pool_prepare(struct pool *pool, unsigned count);

/* Takes `count` VMs, ready ones first; makes what is missing on the spot. All or none: -1 with *failure. */
int pool_take(struct pool *pool, struct vm **vms, unsigned count, struct cleave_failure *failure);

/* Returns VMs that have never had a guest; what is beyond the pool's aim is freed in the background. */
void pool_give_back(struct pool *pool, struct vm **vms, unsigned count);

/* How many are ready now. */
unsigned pool_ready(struct pool *pool);

#endif
