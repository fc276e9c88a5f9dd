/* Prints the mappings of a tree. A line (or a JSON object) is a run of leaves contiguous in address and HPA, of one
 * size and one set of properties. Text, for instance: 0x000000000000-0x00000009ffff -> 0x000140000000  4K  rwx-  wb ad-
 * tracked */

struct dump {
    struct pt_text text;
    enum pt_dump_style style;
    struct pt_item first; /* the run being put together */
    uint64_t count;       /* leaves in it */
    bool began;           /* something was printed */
};

static const char *memory_type_name(pt_prop prop)
{
    static const char *const names[8] = {"uc", "wc", "?", "?", "wt", "wp", "wb", "uc-"};

    return names[(prop & PT_MT_MASK) >> 12];
}

static const char *size_name(unsigned level)
{
    static const char *const names[PT_HUGE_LEVEL + 1] = {"?", "4K", "2M", "1G"};

    return names[level];
}

static void dump_flags(const struct pt_text *text, pt_prop prop, const char *letters, pt_prop first)
{
    char flags[8];
    size_t n = 0;

    for (; letters[n]; n++)
        flags[n] = (prop & (first << n)) ? letters[n] : '-';
    text->write(text->ctx, flags, n);
}

static void dump_text(const struct dump *dump, uint64_t last)
{
    const struct pt_text *text = &dump->text;
    pt_prop prop = dump->first.prop;

    pt_text_word(text, "0x");
    pt_text_number(text, dump->first.start, 16, 12);
    pt_text_word(text, "-0x");
    pt_text_number(text, last, 16, 12);
    pt_text_word(text, " -> 0x");
    pt_text_number(text, dump->first.hpa, 16, 12);
    pt_text_word(text, "  ");
    pt_text_word(text, size_name(dump->first.level));
    pt_text_word(text, "  ");
    dump_flags(text, prop, "rwxu", PT_R);
    pt_text_word(text, "  ");
    pt_text_word(text, memory_type_name(prop));
    pt_text_word(text, "  ");
    dump_flags(text, prop, "adgi", PT_A);
    pt_text_word(text, "  ");
    dump_flags(text, prop, "012", PT_SOFT0);
    pt_text_word(text, (prop & PT_TRACKED) ? "  tracked" : "");
    pt_text_word(text, (prop & PT_WRITABLE) ? "  writable\n" : "\n");
}

static void dump_json(const struct dump *dump, uint64_t last)
{
    const struct pt_text *text = &dump->text;
    pt_prop prop = dump->first.prop;

    pt_text_word(text, dump->began ? ",\n {\"start\": \"0x" : "\n {\"start\": \"0x");
    pt_text_number(text, dump->first.start, 16, 1);
    pt_text_word(text, "\", \"last\": \"0x");
    pt_text_number(text, last, 16, 1);
    pt_text_word(text, "\", \"hpa\": \"0x");
    pt_text_number(text, dump->first.hpa, 16, 1);
    pt_text_word(text, "\", \"page\": \"");
    pt_text_word(text, size_name(dump->first.level));
    pt_text_word(text, "\", \"count\": ");
    pt_text_number(text, dump->count, 10, 1);
    pt_text_word(text, ", \"rights\": \"");
    dump_flags(text, prop, "rwxu", PT_R);
    pt_text_word(text, "\", \"memory\": \"");
    pt_text_word(text, memory_type_name(prop));
    pt_text_word(text, (prop & PT_A) ? "\", \"accessed\": true" : "\", \"accessed\": false");
    pt_text_word(text, (prop & PT_D) ? ", \"dirty\": true" : ", \"dirty\": false");
    pt_text_word(text, (prop & PT_G) ? ", \"global\": true" : ", \"global\": false");
    pt_text_word(text, (prop & PT_IPAT) ? ", \"ipat\": true" : ", \"ipat\": false");
    pt_text_word(text, (prop & PT_TRACKED) ? ", \"tracked\": true, \"soft\": " : ", \"tracked\": false, \"soft\": ");
    pt_text_number(text, (prop / PT_SOFT0) & 7, 10, 1);
    pt_text_word(text, (prop & PT_WRITABLE) ? ", \"writable\": true}" : ", \"writable\": false}");
}

static void dump_run(struct dump *dump)
{
    uint64_t last = dump->first.start + dump->count * dump->first.length - 1;

    if (dump->count == 0)
        return;
    if (dump->style == PT_DUMP_JSON)
        dump_json(dump, last);
    else
        dump_text(dump, last);
    dump->began = true;
    dump->count = 0;
}

/* Adds a leaf to the run, or prints the run and begins another. */
static void dump_leaf(struct dump *dump, const struct pt_item *leaf)
{
    uint64_t length = dump->count * leaf->length;

    if (dump->count > 0 && dump->first.level == leaf->level && dump->first.prop == leaf->prop &&
        dump->first.start + length == leaf->start && dump->first.hpa + length == leaf->hpa) {
        dump->count++;
        return;
    }
    dump_run(dump);
    dump->first = *leaf;
    dump->count = 1;
}

void PT_FN(dump)(struct pt *pt, enum pt_dump_style style, pt_write_fn write, void *ctx)
{
    struct dump dump = {.text = {.write = write, .ctx = ctx}, .style = style};
    struct pt_gather gather;
    struct pt_cursor cursor;
    struct pt_item leaf;

    PT_FN(gather_init)(&gather, pt);
    if (style == PT_DUMP_JSON)
        pt_text_word(&dump.text, "[");
    if (PT_FN(cursor_init)(&cursor, pt, 0, pt->size, PT_READ, &gather) == PT_OK) {
        while (cursor.at < cursor.end && PT_FN(cursor_find_next)(&cursor, cursor.end - cursor.at, &leaf) == PT_OK) {
            dump_leaf(&dump, &leaf);
            cursor.at = leaf.start + leaf.length;
        }
        PT_FN(cursor_end)(&cursor);
    }
    dump_run(&dump);
    if (style == PT_DUMP_JSON)
        pt_text_word(&dump.text, dump.began ? "\n]\n" : "]\n");
    PT_FN(gather_sync)(&gather);
}
