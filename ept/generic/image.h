/* Writes a whole tree as one file: see <ept/image.h>. Tables go out level by level from the top, and within a level in
 * the order of their addresses. The tables of a level are then numbered in the very order in which the level above
 * points at them: one counter says where the next child will be, and nothing is allocated. */
#include <ept/image.h>

#define IMAGE_CHUNK 64u /* entries written at once, for the sake of small stacks */

#define IMAGE_NAME_(format) #format
#define IMAGE_NAME(format)  IMAGE_NAME_(format)

struct image {
    struct pt *pt;
    pt_write_fn write;
    void *ctx;
    uint64_t tables; /* number of them */
    uint64_t next;   /* pa for the next table that an entry points at */
    unsigned caps;   /* what the tables need */
};

/* The first pass: how many tables there are, and what they need of a processor. */
static void image_count(struct image *image, uint64_t table, unsigned level)
{
    pt_entry *entries = pt_entries(image->pt, table);

    image->tables++;
    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        uint64_t entry = pt_load(&entries[i]);

        if (!fmt_is_live(entry))
            continue;
        if (!fmt_is_leaf(entry, level)) {
            image_count(image, fmt_child(entry), level - 1);
            continue;
        }
        image->caps |= level == 3 ? PT_CAP_1G : level == 2 ? PT_CAP_2M : 0;
        image->caps |= fmt_rights_allowed(entry, 0) ? 0 : PT_CAP_EXEC_ONLY;
    }
}

static void image_header(const struct image *image, uint64_t pa)
{
    static const char zeros[IMAGE_CHUNK];
    struct pt_image_header header = {.magic = PT_IMAGE_MAGIC,
                                     .version = PT_IMAGE_VERSION,
                                     .levels = image->pt->config.levels,
                                     .format = IMAGE_NAME(PT_FORMAT),
                                     .maxphyaddr = image->pt->config.maxphyaddr,
                                     .caps = image->caps,
                                     .tables_pa = pa,
                                     .root_pa = pa,
                                     .tables = image->tables};
    size_t left = PT_PAGE_SIZE - sizeof(header);

    image->write(image->ctx, (const char *)&header, sizeof(header));
    for (size_t length; left > 0; left -= length) {
        length = left < sizeof(zeros) ? left : sizeof(zeros);
        image->write(image->ctx, zeros, length);
    }
}

static void image_table(struct image *image, uint64_t table, unsigned level)
{
    pt_entry *entries = pt_entries(image->pt, table);
    uint64_t chunk[IMAGE_CHUNK];

    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        uint64_t entry = pt_load(&entries[i]);

        if (fmt_is_live(entry) && !fmt_is_leaf(entry, level)) {
            entry = (entry - fmt_child(entry)) | image->next;
            image->next += PT_PAGE_SIZE;
        }
        chunk[i % IMAGE_CHUNK] = fmt_plain(entry);
        if (i % IMAGE_CHUNK == IMAGE_CHUNK - 1)
            image->write(image->ctx, (const char *)chunk, sizeof(chunk));
    }
}

/* The second pass, once for each level: writes the tables of level `wanted` that are this one or below it. */
static void image_level(struct image *image, uint64_t table, unsigned level, unsigned wanted)
{
    pt_entry *entries = pt_entries(image->pt, table);

    if (level == wanted) {
        image_table(image, table, level);
        return;
    }
    for (unsigned i = 0; i < PT_ENTRIES; i++) {
        uint64_t entry = pt_load(&entries[i]);

        if (fmt_is_live(entry) && !fmt_is_leaf(entry, level))
            image_level(image, fmt_child(entry), level - 1, wanted);
    }
}

/* Of a tree in which nobody else is. */
static enum pt_status image_write(struct image *image, uint64_t pa)
{
    const struct pt *pt = image->pt;
    uint64_t limit = (uint64_t)1 << pt->config.maxphyaddr;

    image_count(image, pt->root, pt->config.levels);
    if (pa >= limit || image->tables > (limit - pa) / PT_PAGE_SIZE)
        return PT_ERANGE;
    image_header(image, pa);
    image->next = pa + PT_PAGE_SIZE;
    for (unsigned level = pt->config.levels; level > 0; level--)
        image_level(image, pt->root, pt->config.levels, level);
    return PT_OK;
}

enum pt_status PT_FN(image)(struct pt *pt, uint64_t pa, pt_write_fn write, void *ctx)
{
    struct image image = {.pt = pt, .write = write, .ctx = ctx};
    struct pt_gather gather;
    struct pt_cursor cursor;
    struct operation op;
    enum pt_status status;

    if (!pt_aligned(pa, 1))
        return PT_EINVAL;
    PT_FN(gather_init)(&gather, pt);
    status = PT_FN(cursor_init)(&cursor, pt, 0, pt->size, PT_READ, &gather);
    if (status != PT_OK)
        return status;
    status = settle(&op, &cursor, 0, pt->size);
    if (status == PT_OK) {
        status = image_write(&image, pa);
        finish(&op);
    }
    PT_FN(cursor_end)(&cursor);
    PT_FN(gather_sync)(&gather);
    return status;
}
