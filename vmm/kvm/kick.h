/*
 * Kicks: how a thread is taken out of KVM_RUN. The kick's signal stays blocked in every thread and is let through by
 * KVM_RUN alone (KVM_SET_SIGNAL_MASK), which then returns EINTR with the signal still pending: no handler ever runs,
 * and a kick just before KVM_RUN is not lost. Kernel: Documentation/virt/kvm/api.rst, KVM_SET_SIGNAL_MASK.
 */
#ifndef VMM_KVM_KICK_H
#define VMM_KVM_KICK_H

#include <cleave/guest.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Takes every pending kick away from this thread: real-time signals queue, and may be several. */
void kick_eat(void);

/* There is one. */
bool kick_is_pending(void);

/* The thread of a caller that runs a vCPU itself, for others to kick. Zero-initialized there is none. */
struct kick_target {
    atomic_bool attention; /* kicked, and not looked yet: by the runner, before each entry */
    atomic_bool present;   /* thread is valid */
    atomic_uint kickers;   /* that may be about to use it */
    atomic_bool sent;      /* a kick may be pending */
    pthread_t thread;
    sigset_t mask; /* of the thread before, and after */
};

/* This thread may be kicked from now on; until here. */
void kick_enter(struct kick_target *target);
void kick_leave(struct kick_target *target);

/* This thread is the runner. */
bool kick_is_mine(const struct kick_target *target);

/* Has the runner look. Any thread, and signal handlers. */
void kick(struct kick_target *target);

#endif
