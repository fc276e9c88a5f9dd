/* Kicks: see kick.h. */
#include "vmm/kvm/kick.h"

#include <sched.h>
#include <time.h>

static sigset_t only_kick(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, CLEAVE_KICK_SIGNAL);
    return set;
}

void kick_eat(void)
{
    const sigset_t set = only_kick();
    const struct timespec at_once = {0};
    while (sigtimedwait(&set, NULL, &at_once) > 0) {
    }
}

bool kick_is_pending(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, CLEAVE_KICK_SIGNAL) == 1;
}

void kick_enter(struct kick_target *target)
{
    const sigset_t set = only_kick();
    pthread_sigmask(SIG_BLOCK, &set, &target->mask);
    target->thread = pthread_self();
    atomic_store(&target->present, true);
}

/* A kick that is under way comes to its end first, so that none is left pending when the signal is let through again.
 */
void kick_leave(struct kick_target *target)
{
    atomic_store(&target->present, false);
    while (atomic_load(&target->kickers))
        sched_yield();
    if (atomic_exchange(&target->sent, false))
        kick_eat();
    pthread_sigmask(SIG_SETMASK, &target->mask, NULL);
}

bool kick_is_mine(const struct kick_target *target)
{
    return atomic_load(&target->present) && pthread_equal(target->thread, pthread_self());
}

void kick(struct kick_target *target)
{
    atomic_fetch_add(&target->kickers, 1);
    atomic_store(&target->attention, true);
    if (atomic_load(&target->present)) {
        atomic_store(&target->sent, true);
        pthread_kill(target->thread, CLEAVE_KICK_SIGNAL);
    }
    atomic_fetch_sub(&target->kickers, 1);
}
