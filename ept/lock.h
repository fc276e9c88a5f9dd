/* The lock of a table, and the protocol by which cursors exclude each other. For the cursor code of every format.
 * tests/spin/ has models of it.
 *
 * Claiming. A cursor goes down from the root by loads alone to its covering table: the smallest table of this tree
 * alone (own.h) whose range holds the whole claim. It tries to lock that table, then looks at the way again: every
 * table above must be free and every entry on the way the one it followed; otherwise it unlocks and begins again. Until
 * it has seen that, it touches nothing. So a cursor costs one lock, and cursors without a common covering table write
 * no common memory. It keeps that lock until it ends.
 *
 * Moving. When it moves it also locks the tables from there down to the one it stands in, and unlocks them when it
 * leaves them. An operation over a range goes once through the tables below before it changes anything ("settles"
 * them), and sees each of them free: after that nobody else can be in there, because everybody who comes later finds
 * the covering table held when it looks again.
 *
 * Either of two cursors sees the other: a claimer locks its table, then looks at those above; who holds one above
 * locked that first, then looks at those below. Both steps are sequentially consistent.
 *
 * Rule 1: a thread waits for the lock of a table only while it holds the lock of its parent. (Claimers do not wait for
 * a lock; they begin again from the root.)
 * Rule 2: a table is removed only by a thread that holds its lock, or that of a table above and has settled it, and
 * that may change its parent's entry for it (rule 3). It is freed after quiesce, when no claimer or lookup sees it any
 * more. So nobody waits for, or walks into, a table that has been freed. Rule 3: the parent's entry may be changed by
 * who holds the parent, or by who holds the child while the parent's holder waits for exactly this child. Such a waiter
 * says so in `lender`: it touches nothing until the child's lock is released, so the child's holder may borrow its
 * right. That is how a cursor whose covering table became empty removes it, or puts a huge leaf in its place, though
 * others came to hold the parent meanwhile. The removed table (the "husk") stays locked, and so stands for the slot,
 * until the cursor ends; then its lock becomes PT_REMOVED, the waiter clears `lender` and looks at the slot again, and
 * only then the husk is handed to the gather.
 *
 * Lookups take no lock at all. The table a lookup has reached may be removed under it; but removed tables do not change
 * until they are freed, nor do shared ones, so what it finds was mapped when the table was removed, which is after the
 * lookup began.
 *
 * Guaranteed: what a cursor has claimed, no other holder changes or reads through a cursor until it ends, and every
 * update of one is seen by the next. Cursors whose claims do not need a common table do not wait for each other.
 * Not guaranteed: fairness; that a cursor keeps to its covering table: one that removed it, replaced it by a huge leaf
 * or shared it whole holds the table above until it ends; that claiming alone waits for narrower cursors inside the
 * claim (it waits when it first comes to their table); anything between claims of two trees (see cursor_copy_from).
 *
 * No deadlock in one tree: a thread waits downwards (rule 1) for a table whose holder only ever waits for tables
 * further down, or upwards for a parent. The upward wait ends when the parent's holder unlocks it or waits for this
 * very child and so lends it. A cycle would have to go down through a parent held by someone who waits for the child
 * below it: and that wait is the lending. All cursors of one gather are one holder, whose locks nest: they never wait
 * for each other. But a thread that claims a second range of a tree from the root while it has a first one can
 * deadlock: a second cursor is opened inside the first one (cursor_init_inside). */
#ifndef EPT_LOCK_H
#define EPT_LOCK_H

#include "ept/table.h"

#define PT_REMOVED ((uintptr_t)1) /* never the address of a gather */

static inline void pt_relax(const struct pt *pt)
{
    if (pt->config.relax)
        pt->config.relax(pt->config.ctx);
#if defined(__x86_64__) || defined(__i386__)
    else
        __builtin_ia32_pause();
#endif
}

static inline void pt_read_begin(const struct pt *pt)
{
    if (pt->config.read_begin)
        pt->config.read_begin(pt->config.ctx);
}

static inline void pt_read_end(const struct pt *pt)
{
    if (pt->config.read_end)
        pt->config.read_end(pt->config.ctx);
}

/* Nobody, or this holder. */
static inline bool pt_is_free(const struct pt_table *table, uintptr_t holder)
{
    uintptr_t seen = atomic_load_explicit(&table->holder, memory_order_seq_cst);

    return seen == 0 || seen == holder;
}

static inline bool pt_try_lock(struct pt_table *table, uintptr_t holder)
{
    uintptr_t seen = atomic_load_explicit(&table->holder, memory_order_relaxed);

    if (seen == holder) {
        table->depth++;
        return true;
    }
    if (seen != 0 || !atomic_compare_exchange_strong_explicit(&table->holder, &seen, holder, memory_order_seq_cst,
                                                              memory_order_relaxed))
        return false;
    table->depth = 1;
    return true;
}

static inline void pt_unlock(struct pt_table *table)
{
    if (--table->depth == 0)
        atomic_store_explicit(&table->holder, 0, memory_order_release);
}

static inline void pt_lock_root(const struct pt *pt, struct pt_table *root, uintptr_t holder)
{
    while (!pt_try_lock(root, holder))
        pt_relax(pt);
}

/* Locks a table whose parent the caller holds. False: the table was removed meanwhile; look at the slot again. */
static inline bool pt_lock_child(const struct pt *pt, struct pt_table *table, uintptr_t holder)
{
    bool locked;

    if (pt_try_lock(table, holder))
        return true;
    atomic_store_explicit(&table->lender, 1, memory_order_release);
    while (!(locked = pt_try_lock(table, holder)) &&
           atomic_load_explicit(&table->holder, memory_order_acquire) != PT_REMOVED)
        pt_relax(pt);
    atomic_store_explicit(&table->lender, 0, memory_order_release);
    return locked;
}

/* Does the holder of the parent wait for this table, which the caller holds? */
static inline bool pt_is_lent(const struct pt_table *table)
{
    return atomic_load_explicit(&table->lender, memory_order_acquire) != 0;
}

/* Ends the life of a husk: sends its waiter back to the slot and waits until it has gone. */
static inline void pt_retire(const struct pt *pt, struct pt_table *husk)
{
    atomic_store_explicit(&husk->holder, PT_REMOVED, memory_order_release);
    while (pt_is_lent(husk))
        pt_relax(pt);
}

#endif
