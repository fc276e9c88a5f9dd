/* The functions of one page-table format, declared for the prefix PT_FORMAT: ept_cursor_map(), x86_cursor_map().
 * Include <ept/ept.h> or <ept/x86.h>, not this file; it has no include guard because each of them includes it.
 *
 * Addresses, lengths and HPAs are bytes and multiples of 4 KiB. Any status other than PT_OK and PT_END means that
 * nothing changed: no mapping or right, not the cursor, no reference. (Two things nobody sees through this interface
 * may have: empty tables are gone, and a copy inside one tree may have made shared tables the tree's own already.)
 * Every operation that may need tables can answer PT_ENOMEM and PT_ETABLE, every one that may need references
 * PT_EFRAME. A cursor and its gather belong to one thread.
 *
 * Where several things are wrong, the answer is the first of these that holds: PT_EMODE (the cursor); PT_EINVAL of a
 * level that is none; PT_END, PT_EINVAL or PT_ERANGE of the range; PT_EINVAL of the other arguments; then, of what is
 * found in the range, PT_EOCCUPIED, PT_EINVAL or PT_EUNEQUAL; then PT_ENOMEM or PT_ETABLE; then PT_EFRAME. An item, a
 * run or a pt_resolution is written only where the answer is PT_OK.
 *
 * Leaves are refused (PT_EINVAL) with properties that the format has no bit for: EPT has not PT_U, PT_G and PT_UCMINUS,
 * x86-64 not PT_IPAT, PT_WC and PT_WP; with W, or without PT_CAP_EXEC_ONLY X, but without R (x86-64: either of them
 * without R); with PT_TRACKED in a tree without frame_get; with bits that are not in PT_ALL. No rights at all are
 * allowed: such a leaf is a mapping that hardware does not see.
 *
 * A `length` may be PT_TO_END: up to the end of the claim (of src's, where there are two cursors; of the address space,
 * where a claim is made). On a depleted cursor that is PT_END. An operation that looks for the next leaf takes a length
 * of 0 there for PT_END, too. So this visits every leaf of a claim:
 *     while ((status = ept_cursor_take_next(&cursor, PT_TO_END, &item)) == PT_OK) */
#ifndef PT_FORMAT
#error "include <ept/ept.h> or <ept/x86.h>"
#endif
#define PT_JOIN_(a, b) a##_##b
#define PT_JOIN(a, b)  PT_JOIN_(a, b)
#define PT_FN(name)    PT_JOIN(PT_FORMAT, name)

/* --- Trees ------------------------------------------------------------------------------------------------------ */

/* Makes an empty tree: allocates the root. The config is copied. PT_EINVAL: a hook, number or capability that cannot
 * be; PT_ENOMEM: no page for the root; PT_ETABLE: one that cannot be a table. After an error there is nothing to
 * destroy. */
PT_CHECKED enum pt_status PT_FN(init)(struct pt *pt, const struct pt_config *config);

/* Takes everything down: flushes all of the address space, drops every reference, frees every table. No cursor and no
 * unsynced gather of the tree may be left. */
void PT_FN(destroy)(struct pt *pt);

/* --- Gathers ---------------------------------------------------------------------------------------------------- */

/* Empty gather for cursors of this tree. It must be synced before it goes away. It is their identity and a part of what
 * their locks say: neither it nor a cursor nor the pt may be moved or copied while it is in use. It is 2.4 KiB, so a
 * kernel keeps one for each CPU or thread rather than on a stack. */
void PT_FN(gather_init)(struct pt_gather *gather, struct pt *pt);

/* Calls the flush hook if anything needs it, then, if something waits to be released, quiesce; then puts frames and
 * frees tables. Allowed with cursors open, but not inside a read-side section; the library calls it by itself when the
 * gather is full. What another thread may do with the range as soon as the cursor has ended must not come before the
 * flush: where that matters, sync first, then end the cursor. */
void PT_FN(gather_sync)(struct pt_gather *gather);

/* --- Cursors ---------------------------------------------------------------------------------------------------- */

/* Claims [start, start + length) and stands at start. Waits while another owner's cursor holds the table needed. Every
 * other cursor that overlaps waits, here or when it first comes to this range, until cursor_end. A reader needs a
 * gather too: it may be the one to remove a table that another cursor emptied. PT_EINVAL: misaligned or empty range, or
 * a gather of another tree or none; PT_ERANGE: beyond the address space. After an error there is nothing to end. Not
 * inside a read-side section: it may wait for a cursor whose holder waits for that section to end. */
PT_CHECKED enum pt_status PT_FN(cursor_init)(struct pt_cursor *cursor, struct pt *pt, uint64_t start, uint64_t length,
                                             enum pt_mode mode, struct pt_gather *gather);

/* (Two cursors of one gather never wait for each other, so nothing keeps their claims apart: an operation that finds
 * the other one inside its range answers PT_EINVAL, and what it does beside it is for the caller to know. Make such
 * claims disjoint.)
 *
 * Claims part of what `outer` has claimed, with its mode and gather, for a second position inside it; end it before
 * outer. Until then nothing may move outer or change anything through it. PT_ERANGE: not inside outer's claim. */
PT_CHECKED enum pt_status PT_FN(cursor_init_inside)(struct pt_cursor *cursor, struct pt_cursor *outer, uint64_t start,
                                                    uint64_t length);

/* Gives the range back; empty tables go to the gather, which may be synced before or after. Ending twice is harmless.
 */
void PT_FN(cursor_end)(struct pt_cursor *cursor);

/* Where the cursor stands; start + length of the claim when depleted. */
static inline uint64_t PT_FN(cursor_at)(const struct pt_cursor *cursor)
{
    return cursor->at;
}

/* The slot the cursor stands in: PT_HOLE or PT_LEAF. PT_END: depleted. */
PT_CHECKED enum pt_status PT_FN(cursor_query)(struct pt_cursor *cursor, struct pt_item *item);

/* Moves to the end of the slot the cursor stands in, or to the claim's end if that is nearer. PT_END: depleted already.
 */
PT_CHECKED enum pt_status PT_FN(cursor_next)(struct pt_cursor *cursor);

/* Moves to the first leaf within `length` and reports it. The cursor then stands at the leaf's start, or where it was
 * if it already stood inside the leaf. PT_END: none; the cursor has moved by `length`. */
PT_CHECKED enum pt_status PT_FN(cursor_find_next)(struct pt_cursor *cursor, uint64_t length, struct pt_item *item);

/* Stands at `address` of the claim; its end is allowed and depletes the cursor. */
PT_CHECKED enum pt_status PT_FN(cursor_jump)(struct pt_cursor *cursor, uint64_t address);

/* Maps one leaf of this level at the cursor and moves past it. PT_EINVAL: cursor or HPA not aligned to the level, HPA
 * beyond maxphyaddr, properties the format refuses; PT_EOCCUPIED: the slot holds a mapping. */
PT_CHECKED enum pt_status PT_FN(cursor_map)(struct pt_cursor *cursor, uint64_t hpa, unsigned level, pt_prop prop);

/* Maps [at, at + length) to [hpa, hpa + length) with the largest pages that fit and moves past it. PT_EOCCUPIED: some
 * part of it holds a mapping. */
PT_CHECKED enum pt_status PT_FN(cursor_map_range)(struct pt_cursor *cursor, uint64_t hpa, uint64_t length,
                                                  pt_prop prop);

/* Changes every leaf of [at, at + length) and moves past it; holes stay holes. A huge leaf that is partly inside is
 * split, unless the change changes nothing in it. PT_EINVAL: for some leaf the result would be refused. */
PT_CHECKED enum pt_status PT_FN(cursor_protect_range)(struct pt_cursor *cursor, uint64_t length,
                                                      struct pt_change change);

/* Changes the next leaf within `length` and moves past it. `item` is that leaf before the change, after any split.
 * PT_END: none; the cursor has moved by `length`. */
PT_CHECKED enum pt_status PT_FN(cursor_protect_next)(struct pt_cursor *cursor, uint64_t length, struct pt_change change,
                                                     struct pt_item *item);

/* Removes the next leaf within `length` and moves past it; a huge leaf partly inside is split first. Its reference, if
 * tracked, goes to the gather. PT_END: none; the cursor has moved by `length`. */
PT_CHECKED enum pt_status PT_FN(cursor_take_next)(struct pt_cursor *cursor, uint64_t length, struct pt_item *item);

/* As take_next, but when the next mapping lies below a table whose whole slot is within `length`, takes the largest
 * such table at once: PT_TABLE, with the frames it mapped. A table whose slot is all of the claim may have to be taken
 * in parts: claim more. */
PT_CHECKED enum pt_status PT_FN(cursor_take_subtree)(struct pt_cursor *cursor, uint64_t length, struct pt_item *item);

/* Removes every mapping of [at, at + length) and moves past it. */
PT_CHECKED enum pt_status PT_FN(cursor_unmap_range)(struct pt_cursor *cursor, uint64_t length);

/* Copies the mappings of [src at, + length) to [dst at, + length), holes as holes, and moves both cursors past it. The
 * copy of a leaf has the source's properties before the change, then to_dst applied; the source gets to_src, and is
 * split only where to_src changes part of a huge leaf. Tracked leaves gain a reference (through dst's hooks). A copy
 * uses the largest pages that fit the source leaf and dst's alignment.
 * PT_EOCCUPIED: dst holds a mapping in the range. src may be a PT_READ cursor if to_src is nothing. The trees may be
 * unlike in levels, caps, maxphyaddr and hooks: PT_EINVAL if dst's tree cannot hold what is copied (an HPA beyond its
 * maxphyaddr, X alone, a tracked leaf without frame_get); leaves larger than it has become smaller ones.
 * Both may be of one tree if they share a gather and their claims are disjoint (PT_EINVAL otherwise): open a cursor
 * over both ranges and these two inside it. With two trees, threads that copy between the same two over overlapping
 * ranges must exclude each other by a lock of their own: neither cursor gives way. */
PT_CHECKED enum pt_status PT_FN(cursor_copy_from)(struct pt_cursor *dst, struct pt_cursor *src, uint64_t length,
                                                  struct pt_change to_dst, struct pt_change to_src);

/* As copy_from with to_dst and to_src that clear PT_W, in its answers too, but where both sides are aligned alike,
 * whole tables inside the range are shared copy-on-write rather than copied: the entries of both sides that point at
 * the table lose W, the table gets an owner more, no leaf is touched. What lies below then has no W on either side,
 * since rights are ANDed along the walk; whoever changes something there first gets a copy of the tables on the way,
 * and the last owner gets the tables back without copying. Where a claim is exactly one table and the table above
 * happens to be held, its parts are shared or copied instead.
 *
 * Shared leaves hold one reference however many owners their table has: whether others see a page below shared tables
 * the frame's count alone does not tell. cursor_resolve finds out. To do it by hand: first change something of the leaf
 * (a software bit will do), which makes the way to it the tree's own, and sync; from then on the count says whether to
 * copy the frame or to give W back.
 *
 * Sync the gather of src before a processor may run with dst: until the flush src's processors may still write. Threads
 * that share from one tree through several gathers sync all of them: only the first takes W and has the range to flush.
 *
 * src must be a PT_WRITE cursor. PT_EINVAL also if the trees have not the same tables, frames and hooks for them (their
 * ctx may differ, but must draw on the same), maxphyaddr and caps. */
PT_CHECKED enum pt_status PT_FN(cursor_share_from)(struct pt_cursor *dst, struct pt_cursor *src, uint64_t length);

/* --- Copy-on-write ---------------------------------------------------------------------------------------------- */

/* Resolves a write to the address where the cursor stands: what a handler of EPT violations or page faults calls for
 * one. *found says what was found and done, *item is the leaf (or hole) as it is then; the cursor stays. The way to the
 * leaf becomes this tree's own. Who alone has the frames gets W back; no flush. Otherwise `copy` is called, with the
 * claim held, for frames of its own, which this takes the place of the old ones with: first without W, then the gather
 * is synced (one flush, of the leaf, or of its table's slot where that was shared), and then W comes. So no processor
 * writes to the copy while another still reads the old frames. A huge leaf that others have too is first split down to
 * `level`, and where it reaches beyond the claim, down to what does not.
 *
 * Leaves without PT_TRACKED have frames that nobody counts: they get W. The leaf keeps all properties; a copy has no D.
 * PT_END: depleted. PT_EFRAME also if `copy` answers false; PT_EINVAL also if what it says is not aligned to the level
 * or beyond maxphyaddr: if `copy` has answered true, the copy is the caller's to take back then. After an error
 * nothing is changed but page sizes. Not inside a read-side section. */
PT_CHECKED enum pt_status PT_FN(cursor_resolve)(struct pt_cursor *cursor, unsigned level, pt_copy_fn copy, void *ctx,
                                                enum pt_resolution *found, struct pt_item *item);

/* --- Page sizes ------------------------------------------------------------------------------------------------- */

/* Splits the leaf the cursor stands in until the piece there is of this level, or smaller already; each piece keeps A,
 * D and all properties. The cursor stays. PT_END: it stands in a hole, or is depleted; PT_EINVAL: no such level of
 * leaves; PT_ERANGE: the leaf reaches beyond the claim. */
PT_CHECKED enum pt_status PT_FN(cursor_split)(struct pt_cursor *cursor, unsigned level);

/* Makes the slot of this level at the cursor one leaf, and moves past it: the inverse of a split, over as many levels
 * as it takes. Every page of it must be mapped, contiguously to HPAs aligned to the level, with equal properties but
 * for A and D, of which the leaf gets all that were set. Where hardware sets A and D this syncs the gather, so that
 * none is lost. PT_EUNEQUAL: it is not so. Nothing to do where a leaf of that level or above is. PT_EINVAL: no such
 * level, 1, or not aligned to it; PT_ERANGE: not inside the claim. */
PT_CHECKED enum pt_status PT_FN(cursor_collapse)(struct pt_cursor *cursor, unsigned level);

/* --- Accessed and dirty ----------------------------------------------------------------------------------------- */

/* Finds the next run of adjacent leaves within `length` of which each has one of `bits` (PT_A, PT_D or both), reports
 * it clipped to the range, and moves past it. With `clear` (and a PT_WRITE cursor) the bits are cleared in the run; a
 * huge leaf partly inside is then split, so that the rest keeps its bits. What hardware sets meanwhile is reported now
 * or by the next harvest. It sets them again only after gather_sync has flushed the run. In tables that are shared, A
 * tells that some owner's processor came by. PT_END: none; the cursor has moved by `length`. */
PT_CHECKED enum pt_status PT_FN(cursor_harvest)(struct pt_cursor *cursor, uint64_t length, pt_prop bits, bool clear,
                                                struct pt_range *run);

/* --- Looking without a cursor ----------------------------------------------------------------------------------- */

/* The slot around `address`: a PT_LEAF or PT_HOLE, with `at` = address. Takes no lock and waits for nobody; from any
 * thread. What it reports was mapped so at some instant during the call; only W may be missing though it is there,
 * while another thread takes shared tables back. To use the frame as well, call it inside a read-side section of your
 * own. PT_ERANGE: beyond the address space. */
PT_CHECKED enum pt_status PT_FN(lookup)(const struct pt *pt, uint64_t address, struct pt_item *item);

/* --- Looking at a whole tree ------------------------------------------------------------------------------------ */
/* These claim the whole tree for reading while they run, with a gather of their own: they wait for every other cursor,
 * so a thread that has one open itself waits for ever (its cursors end first), and, all but check, they take 3 KiB of
 * stack. */

/* Counts tables and leaves by level. */
void PT_FN(count)(struct pt *pt, struct pt_statistics *statistics);

/* Verifies every invariant of the tree: entry counts, levels, owners, no W on the way to a shared table, software
 * present bits, alignment, nothing reserved or refused, no empty table but the root. PT_ECORRUPT: `fault` says what and
 * where. `leaf` may be NULL. Only for a tree on which no other cursor is open: tables may be empty while a cursor holds
 * them. */
PT_CHECKED enum pt_status PT_FN(check)(struct pt *pt, pt_leaf_fn leaf, void *ctx, struct pt_fault *fault);

/* Prints the mappings, merged into runs, in address order. */
void PT_FN(dump)(struct pt *pt, enum pt_dump_style style, pt_write_fn write, void *ctx);

/* Writes the tree as one file, as <ept/image.h> specifies it: a header, then every table, with entries as if the tables
 * lay one after the other from `pa` on, the root first. `write` gets the file's bytes in order; it must not use a
 * cursor of this tree. PT_EINVAL: pa is not a multiple of 4 KiB; PT_ERANGE: the tables would reach beyond maxphyaddr;
 * then nothing was written. */
PT_CHECKED enum pt_status PT_FN(image)(struct pt *pt, uint64_t pa, pt_write_fn write, void *ctx);

#undef PT_FN
#undef PT_JOIN
#undef PT_JOIN_
