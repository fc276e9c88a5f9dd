/* The lock of a table, and the protocol by which cursors exclude each other. For the cursor code of every format.
 *
 * Claiming. A cursor locks the root, then walks down hand over hand (locks the child, then unlocks the parent) to its
 * covering table: the smallest existing table whose range holds the whole claim. It keeps that lock until it ends. When
 * it moves it also locks the tables from there down to the one it stands in, and unlocks them when it leaves them. An
 * operation over a range locks each table below once before it changes anything ("settles" it): after that nobody else
 * can be in there, because everybody comes from the root and must pass the covering table.
 *
 * Rule 1: a thread waits for the lock of a table only while it holds the lock of its parent (or the table is the root).
 * Rule 2: a table is removed only by a thread that holds its lock and may change its parent's entry for it (rule 3).
 * So nobody can ever wait for, or walk into, a table that has been freed, and at most one thread waits for a table that
 * is not the root.
 * Rule 3: the parent's entry may be changed by who holds the parent, or by who holds the child while the parent's
 * holder waits for exactly this child. Such a waiter says so in `lender`: it touches nothing until the child's lock is
 * released, so the child's holder may borrow its right. That is how a cursor whose covering table became empty removes
 * it, or puts a huge leaf in its place, though others came to hold the parent meanwhile. The removed table (the "husk")
 * stays locked, and so stands for the slot, until the cursor ends; then its lock becomes PT_REMOVED, the waiter clears
 * `lender` and looks at the slot again, and only then the husk is handed to the gather.
 *
 * Guaranteed: what a cursor has claimed, no other owner changes or reads through a cursor until it ends, and every
 * update of one is seen by the next. Cursors whose claims do not need a common table do not wait for each other.
 * Not guaranteed: fairness; that claiming alone waits for narrower cursors inside the claim (it waits when it first
 * comes to their table); anything between claims of two trees (see cursor_copy_from).
 *
 * No deadlock in one tree: a thread waits downwards (rule 1) for a table whose holder only ever waits for tables
 * further down, or upwards for a parent. The upward wait ends when the parent's holder unlocks it or waits for this
 * very child and so lends it. A cycle would have to go down through a parent held by someone who waits for the child
 * below it: and that wait is the lending. All cursors of one gather are one owner, whose locks nest: they never wait
 * for each other. But an owner that claims a second range of a tree from the root waits at the top while it holds
 * something below: that can deadlock, so a second cursor is opened inside the first one (cursor_init_inside), whose
 * covering table is above both. */
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

static inline bool pt_try_lock(struct pt_table *table, uintptr_t owner)
{
    uintptr_t seen = atomic_load_explicit(&table->owner, memory_order_relaxed);

    if (seen == owner) {
        table->depth++;
        return true;
    }
    if (seen != 0 || !atomic_compare_exchange_strong_explicit(&table->owner, &seen, owner, memory_order_acquire,
                                                              memory_order_relaxed))
        return false;
    table->depth = 1;
    return true;
}

static inline void pt_unlock(struct pt_table *table)
{
    if (--table->depth == 0)
        atomic_store_explicit(&table->owner, 0, memory_order_release);
}

static inline void pt_lock_root(const struct pt *pt, struct pt_table *root, uintptr_t owner)
{
    while (!pt_try_lock(root, owner))
        pt_relax(pt);
}

/* Locks a table whose parent the caller holds. False: the table was removed meanwhile; look at the slot again. */
static inline bool pt_lock_child(const struct pt *pt, struct pt_table *table, uintptr_t owner)
{
    bool locked;

    if (pt_try_lock(table, owner))
        return true;
    atomic_store_explicit(&table->lender, 1, memory_order_release);
    while (!(locked = pt_try_lock(table, owner)) &&
           atomic_load_explicit(&table->owner, memory_order_acquire) != PT_REMOVED)
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
    atomic_store_explicit(&husk->owner, PT_REMOVED, memory_order_release);
    while (pt_is_lent(husk))
        pt_relax(pt);
}

#endif
