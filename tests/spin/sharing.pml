/* Two trees that share tables copy-on-write, and a lookup in either: ept/generic/own.h. Each tree is a root, whose one
 * entry leads to a table T, whose one entry leads to a table K of two pages. At first both roots point at the same T,
 * and the pages have W below the roots' entries, which lack it. For tests/spin/run. */

#ifndef OPS
#define OPS 1 /* operations of each tree */
#endif
#ifndef OPS_B
#define OPS_B OPS /* of the second tree */
#endif
#ifndef REACH
#define REACH 0
#endif
#define reached(k) assert(REACH != k)

#define TABLES 11 /* 1 and 2: the roots */
#define FRAME 32  /* a leaf, of frame 0 or 1 */
#define W 128
#define is_table(e) (((e) & 127) > 0 && ((e) & 127) < FRAME)
#define is_leaf(e) (((e) & 127) >= FRAME)
#define to(e) ((e) & 127)
#define E(table, i) entry[(table) * 2 + (i)]
#define touch(t) assert(used[t])

#ifdef NO_REMOVE_W_IN_ORIGINAL
#define ORIGINAL_KEEPS W
#else
#define ORIGINAL_KEEPS 0
#endif
#ifdef NO_REMOVE_W_IN_COPY
#define COPY_KEEPS W
#else
#define COPY_KEEPS 0
#endif

byte entry[2 * TABLES], owners[TABLES];
bit used[TABLES];
byte frame_refs[2];
bit held[2];   /* the roots */
byte waits[2]; /* does this tree's quiesce wait for the lookup? */
bit reading;
byte rights[4]; /* what [tree * 2 + page] maps, as it should be: 0 nothing, 1 without W, 2 with W */
byte watched = 255, seen; /* what the lookup looks for, and what it was since it began */

#define WAY_OWN 0
#define WAY_TAKEN 1
#define WAY_COPIED 2

/* A page's rights change, as far as the tree's user can tell. */
inline set_rights(place, value)
{
    rights[place] = value;
    if
    :: watched == place -> seen = seen | (1 << value)
    :: else
    fi
}

inline new_table()
{
    n = 3;
    do
    :: used[n] -> n++
    :: else -> break
    od;
    assert(n < TABLES);
    used[n] = 1;
    owners[n] = 1
}

/* How will the table below a shared entry become this tree's own? */
inline choose_way(way, table)
{
    atomic {
        touch(table);
        if
        :: owners[table] > 1 -> way = WAY_COPIED
        :: else -> way = WAY_TAKEN
        fi;
#ifdef TAKE_BACK_SHARED
        way = WAY_TAKEN
#endif
    };
    if
    :: way == WAY_COPIED -> atomic { touch(table); owners[table]++ } /* the pin */
    :: else
    fi
}

inline plan()
{
    atomic { x = E(root, 0); T = to(x); way_t = WAY_OWN };
    if
    :: !(x & W) -> choose_way(way_t, T)
    :: else
    fi;
    atomic { touch(T); x = E(T, 0); K = to(x); way_k = WAY_OWN };
    if
    :: way_t == WAY_COPIED -> way_k = WAY_COPIED /* without a pin: the copy of T brings an owner */
    :: way_t == WAY_TAKEN || (way_t == WAY_OWN && !(x & W)) -> choose_way(way_k, K)
    :: else
    fi;
    if
    :: way_k == WAY_COPIED ->
        d_step {
            touch(K);
            i = 0;
            do
            :: i < 2 ->
                if
#ifndef NO_FRAME_GET
                :: is_leaf(E(K, i)) -> frame_refs[i]++
#endif
                :: else
                fi;
                i++
            :: else -> break
            od;
            i = 0
        }
    :: else
    fi
}

inline copy_entry(from, i)
{
    atomic {
        touch(from);
        x = E(from, i);
#ifndef NO_OWNER_OF_CHILD
        if
        :: is_table(x) -> touch(to(x)); owners[to(x)]++
        :: else
        fi;
#endif
        E(from, i) = x & (127 | ORIGINAL_KEEPS);
        E(n, i) = x & (127 | COPY_KEEPS);
        x = 0
    }
}

inline lose_w(table, i)
{
#ifndef TAKE_BACK_KEEPS_W
    atomic { touch(table); E(table, i) = E(table, i) & 127 }
#else
    skip
#endif
}

inline give_up(table)
{
    assert(!(drops & (1 << table)));
    drops = drops | (1 << table)
}

inline own_t()
{
    if
    :: way_t == WAY_TAKEN ->
        reached(1);
#ifdef W_FIRST
        E(root, 0) = T | W;
#endif
        lose_w(T, 0);
        E(root, 0) = T | W
    :: way_t == WAY_COPIED ->
        reached(2);
        atomic { new_table(); copy_entry(T, 0) };
        E(root, 0) = n | W;
        atomic { touch(T); owners[T]--; give_up(T); T = n; n = 0 }
    :: else
    fi
}

inline own_k()
{
    if
    :: way_k == WAY_TAKEN ->
        reached(3);
#ifdef W_FIRST
        E(T, 0) = K | W;
#endif
        lose_w(K, 0);
        lose_w(K, 1);
        E(T, 0) = K | W
    :: way_k == WAY_COPIED ->
        reached(4);
        atomic { new_table(); copy_entry(K, 0) };
        copy_entry(K, 1);
        E(T, 0) = n | W;
        atomic {
            touch(K);
            owners[K]--;
            if
            :: way_t != WAY_COPIED -> give_up(K)
            :: else
            fi;
            K = n;
            n = 0
        }
    :: else
    fi
}

/* Unmaps a page, or changes its rights. */
inline change_page(page)
{
    plan();
    own_t();
    own_k();
    if
    :: atomic { is_leaf(E(K, page)) -> E(K, page) = E(K, page) ^ W; set_rights(me * 2 + page, (E(K, page) & W -> 2 : 1)) }
    :: atomic {
           is_leaf(E(K, page)) && !(puts & (1 << page)) ->
           E(K, page) = 0;
           set_rights(me * 2 + page, 0);
           puts = puts | (1 << page)
       }
    :: atomic { else -> E(K, page) = (FRAME + page) | W; frame_refs[page]++; set_rights(me * 2 + page, 2) }
    fi;
    atomic { x = 0; T = 0; K = 0; way_t = 0; way_k = 0 }
}

inline unmap_all()
{
    atomic {
        x = E(root, 0);
        E(root, 0) = 0;
        set_rights(me * 2, 0);
        set_rights(me * 2 + 1, 0);
        give_up(to(x));
        x = 0
    }
}

/* From the other tree, whose root is free, in two steps. */
inline share()
{
    atomic { !held[other] -> held[other] = 1 };
    x = to(E(other + 1, 0));
    if
    :: x ->
        reached(5);
        atomic {
            touch(x);
            owners[x]++;
            E(other + 1, 0) = x;
            if
            :: rights[other * 2] == 2 -> set_rights(other * 2, 1)
            :: else
            fi;
            if
            :: rights[other * 2 + 1] == 2 -> set_rights(other * 2 + 1, 1)
            :: else
            fi
        };
        atomic { E(root, 0) = x; set_rights(me * 2, rights[other * 2]); set_rights(me * 2 + 1, rights[other * 2 + 1]) }
    :: else
    fi;
    atomic { held[other] = 0; x = 0 }
}

/* Ends one ownership of the table t. */
inline drop_table()
{
    atomic { touch(t); assert(owners[t] > 0); x = owners[t] };
    if
    :: x > 1 -> atomic { touch(t); x = owners[t]; owners[t]-- }
    :: else
    fi;
    if
    :: x == 1 ->
        reached(6);
        d_step {
            assert(owners[t] <= 1);
            i = 0;
            do
            :: i < 2 ->
                x = E(t, i);
                if
                :: is_table(x) -> give_up(to(x))
                :: is_leaf(x) -> assert(frame_refs[i] > 0); frame_refs[i]--
                :: else
                fi;
                E(t, i) = 0;
                i++
            :: else -> break
            od;
            used[t] = 0;
            owners[t] = 0;
            i = 0
        }
    :: else
    fi;
    x = 0
}

inline sync()
{
#ifndef DROP_BEFORE_QUIESCE
    waits[me] = reading;
    waits[me] == 0;
#endif
    d_step {
        if
        :: puts & 1 -> assert(frame_refs[0] > 0); frame_refs[0]--
        :: else
        fi;
        if
        :: puts & 2 -> assert(frame_refs[1] > 0); frame_refs[1]--
        :: else
        fi;
        puts = 0
    };
    do
    :: drops ->
        d_step {
            t = 3;
            do
            :: !(drops & (1 << t)) -> t++
            :: else -> break
            od;
            drops = drops & ~(1 << t)
        };
        drop_table();
        t = 0
    :: else -> break
    od
}

proctype tree(bit me; byte ops)
{
    byte T, K, n, x, t, i, way_t, way_k, root, puts;
    short drops;
    bit other;

    atomic { root = me + 1; other = 1 - me };
    do
    :: ops > 0 ->
        atomic { !held[me] -> held[me] = 1; ops-- };
        if
        :: E(root, 0) -> change_page(0)
        :: E(root, 0) -> change_page(1)
        :: E(root, 0) -> unmap_all()
        :: !E(root, 0) && !held[other] -> share()
        :: !E(root, 0) -> skip
        fi;
        held[me] = 0
    :: (drops || puts) -> sync()
    :: ops == 0 && !drops && !puts -> break
    od
}

/* The answer is what was mapped at some instant since it began; W may be missing while a table is taken back. */
proctype lookup(bit tree_number; bit page)
{
    byte t, e, value, level;
    bit writable;

    atomic {
        reading = 1;
        watched = tree_number * 2 + page;
        seen = 1 << rights[watched];
        t = tree_number + 1;
        writable = 1;
        level = 3
    };
    do
    :: atomic {
           touch(t);
           e = E(t, (level == 1 -> page : 0));
           assert(!is_table(e) || !(e & W) || owners[to(e)] == 1);
           if
           :: !(e & W) -> writable = 0
           :: else
           fi;
           if
           :: is_table(e) -> t = to(e); level--
           :: else -> break
           fi
       }
    od;
    atomic {
        value = (e == 0 -> 0 : 1 + writable);
        assert(e == 0 || frame_refs[page] > 0);
#ifdef STRICT_LOOKUP
        assert(seen & (1 << value));
#else
        assert((seen & (1 << value)) || (value == 1 && (seen & 4)));
#endif
        watched = 255;
        seen = 0;
        t = 0;
        e = 0;
        value = 0;
        level = 0;
        writable = 0;
        reading = 0;
        waits[0] = 0;
        waits[1] = 0
    }
}

/* Is every page what it should be, and every count? */
inline check_all()
{
    byte i, j, x, above[TABLES], leaves[2];

    d_step {
        i = 1;
        do
        :: i < TABLES ->
            j = 0;
            do
            :: j < 2 ->
                x = E(i, j);
                assert(!x || used[i]);
                if
                :: is_table(x) -> above[to(x)]++; assert(used[to(x)] && (!(x & W) || owners[to(x)] == 1))
                :: is_leaf(x) -> leaves[j]++
                :: else
                fi;
                j++
            :: else -> break
            od;
            i++
        :: else -> break
        od;
        i = 3;
        do
        :: i < TABLES -> assert(owners[i] == above[i] && used[i] == (above[i] > 0)); i++
        :: else -> break
        od;
        assert(frame_refs[0] == leaves[0] && frame_refs[1] == leaves[1]);
        i = 0;
        do
        :: i < 4 ->
            x = E(i / 2 + 1, 0);
            j = x & W;
            if
            :: x -> x = E(to(x), 0); j = j & x; x = E(to(x), i % 2); j = j & x
            :: else
            fi;
            assert(rights[i] == (x == 0 -> 0 : (j -> 2 : 1)));
            i++
        :: else -> break
        od
    }
}

init {
    atomic {
        used[1] = 1; used[2] = 1; used[3] = 1; used[4] = 1;
        owners[1] = 1; owners[2] = 1; owners[3] = 2; owners[4] = 1;
        E(1, 0) = 3; E(2, 0) = 3;
        E(3, 0) = 4 | W;
        E(4, 0) = FRAME | W; E(4, 1) = (FRAME + 1) | W;
        frame_refs[0] = 1; frame_refs[1] = 1;
        rights[0] = 1; rights[1] = 1; rights[2] = 1; rights[3] = 1;
#ifdef HOLE
        E(4, 0) = 0; frame_refs[0] = 0; rights[0] = 0; rights[2] = 0;
#endif
        run tree(0, OPS);
        run tree(1, OPS_B);
#ifndef NO_LOOKUP
        if
        :: run lookup(0, 0)
        :: run lookup(1, 0)
        fi
#endif
    }
    _nr_pr == 1;
    check_all()
}
