/*
 * pattern: fills RAM with contents that tell the page and the epoch, and rewrites them in a known order without end. A
 * child stops, and checks that its RAM is what an instant of that order must look like, and stays so.
 */
#include "guest/lib/args.h"
#include "guest/lib/clock.h"
#include "guest/lib/console.h"
#include "guest/lib/hash.h"
#include "guest/lib/identity.h"
#include "guest/lib/marks.h"

#define PAGE  4096
#define WORDS (PAGE / sizeof(uint64_t))

enum mode { REWRITE, HOLD };
enum after { AFTER_EXIT, AFTER_CONTINUE, AFTER_HOLD };

struct pattern {
    boot_info *info;
    volatile uint64_t *words;
    uint64_t pages;
    uint64_t seed;
    uint64_t linger; /* ticks between a child's two hashes */
    enum after after;
};

static volatile uint64_t *page_words(const struct pattern *p, uint64_t page)
{
    return p->words + page * WORDS;
}

/* Word i of a page is base + i * WORD_STEP: quick to write and to check, and no two pages or epochs look alike. */
#define WORD_STEP 0x9e3779b97f4a7c15

static uint64_t page_base(const struct pattern *p, uint64_t page, uint64_t epoch)
{
    return hash_mix(hash_mix(p->seed + epoch) + page);
}

static void write_page(const struct pattern *p, uint64_t page, uint64_t epoch)
{
    volatile uint64_t *words = page_words(p, page);
    uint64_t value = page_base(p, page, epoch);
    for (size_t i = 0; i < WORDS; i++, value += WORD_STEP)
        words[i] = value;
}

static bool page_is(const struct pattern *p, uint64_t page, uint64_t epoch)
{
    const volatile uint64_t *words = page_words(p, page);
    uint64_t value = page_base(p, page, epoch);
    for (size_t i = 0; i < WORDS; i++, value += WORD_STEP)
        if (words[i] != value)
            return false;
    return true;
}

/*
 * Is RAM an instant of the rewriting? Pages before `progress` hold epoch + 1 and the others epoch: a child first
 * completes the page it was born in, so there is no half page. Returns the first page that does not fit, or `pages`.
 */
static uint64_t first_wrong_page(const struct pattern *p, uint64_t epoch, uint64_t progress)
{
    for (uint64_t page = 0; page < p->pages; page++)
        if (!page_is(p, page, page < progress ? epoch + 1 : epoch))
            return page;
    return p->pages;
}

static uint64_t hash_all(const struct pattern *p)
{
    PROBE->hash = hash_words(p->words, p->pages * WORDS, p->seed);
    return PROBE->hash;
}

static void print_hash(const struct pattern *p, const char *word)
{
    print_text(word);
    print_identity(p->info);
    print_field("epoch", PROBE->epoch);
    print_field("progress", PROBE->progress);
    print_text(" hash ");
    print_hex(PROBE->hash);
}

/* What a child finds at its start. `epoch` and `progress` come from registers and stack, the probe's from RAM. */
static bool check_instant(const struct pattern *p, uint64_t epoch, uint64_t progress)
{
    mark(MARK_FIRST_OUTPUT);
    const uint64_t wrong = first_wrong_page(p, epoch, progress);
    const bool consistent = wrong == p->pages && PROBE->epoch == epoch && PROBE->progress == progress;
    const uint64_t hash = hash_all(p);
    print_hash(p, "snapshot");
    print_text(consistent ? " consistent yes" : " consistent no");
    if (wrong != p->pages)
        print_field("page", wrong);
    print_text("\n");

    for (const uint64_t start = read_tsc(); read_tsc() - start < p->linger;)
        cpu_pause();
    const bool stable = hash_all(p) == hash;
    print_hash(p, "snapshot");
    print_text(stable ? " stable yes\n" : " stable no\n");
    mark(consistent && stable ? MARK_VERIFIED : MARK_WRONG);
    return consistent && stable;
}

/* Hashes all again and again, which must never give another result; a pass is counted in the probe. */
static unsigned hold(const struct pattern *p)
{
    const uint64_t passes = arg_number(p->info, "passes", 0);
    const uint64_t hash = hash_all(p);
    print_hash(p, "hold");
    print_text("\n");
    for (uint64_t pass = 0; !passes || pass < passes; pass++) {
        if (hash_all(p) != hash) {
            print_hash(p, "hold");
            print_text(" stable no\n");
            mark(MARK_WRONG);
            return 1;
        }
        PROBE->counter++;
        if (identity_changed(p->info))
            return UINT32_MAX;
    }
    print_hash(p, "hold");
    print_text(" stable yes\n");
    mark(MARK_VERIFIED);
    return 0;
}

/* mode=hold: nobody writes but the children chosen by `writers`, each an epoch of its own, once. */
static unsigned run_hold(const struct pattern *p)
{
    const unsigned writers = arg_choice(p->info, "writers", "odd all none");
    for (;;) {
        const unsigned code = hold(p);
        if (code != UINT32_MAX)
            return code;
        mark(MARK_FIRST_OUTPUT);
        const uint64_t id = p->info->guest_id;
        if (writers == 2 || (writers == 0 && id % 2 == 0))
            continue;
        PROBE->epoch = 1000 + id;
        for (uint64_t page = 0; page < p->pages; page++)
            write_page(p, page, PROBE->epoch);
        PROBE->progress = 0;
    }
}

/* mode=rewrite: pass after pass, page after page. The probe says after each page how far it is. */
static unsigned run_rewrite(const struct pattern *p)
{
    volatile struct probe *probe = PROBE;
    for (uint64_t epoch = 1;; epoch++) {
        for (uint64_t page = 0; page < p->pages; page++) {
            while (identity_changed(p->info)) {
                if (!check_instant(p, epoch, page))
                    return 1;
                if (p->after == AFTER_EXIT)
                    return 0;
                if (p->after == AFTER_HOLD)
                    return run_hold(p);
            }
            write_page(p, page, epoch + 1);
            probe->progress = page + 1;
        }
        probe->epoch = epoch + 1;
        probe->progress = 0;
        probe->counter++;
    }
}

unsigned guest_main(boot_info *info, unsigned cpu)
{
    (void)cpu;
    args_check(info, "mode size seed linger_us after writers passes tsc_mhz");
    const uint64_t start = (uint64_t)image_end;
    struct pattern p = {
        .info = info,
        .words = (volatile uint64_t *)start,
        .pages = arg_number(info, "size", info->ram_bytes - start) / PAGE,
        .seed = arg_number(info, "seed", 1),
        .linger = arg_number(info, "linger_us", 100000) * clock_ticks_per_us(info),
        .after = (enum after)arg_choice(info, "after", "exit continue hold"),
    };
    const enum mode mode = (enum mode)arg_choice(info, "mode", "rewrite hold");
    if (p.pages == 0 || p.pages > (info->ram_bytes - start) / PAGE) {
        print_text("pattern: size= does not fit into RAM after the image\n");
        return ARGS_EXIT;
    }

    volatile struct probe *probe = PROBE;
    probe_start(info, "pattern");
    probe->first = start;
    probe->pages = p.pages;
    probe->seed = p.seed;
    for (uint64_t page = 0; page < p.pages; page++)
        write_page(&p, page, 1);
    probe->epoch = 1;
    mark(MARK_RESIDENT);
    return mode == HOLD ? run_hold(&p) : run_rewrite(&p);
}
