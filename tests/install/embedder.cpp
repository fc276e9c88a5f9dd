// A program in C++ of somebody who has the library installed: a page that two trees share until one of them writes, in
// tables of an arena, with counted frames, and with no hook of its own but the flush. check_install compiles and runs it.
#include <ept/arena.h>
#include <ept/ept.h>
#include <ept/frames.h>
#include <ept/image.h>
#include <ept/walk.h>
#include <ept/x86.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr unsigned tables = 16;
constexpr std::uint64_t frames = 1024, first = std::uint64_t{1} << 30;

alignas(4096) char region[tables * 4096];
pt_table meta[tables];
std::uint32_t counts[PT_FRAMES_BYTES(frames) / 4];

struct machine {
    unsigned flushes = 0, why = 0;
    std::uint64_t free = first + 4096;
};

void must(bool holds, const char *what)
{
    if (!holds) {
        std::fprintf(stderr, "this does not hold: %s\n", what);
        std::exit(1);
    }
}

void flush(void *ctx, const pt *, unsigned why, const pt_range *, std::size_t)
{
    auto *m = static_cast<machine *>(ctx);

    m->flushes++;
    m->why |= why;
}

bool copy_page(void *ctx, std::uint64_t, unsigned, std::uint64_t *copy)
{
    *copy = static_cast<machine *>(ctx)->free;
    return true;
}

// Opened for a scope, and synced at its end.
struct session {
    pt_gather gather;
    pt_cursor cursor;

    explicit session(pt &tree)
    {
        ept_gather_init(&gather, &tree);
        must(ept_cursor_init(&cursor, &tree, 0, PT_TO_END, PT_WRITE, &gather) == PT_OK, "a claim");
    }
    session(const session &) = delete;
    ~session()
    {
        ept_gather_sync(&gather);
        ept_cursor_end(&cursor);
    }
};

} // namespace

int main()
{
    machine m;
    pt_arena arena;
    pt_frames counted;
    pt_config config = pt_config();
    pt parent, child;

    must(PT_VERSION_NUMBER > 0, PT_VERSION);
    pt_arena_init(&arena, region, 0x100000, tables);
    must(pt_frames_init(&counted, counts, first, frames, nullptr, nullptr), "counts of frames");
    pt_arena_supply(&arena, meta, &config);
    pt_frames_supply(&counted, &config);
    config.ctx = &m;
    config.flush = flush;
    config.levels = 4;
    config.maxphyaddr = 40;
    config.caps = PT_CAP_2M | PT_CAP_AD;
    must(ept_init(&parent, &config) == PT_OK && ept_init(&child, &config) == PT_OK, "two trees");
    {
        session a(parent), b(child);
        pt_resolution found;
        pt_item item;

        must(ept_cursor_map(&a.cursor, first, 1, PT_RW | PT_WB | PT_TRACKED | PT_WRITABLE) == PT_OK, "a page");
        must(ept_cursor_jump(&a.cursor, 0) == PT_OK, "back to it");
        must(ept_cursor_share_from(&b.cursor, &a.cursor, PT_TO_END) == PT_OK, "a share");
        ept_gather_sync(&a.gather);
        must(m.flushes == 1 && m.why == PT_FLUSH_RIGHTS, "a flush because of W");
        must(ept_cursor_jump(&b.cursor, 0) == PT_OK, "the page");
        must(ept_cursor_resolve(&b.cursor, 1, copy_page, &m, &found, &item) == PT_OK, "a resolution");
        must(found == PT_RESOLVED_COPY && item.hpa == m.free, "a copy");
    }
    must(pt_frames_references(&counted, first) == 1 && pt_frames_references(&counted, m.free) == 1, "a page each");
    ept_destroy(&child);
    ept_destroy(&parent);
    must(pt_frames_references(&counted, first) == 0 && pt_arena_used(&arena) == 0, "nothing is left");
    std::puts(pt_status_name(PT_OK));
}
