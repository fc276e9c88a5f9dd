/* The lock protocol of ept/lock.h, step by step, for the models of cursors: claim, move, settle, climb, end, sync. One
 * atomic block is one access to shared memory with the local work after it. NO_..., and the like, plant errors. */

#define ROOT 1
#define REMOVED 255
#define TABLES 8 /* 1 .. TABLES - 1 */
#define LINKED 1
#define GATHERED 2

/* Entries: 0 (hole), a table, a table without W (shared), or a leaf of value 0 or 1. */
#define SHARED 64
#define LEAF 32
#define OTHER_LEAF 33
#define is_own(e) ((e) > 0 && (e) < TABLES)
#define is_table(e) (((e) & 63) > 0 && ((e) & 63) < TABLES)
#define table_of(e) ((e) & 15)

/* Units are what a table of level 1 maps: 0 and 1 below one table of level 2, 2 and 3 below the other. */
#define slot(unit, level) (((unit) >> ((level) == 3)) & ((level) > 1))
#define E(table, i) entry[(table) * 2 + (i)]

byte holder[TABLES], live[TABLES], state[TABLES];
bit lender[TABLES];
byte entry[2 * TABLES];
byte user[4];  /* who works in a unit */
byte reading;  /* who is in a read-side section */
byte waits[5]; /* for whose sections a quiesce still waits */

#define touch(t) assert(state[t] != 0)
#define me _pid
#define my_bit (1 << _pid)

#ifndef REACH
#define REACH 0
#endif
#define reached(k) assert(REACH != k)

inline read_begin()
{
    reading = reading | my_bit
}

inline read_end()
{
    d_step {
        reading = reading & ~my_bit;
        waits[1] = waits[1] & ~my_bit;
        waits[2] = waits[2] & ~my_bit;
        waits[3] = waits[3] & ~my_bit;
        waits[4] = waits[4] & ~my_bit
    }
}

inline unlock(locked)
{
    atomic {
        touch(locked);
        assert(holder[locked] == me);
        holder[locked] = 0
    }
}

/* The caller holds the parent. ok: locked; otherwise t was removed. */
inline lock_child(wanted)
{
    atomic {
        touch(wanted);
        if
        :: holder[wanted] == 0 -> holder[wanted] = me; ok = 1
        :: else -> ok = 0
        fi
    };
    if
    :: !ok ->
        atomic { touch(wanted); assert(!lender[wanted]); lender[wanted] = 1 };
        if
        :: atomic { holder[wanted] == 0 -> touch(wanted); holder[wanted] = me; ok = 1 }
        :: atomic { holder[wanted] == REMOVED -> touch(wanted); reached(1) }
        fi;
        atomic { touch(wanted); lender[wanted] = 0 }
    :: else
    fi
}

/* Locks the table in slot i of p, which the caller holds, and answers it in e; not ok: there is none. */
inline lock_slot(above, at)
{
    do
    :: atomic {
           touch(above);
           e = E(above, at);
           ok = 0;
           if
           :: !is_own(e) -> e = 0; break
           :: else
           fi
       };
       lock_child(e);
       if
       :: ok -> break
       :: else
       fi
    od
}

/* What a claimer would find now, in one look. */
#define free_1(t) (holder[t] == 0)
#define free_2(t) (holder[t] == 0 && (lowest == 2 || !is_own(E(t, first % 2)) || free_1(E(t, first % 2))))
#define way_is_free                                                                                                    \
    (holder[ROOT] == 0 && (lowest == 3 || !is_own(E(ROOT, first / 2)) || free_2(E(ROOT, first / 2))))

/* After a look that failed, another one makes sense only when it would succeed: a look changes nothing, so waiting here
 * leaves no behaviour out, and a deadlock of claimers shows as one. SPIN: as the code does, to find cycles. */
inline wait_to_look()
{
#ifdef SPIN
    skip
#else
    way_is_free
#endif
}

#ifdef NO_LOOK_FIRST
#define seems_free(t) true
#else
#define seems_free(t) (holder[t] == 0)
#endif

#ifdef VALIDATE_ADDRESS_ONLY
#define is_followed(lev) ((E(path[lev], slot(first, lev)) & ~SHARED) == path[lev - 1])
#else
#define is_followed(lev) (E(path[lev], slot(first, lev)) == path[lev - 1])
#endif

inline validate_level()
{
#ifndef VALIDATE_NO_LOCKS
    atomic { touch(path[lev]); ok = holder[path[lev]] == 0 };
#endif
#ifndef VALIDATE_NO_LINKS
    if
    :: ok -> atomic { touch(path[lev]); ok = is_followed(lev) }
    :: else
    fi
#endif
}

/* ok: nobody is above, and the way is the one that was followed. */
inline validate()
{
    ok = 1;
#ifdef NO_VALIDATE
    skip
#else
#ifdef VALIDATE_BOTTOM_UP
    lev = level + 1;
    do
    :: lev <= 3 && ok -> validate_level(); lev++
#else
    lev = 3;
    do
    :: lev > level && ok -> validate_level(); lev--
#endif
    :: else -> break
    od;
    lev = 0
#endif
}

inline claim()
{
    do
    :: atomic { read_begin(); level = 3; path[3] = ROOT };
       do
       :: level > lowest ->
           atomic {
               touch(path[level]);
               if
               :: seems_free(path[level]) -> skip
               :: else -> break
               fi
           };
           atomic {
               touch(path[level]);
               e = E(path[level], slot(first, level));
               if
               :: is_own(e) -> level--; path[level] = e; e = 0
               :: else -> e = 0; break
               fi
           }
       :: else -> break
       od;
       atomic {
           touch(path[level]);
           if
           :: holder[path[level]] == 0 -> holder[path[level]] = me; ok = 1
           :: else -> ok = 0
           fi
       };
       if
       :: ok ->
           validate();
           if
           :: ok -> atomic { top = level; where = first; read_end(); break }
           :: else -> unlock(path[level]); atomic { read_end(); level = 0; path[1] = 0; path[2] = 0 }
           fi
       :: else -> atomic { read_end(); level = 0; path[1] = 0; path[2] = 0 }; wait_to_look()
       fi
    od
}

/* One step down to the unit u. */
inline descend(unit)
{
    lock_slot(path[level], slot(unit, level));
    if
    :: ok -> atomic { level--; path[level] = e; e = 0; where = unit }
    :: else
    fi
}

inline descend_to_covering()
{
    do
    :: level > lowest ->
        descend(first);
        if
        :: ok -> unlock(path[top]); top = level
        :: else -> break
        fi
    :: else -> break
    od
}

inline gather(removed)
{
    gone = gone | (1 << (removed))
}

/* Takes the table t, or what is below a shared entry, out of slot i of p. */
inline unlink(parent, index, child)
{
    assert(state[child] == LINKED && E(parent, index) == child);
    state[child] = GATHERED;
    E(parent, index) = 0;
    live[parent]--
}

inline ascend()
{
    atomic {
        e = path[level];
        path[level] = 0;
        touch(e);
        assert(holder[e] == me);
        level++;
        if
        :: live[e] > 0 -> holder[e] = 0
        :: else ->
            unlink(path[level], slot(where, level), e);
            if
            :: e != husk -> gather(e)
            :: else
            fi
        fi;
        e = 0
    }
}

/* Takes the parent of the covering table, which is empty. */
inline climb()
{
    if
    :: atomic { holder[path[top + 1]] == 0 -> touch(path[top + 1]); holder[path[top + 1]] = me; top++; reached(2) }
#ifndef NO_LENDING
    :: atomic { lender[path[top]] -> touch(path[top]); husk = path[top]; top++; reached(3) }
#endif
    fi
}

inline end_cursor()
{
    atomic { stop_using() };
    do
    :: level < top -> ascend()
    :: else ->
        if
        :: atomic { husk || live[path[top]] > 0 || top == 3 -> break }
        :: else -> climb()
        fi
    od;
    if
    :: husk ->
        atomic { touch(husk); holder[husk] = REMOVED };
#ifndef NO_RETIRE_WAIT
        atomic { !lender[husk] -> touch(husk); gather(husk); husk = 0 }
#else
        atomic { gather(husk); husk = 0 }
#endif
    :: else -> unlock(path[top])
    fi;
    atomic { path[1] = 0; path[2] = 0; level = 0; top = 0; where = 0 }
}

inline free_table(freed)
{
    assert(state[freed] != 0 && !lender[freed]);
    state[freed] = 0;
    holder[freed] = 0;
    live[freed] = 0
}

/* Frees t and what is below. */
inline free_tree(root)
{
    if
    :: is_table(E(root, 0)) -> free_below(table_of(E(root, 0)))
    :: else
    fi;
    if
    :: is_table(E(root, 1)) -> free_below(table_of(E(root, 1)))
    :: else
    fi;
    E(root, 0) = 0;
    E(root, 1) = 0;
    free_table(root)
}

inline free_below(below)
{
    assert(!is_table(E(below, 0)));
    E(below, 0) = 0;
    free_table(below)
}

inline sync()
{
    if
    :: gone ->
#ifndef FREE_WITHOUT_QUIESCE
        atomic { waits[me] = reading & ~my_bit };
        waits[me] == 0;
#endif
        d_step {
            e = 1;
            do
            :: e < TABLES ->
                if
                :: gone & (1 << e) -> assert(state[e] == GATHERED); free_tree(e)
                :: else
                fi;
                e++
            :: else -> break
            od;
            e = 0;
            gone = 0
        }
    :: else
    fi
}
