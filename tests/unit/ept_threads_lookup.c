/* Lookups without locks while writers map, protect, split, collapse, share, take back and remove what is looked up, and
 * freed tables are spoilt at once: a lookup reports one of the values that the address had while it ran, and the frame
 * it reports is not released before its section ends. Run under ThreadSanitizer too. */
#define PT_TEST_FORMAT ept
#define PT_TEST_LEVELS 4
#include "tests/support/ept_cursor_fixture.h"

#include "tests/support/ept_threads_body.h"

/* A block of 2 MiB goes through these states, over and over, each time with frames of its own. */
enum state {
    EMPTY,    /* nothing is mapped */
    WHOLE,    /* writable */
    STRIPED,  /* some pages are not writable */
    HOLED,    /* and some of those are gone */
    MENDED,   /* and back */
    CLOSED,   /* nothing is writable */
    OPENED,   /* all is */
    SHARED,   /* nothing is */
    HALVED,   /* the first half is */
    REOPENED, /* all is */
    STATES,
};

#define STRIPE       100u /* first page that HOLED to MENDED deal with */
#define STRIPE_PAGES 300u
#define GAP          200u
#define GAP_PAGES    10u

#define WRITERS 2u
#define READERS 2u
#define BLOCKS  8u
#define CYCLES  ROUNDS(1600u)

/* Under one table, in neighbouring ones, and with a path of their own. */
static const uint64_t places[BLOCKS] = {0,         MIB2, 2 * MIB2, GIB1, 2 * GIB1 - MIB2, 512 * GIB1, 512 * GIB1 + MIB2,
                                        700 * GIB1};

/* How many states each block has begun to go to, and has reached. The n-th is enum state n % STATES. */
static _Atomic uint64_t started[BLOCKS], reached[BLOCKS];
static atomic_bool finished;

static uint64_t frames_of(unsigned block, uint64_t version)
{
    return HPA + ((version / STATES * BLOCKS + block) % 3000) * MIB2;
}

/* The properties of a page in a state; 0: a hole. */
static pt_prop page_prop(enum state state, unsigned page)
{
    bool striped = page >= STRIPE && page < STRIPE + STRIPE_PAGES;

    switch (state) {
    case EMPTY:
        return 0;
    case STRIPED:
    case MENDED:
        return striped ? COUNTED & ~PT_W : COUNTED;
    case HOLED:
        return page >= GAP && page < GAP + GAP_PAGES ? 0 : page_prop(STRIPED, page);
    case CLOSED:
    case SHARED:
        return COUNTED & ~PT_W;
    case HALVED:
        return page < 256 ? COUNTED : COUNTED & ~PT_W;
    default:
        return COUNTED;
    }
}

/* --- Writers ----------------------------------------------------------------------------------------------------- */

static const struct pt_change writable = {PT_W, 0};

struct writer {
    struct pt_gather gather;
    struct pt_cursor cursor;
    struct world other; /* a tree to share with */
    bool shares;        /* it is there */
    uint64_t random;
};

static void protect_pages(struct writer *writer, uint64_t base, uint64_t first, uint64_t pages, struct pt_change change)
{
    MUST(ept_cursor_jump(&writer->cursor, base + first * KIB4) == PT_OK);
    MUST(ept_cursor_protect_range(&writer->cursor, pages * KIB4, change) == PT_OK);
}

/* Page sizes may change at any time, and nobody notices. */
static void resize(struct writer *writer, uint64_t base, bool equal)
{
    enum pt_status status;

    MUST(ept_cursor_jump(&writer->cursor, base + next_random(&writer->random) % 512 * KIB4) == PT_OK);
    if (next_random(&writer->random) % 2)
        MUST(ept_cursor_split(&writer->cursor, 1) == PT_OK);
    if (next_random(&writer->random) % 2)
        return;
    MUST(ept_cursor_jump(&writer->cursor, base) == PT_OK);
    status = ept_cursor_collapse(&writer->cursor, 2);
    MUST(status == (equal ? PT_OK : PT_EUNEQUAL));
}

static void share_block(struct writer *writer, uint64_t base)
{
    struct pt_cursor dst;

    memset(&writer->other, 0, sizeof(writer->other));
    MUST(ept_init(&writer->other.pt, &w.config) == PT_OK);
    ept_gather_init(&writer->other.gather, &writer->other.pt);
    MUST(ept_cursor_init(&dst, &writer->other.pt, 0, 1024 * GIB1, PT_WRITE, &writer->other.gather) == PT_OK);
    MUST(ept_cursor_jump(&dst, base) == PT_OK);
    MUST(ept_cursor_share_from(&dst, &writer->cursor, MIB2) == PT_OK);
    ept_cursor_end(&dst);
    writer->shares = true;
}

static void end_sharer(struct writer *writer)
{
    if (!writer->shares)
        return;
    writer->shares = false;
    ept_gather_sync(&writer->other.gather);
    ept_destroy(&writer->other.pt);
}

/* Changes the block so that it gets to the state. */
static void go_to(struct writer *writer, unsigned block, uint64_t version)
{
    struct pt_cursor *cursor = &writer->cursor;
    uint64_t base = places[block], hpa = frames_of(block, version);

    MUST(ept_cursor_jump(cursor, base) == PT_OK);
    switch ((enum state)(version % STATES)) {
    case EMPTY:
        MUST(ept_cursor_unmap_range(cursor, MIB2) == PT_OK);
        break;
    case WHOLE:
        MUST(ept_cursor_map(cursor, hpa, 2, COUNTED) == PT_OK);
        break;
    case STRIPED:
        protect_pages(writer, base, STRIPE, STRIPE_PAGES, read_only);
        break;
    case HOLED:
        MUST(ept_cursor_jump(cursor, base + GAP * KIB4) == PT_OK);
        MUST(ept_cursor_unmap_range(cursor, GAP_PAGES * KIB4) == PT_OK);
        break;
    case MENDED:
        MUST(ept_cursor_jump(cursor, base + GAP * KIB4) == PT_OK);
        MUST(ept_cursor_map_range(cursor, hpa + GAP * KIB4, GAP_PAGES * KIB4, COUNTED & ~PT_W) == PT_OK);
        break;
    case CLOSED:
        protect_pages(writer, base, 0, 512, read_only);
        break;
    case SHARED:
        share_block(writer, base);
        break;
    case HALVED:
        if (next_random(&writer->random) % 2)
            end_sharer(writer); /* so the table is taken back, not copied */
        protect_pages(writer, base, 0, 256, writable);
        break;
    default:
        protect_pages(writer, base, 0, 512, writable);
    }
}

static void advance(struct writer *writer, unsigned block)
{
    uint64_t version = atomic_load(&reached[block]) + 1, base = places[block];
    enum state state = version % STATES;
    bool wide = next_random(&writer->random) % 8 == 0;

    MUST(ept_cursor_init(&writer->cursor, &w.pt, wide ? 0 : base, wide ? 1024 * GIB1 : MIB2, PT_WRITE,
                         &writer->gather) == PT_OK);
    atomic_store(&started[block], version);
    go_to(writer, block, version);
    atomic_store(&reached[block], version);
    if (state == WHOLE || state == CLOSED || state == OPENED || state == SHARED)
        resize(writer, base, true);
    if (state == STRIPED || state == MENDED || state == HALVED)
        resize(writer, base, false);
    ept_cursor_end(&writer->cursor);
    if (next_random(&writer->random) % 3)
        ept_gather_sync(&writer->gather);
    if (state == HALVED)
        end_sharer(writer);
}

/* Each writer has every second block; which one it changes next is left to chance. */
static void writer_body(unsigned number)
{
    struct writer writer = {.random = number * 7919 + 1};

    ept_gather_init(&writer.gather, &w.pt);
    for (unsigned i = 0; i < CYCLES * BLOCKS / WRITERS; i++) {
        unsigned block = (unsigned)(next_random(&writer.random) % (BLOCKS / WRITERS)) * WRITERS + number;

        for (unsigned state = 0; state < STATES; state++)
            advance(&writer, block);
    }
    ept_gather_sync(&writer.gather);
}

/* --- Readers ----------------------------------------------------------------------------------------------------- */

static bool is_value(const struct pt_item *item, unsigned block, unsigned page, uint64_t version, bool changing)
{
    pt_prop prop = page_prop(version % STATES, page);

    if (prop == 0)
        return item->kind == PT_HOLE;
    if (item->kind != PT_LEAF ||
        item->hpa + (places[block] + page * KIB4 - item->start) != frames_of(block, version) + page * KIB4)
        return false;
    /* W may be missing from what was there after a shared table was taken back. */
    return item->prop == prop || (changing && item->prop == (prop & ~PT_W));
}

static _Atomic uint64_t lookups, amid;

static void look_once(uint64_t *random)
{
    unsigned block = (unsigned)(next_random(random) % BLOCKS), page = (unsigned)(next_random(random) % 512);
    uint64_t address = places[block] + page * KIB4 + next_random(random) % KIB4, from, to, version;
    struct pt_item item;

    from = atomic_load(&reached[block]);
    thread_read_begin(&w);
    MUST(ept_lookup(&w.pt, address, &item) == PT_OK);
    to = atomic_load(&started[block]);
    dawdle(random);
    if (item.kind == PT_LEAF)
        MUST(pt_frames_references(&w.frames, item.hpa + (address - item.start)) > 0);
    thread_read_end(&w);
    MUST(item.at == address && item.start <= address && address - item.start < item.length);
    lookups++;
    amid += from != to;
    if (to - from > 2 * STATES)
        return; /* it was away for so long that nearly everything was true meanwhile */
    for (version = from; version <= to; version++)
        if (is_value(&item, block, page, version, from != to))
            return;
    fprintf(stderr, "block %u page %u, states %lu to %lu: kind %d hpa %lx prop %x\n", block, page, (unsigned long)from,
            (unsigned long)to, item.kind, (unsigned long)item.hpa, item.prop);
    abort();
}

static void reader_body(unsigned number)
{
    uint64_t random = number * 104729 + 3;

    while (!atomic_load(&finished))
        look_once(&random);
}

START_TEST(lookups_report_what_was_there)
{
    struct thread readers[READERS];

    for (unsigned i = 0; i < READERS; i++)
        start_thread(&readers[i], reader_body, i);
    run_threads(writer_body, WRITERS);
    atomic_store(&finished, true);
    for (unsigned i = 0; i < READERS; i++)
        join_thread(&readers[i]);
    sound(&w);
    MUST(lookups > 0 && amid > 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ept threads: lookups");

    tcase_add_test(add_group(suite, "lookups", setup_threads, teardown_threads), lookups_report_what_was_there);
    return run_suite(suite);
}
