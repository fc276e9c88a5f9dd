/* Cursors of one tree and a lookup: who excludes whom, and what becomes of removed tables. For tests/spin/run, which sets
 * the tree to begin with and, for each process, which claims and operations it chooses from. See README.md. */

#include "locks.pml"

/* Claims, from the first to the last unit: */
#define C_0 1   /* one table of level 1 */
#define C_1 2   /* another */
#define C_01 4  /* one table of level 2 */
#define C_12 8  /* half of each table of level 2 */
#define C_ALL 16
#define C_2 32
#define C_ANY 63

/* Operations */
#define O_VISIT 1    /* looks, settled, at the whole claim */
#define O_ENTER 2    /* goes down to one unit and stays there */
#define O_MAP 4      /* maps part of a unit */
#define O_UNMAP 8    /* unmaps part of a unit */
#define O_UNMAP_ALL 16
#define O_COLLAPSE 32
#define O_HUGE 64    /* maps a huge leaf over an empty covering table */
#define O_SHARE 128  /* takes W from the entry for a table of level 1 */
#define O_ANY 255

#ifndef OPS
#define OPS 1 /* operations of one cursor */
#endif
#ifndef CURSORS
#define CURSORS 1 /* of one process */
#endif

#ifdef LOOKUP
byte mapped[4];  /* what each unit maps, or 0 */
byte seen;       /* what unit 0 mapped since the lookup began: bit 0 nothing, 1 and 2 a leaf */
#define note(unit) if :: (unit) == 0 -> seen = seen | (mapped[0] == 0 -> 1 : 2 << (mapped[0] & 1)) :: else fi
#define set_mapped(unit, value) mapped[unit] = value; note(unit)
#else
#define set_mapped(unit, value) skip
#endif

inline use(begin, stop)
{
    d_step {
        u = begin;
        do
        :: u <= stop -> assert(user[u] == 0 || user[u] == me); user[u] = me; u++
        :: else -> break
        od;
        u = 0
    }
}

inline stop_using()
{
    u = 0;
    do
    :: u < 4 ->
        if
        :: user[u] == me -> user[u] = 0
        :: else
        fi;
        u++
    :: else -> break
    od;
    u = 0
}

/* Nobody is in the table of slot i of p any more; or it was empty, and is removed. */
inline settle_pages(middle, which)
{
    do
    :: atomic {
           touch(middle);
           e = E(middle, which);
           if
           :: !is_own(e) -> e = 0; break
           :: else
           fi
       };
#ifdef NO_SETTLE_PAGES
       e = 0;
       break
#else
       atomic {
           touch(e);
           if
           :: holder[e] == 0 ->
               if
               :: live[e] == 0 -> unlink(middle, which, e); gather(e)
               :: else
               fi;
               e = 0;
               break
           :: else
           fi
       };
       lock_child(e);
       if
       :: atomic {
              ok ->
              if
              :: live[e] == 0 -> unlink(middle, which, e); gather(e)
              :: else -> holder[e] = 0
              fi;
              e = 0;
              break
          }
       :: else
       fi
#endif
    od
}

#define first_in(m) ((m) * 2 > from -> (m) * 2 : from)
#define last_in(m) ((m) * 2 + 1 < to -> (m) * 2 + 1 : to)
#define is_whole(m) ((m) * 2 >= from && (m) * 2 + 1 <= to)

/* [from, to] in the table of level 2 that is t: u counts. */
inline settle_middle(mid, number)
{
    u = first_in(number);
    do
    :: u <= last_in(number) -> settle_pages(mid, u % 2); u++
    :: else -> u = 0; break
    od
}

inline settle()
{
    if
    :: level == 3 ->
        s = from / 2;
        do
        :: s <= to / 2 ->
            lock_slot(ROOT, s);
            if
            :: ok ->
                t = e;
                settle_middle(t, s);
                if
                :: is_whole(s) ->
                    atomic {
                        if
                        :: live[t] == 0 -> unlink(ROOT, s, t); gather(t)
                        :: else -> holder[t] = 0
                        fi
                    }
#ifdef NO_HOLD
                :: else -> unlock(t)
#else
                :: else -> held = held | (1 << s)
#endif
                fi;
                t = 0
            :: else
            fi;
            s++
        :: else -> s = 0; break
        od
    :: level == 2 -> settle_middle(path[2], from / 2)
    :: else
    fi
}

/* Unlocks what settling held; what became empty is removed. */
inline finish()
{
    s = 0;
    do
    :: atomic {
           held & (1 << s) ->
           t = E(ROOT, s);
           touch(t);
           if
           :: live[t] == 0 -> unlink(ROOT, s, t); gather(t)
           :: else -> holder[t] = 0
           fi;
           t = 0;
           held = held & ~(1 << s)
       }
    :: held && !(held & (1 << s)) -> s++
    :: !held -> s = 0; break
    od;
    if
    :: took -> /* a table of level 1 that was taken back */
        atomic {
            touch(took);
            if
            :: live[took] == 0 -> unlink(path[2], where % 2, took); gather(took)
            :: else -> holder[took] = 0
            fi;
            took = 0
        }
    :: else
    fi
}

/* A new table of `live` entries in e, or 0. */
inline new_table()
{
    e = 2;
    do
    :: e < TABLES && state[e] != 0 -> e++
    :: else -> break
    od;
    if
    :: e < TABLES ->
        assert(E(e, 0) == 0 && E(e, 1) == 0 && !lender[e] && !holder[e]);
        state[e] = LINKED;
        live[e] = 1
    :: else -> e = 0
    fi
}

/* Clears slot i of p, which maps the units from..to below it. */
inline clear(holds, place, one, other)
{
    atomic {
        touch(holds);
        e = E(holds, place);
        if
        :: e == 0 -> skip
        :: is_table(e) ->
            e = table_of(e);
            E(holds, place) = e;
            unlink(holds, place, e);
            gather(e)
        :: else -> E(holds, place) = 0; live[holds]--
        fi;
        set_mapped(one, 0);
        set_mapped(other, 0);
        e = 0
    }
}

inline unmap_middle(mid, number)
{
    u = first_in(number);
    do
    :: u <= last_in(number) -> clear(mid, u % 2, u, u); u++
    :: else -> u = 0; break
    od
}

inline unmap_all()
{
    if
    :: level == 3 ->
        s = from / 2;
        do
        :: s <= to / 2 ->
            t = E(ROOT, s);
            if
            :: is_whole(s) -> clear(ROOT, s, s * 2, s * 2 + 1)
            :: !is_whole(s) && is_own(t) -> unmap_middle(t, s)
            :: else
            fi;
            s++
        :: else -> s = 0; t = 0; break
        od
    :: level == 2 -> unmap_middle(path[2], from / 2)
    :: else -> clear(path[1], 0, from, from)
    fi
}

/* The table in slot i of p becomes a leaf. Its page may have been mapped in a table that nobody locked meanwhile. */
inline collapse(holds, place)
{
    atomic {
        e = table_of(E(holds, place));
        if
        :: is_table(E(holds, place)) && live[e] == 1 ->
            assert(state[e] == LINKED);
            state[e] = GATHERED;
            E(holds, place) = E(e, 0);
            gather(e)
        :: else
        fi;
        e = 0
    }
}

inline collapse_middle(mid, number)
{
    u = first_in(number);
    do
    :: u <= last_in(number) -> collapse(mid, u % 2); u++
    :: else -> u = 0; break
    od
}

inline collapse_all()
{
    if
    :: level == 3 ->
        s = from / 2;
        do
        :: s <= to / 2 ->
            t = E(ROOT, s);
            if
            :: is_own(t) -> collapse_middle(t, s)
            :: else
            fi;
            s++
        :: else -> s = 0; t = 0; break
        od
    :: level == 2 -> collapse_middle(path[2], from / 2)
    :: else
    fi
}

/* A huge leaf for an empty covering table that is all of the claim. */
inline map_huge()
{
    if
    :: level == top && top < 3 && live[path[top]] == 0 && from == first && to == last ->
        climb();
        ascend();
        atomic { touch(path[level]); assert(E(path[level], slot(first, level)) == 0); E(path[level], slot(first, level)) = LEAF; live[path[level]]++; set_mapped(first, LEAF); set_mapped(last, LEAF) }
    :: else
    fi
}

/* Part of the unit, where the cursor has gone down as far as there are own tables. */
inline change_part()
{
    if
    :: level == 2 && is_table(E(path[2], from % 2)) -> /* shared: is taken back */
        atomic { took = table_of(E(path[2], from % 2)); where = from; E(path[2], from % 2) = took; reached(4) };
        lock_child(took);
        t = took
    :: level == 1 -> t = path[1]
    :: else -> t = 0
    fi;
    if
    :: t -> 
        atomic {
            touch(t);
            if
            :: leaf && E(t, 0) == 0 -> live[t]++
            :: !leaf && E(t, 0) != 0 -> live[t]--
            :: else
            fi;
            E(t, 0) = leaf;
            set_mapped(from, leaf)
        }
    :: !t && leaf && E(path[level], slot(from, level)) == 0 ->
        map_below()
    :: else
    fi;
    t = 0
}

/* A page in a hole, in new tables. */
inline map_below()
{
    atomic {
        new_table();
        if
        :: e -> E(e, 0) = leaf
        :: else
        fi;
        t = e;
        if
        :: level == 3 && e ->
            new_table();
            if
            :: e -> E(e, from % 2) = t; t = e
            :: else -> E(t, 0) = 0; live[t] = 0; state[t] = 0; t = 0
            fi
        :: else
        fi;
        e = 0
    };
    if
    :: t -> atomic { touch(path[level]); E(path[level], slot(from, level)) = t; live[path[level]]++; set_mapped(from, leaf) }
    :: else
    fi
}

/* Before the entry for the covering table can lose W: takes the parent, if that is free. */
inline widen()
{
    atomic {
        if
        :: holder[path[2]] == 0 && live[path[1]] > 0 -> touch(path[2]); holder[path[2]] = me; top = 2; reached(5)
        :: else
        fi
    };
    if
    :: top == 2 -> ascend()
    :: else
    fi
}

/* The entry for a table of level 1 loses W. */
inline share()
{
    atomic {
        if
        :: level == 2 && is_own(E(path[2], from % 2)) -> E(path[2], from % 2) = E(path[2], from % 2) | SHARED
        :: else
        fi
    }
}

/* To the table that an operation on the range works from. */
inline locate()
{
    do
    :: level < top -> ascend()
    :: else -> break
    od;
    do
    :: level > goal ->
        descend(from);
        if
        :: ok -> skip
        :: else -> break
        fi
    :: else -> break
    od
}

/* What to do, and to which units. */
inline choose()
{
    atomic {
        if
        :: ops & O_VISIT -> op = O_VISIT
        :: ops & O_ENTER -> op = O_ENTER
        :: ops & O_MAP -> op = O_MAP; leaf = LEAF
#ifdef LOOKUP
        :: ops & O_MAP -> op = O_MAP; leaf = OTHER_LEAF
#endif
        :: ops & O_UNMAP -> op = O_UNMAP
        :: ops & O_UNMAP_ALL -> op = O_UNMAP_ALL
        :: ops & O_COLLAPSE -> op = O_COLLAPSE
        :: ops & O_HUGE && first / 2 == last / 2 -> op = O_HUGE
        :: ops & O_SHARE -> op = O_SHARE
        fi;
        from = first;
        to = last;
        if
        :: op & (O_ENTER | O_MAP | O_UNMAP | O_SHARE) ->
            if
            :: to = from
            :: first < last -> from = to
            fi
        :: else
        fi
    }
}

inline operate()
{
    choose();
    goal = (op & (O_ENTER | O_MAP | O_UNMAP) -> 1 : 3 - (from == to));
    locate();
    if
    :: goal > 1 ->
        if
        :: op == O_SHARE && top == 1 -> widen()
        :: else
        fi;
        settle()
    :: else
    fi;
    use(from, to);
    if
    :: op & (O_MAP | O_UNMAP) -> change_part()
    :: op == O_UNMAP_ALL -> unmap_all()
    :: op == O_COLLAPSE -> collapse_all()
    :: op == O_HUGE -> map_huge()
    :: op == O_SHARE -> share()
    :: else
    fi;
    finish();
    atomic { from = 0; to = 0; op = 0; leaf = 0; goal = 0 }
}

proctype cursor(byte claims; byte ops)
{
    byte first, last, lowest, level, top, where, from, to, e, t, u, s, lev, husk, held, took, path[4], gone, op, goal, leaf, cursors, operations;
    bit ok;

    do
    :: cursors < CURSORS ->
        cursors++;
        if
        :: atomic { claims & C_0 -> first = 0; last = 0; lowest = 1 }
        :: atomic { claims & C_1 -> first = 1; last = 1; lowest = 1 }
        :: atomic { claims & C_2 -> first = 2; last = 2; lowest = 1 }
        :: atomic { claims & C_01 -> first = 0; last = 1; lowest = 2 }
        :: atomic { claims & C_12 -> first = 1; last = 2; lowest = 3 }
        :: atomic { claims & C_ALL -> first = 0; last = 3; lowest = 3 }
        fi;
        claim();
        descend_to_covering();
        do
        :: operations < OPS -> operations++; operate()
        :: operations == OPS -> operations = 0; break
        od;
        end_cursor();
        sync();
        atomic { first = 0; last = 0; lowest = 0 }
    :: else -> break
    od
}

#ifdef LOOKUP
/* Of unit 0: the answer is what was mapped at some instant since it began. */
proctype lookup()
{
    byte t, e, level;

    atomic { read_begin(); t = ROOT; level = 3; seen = (mapped[0] == 0 -> 1 : 2 << (mapped[0] & 1)) };
    do
    :: atomic {
           touch(t);
           e = E(t, 0);
           if
           :: is_table(e) -> t = table_of(e)
           :: else -> break
           fi
       }
    od;
    atomic {
        assert(seen & (e == 0 -> 1 : 2 << (e & 1)));
        seen = 0;
        e = 0;
        t = 0;
        level = 0;
        read_end()
    }
}
#endif

inline linked(table, entries)
{
    state[table] = LINKED;
    live[table] = entries
}

#define WHOLE 0 /* everything is mapped */
#define HALF 1  /* unit 0 only */
#define BARE 2  /* nothing, without a table */
#ifndef TREE
#define TREE WHOLE
#endif

inline check_tree()
{
    byte i, j, n, above[TABLES];

    d_step {
        above[ROOT] = 1;
        i = 1;
        do
        :: i < TABLES ->
            n = 0;
            j = 0;
            do
            :: j < 2 ->
                if
                :: E(i, j) -> n++
                :: else
                fi;
                if
                :: is_table(E(i, j)) -> above[table_of(E(i, j))]++
                :: else
                fi;
                j++
            :: else -> break
            od;
            assert(n == live[i] && (n || i == ROOT || !state[i]));
            assert(holder[i] == 0 && lender[i] == 0);
            i++
        :: else -> break
        od;
        i = 1;
        do
        :: i < TABLES -> assert(above[i] == (state[i] == LINKED -> 1 : 0) && state[i] != GATHERED); i++
        :: else -> break
        od;
        i = 0; j = 0; n = 0
    }
}

init {
    atomic {
        linked(ROOT, 0);
#if TREE == WHOLE
        linked(2, 2); linked(3, 1); linked(4, 1);
        E(ROOT, 0) = 2; E(2, 0) = 3; E(2, 1) = 4; E(3, 0) = LEAF; E(4, 0) = LEAF;
        live[ROOT] = 1;
#endif
#if TREE == HALF
        linked(2, 1); linked(3, 1);
        E(ROOT, 0) = 2; E(2, 0) = 3; E(3, 0) = LEAF;
        live[ROOT] = 1;
#endif
#ifdef WIDE
        linked(5, 1);
        E(ROOT, 1) = 5; E(5, 0) = LEAF; 
        live[ROOT]++;
#endif
#ifdef LOOKUP
        mapped[0] = LEAF; mapped[1] = (TREE == WHOLE -> LEAF : 0);
#endif
        PROCESSES
    }
    _nr_pr == 1;
    check_tree()
}
