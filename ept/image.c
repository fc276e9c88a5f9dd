/* Opens table images: checks every field of a header that nobody vouches for, before anything is walked. For those who
 * read what PT_FN(image) wrote. */
#include <ept/image.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "headers are read and written as they lie in memory");
_Static_assert(offsetof(struct pt_image_header, format) == 16 && offsetof(struct pt_image_header, tables_pa) == 32 &&
                   sizeof(struct pt_image_header) == 56,
               "the header's layout is that of <ept/image.h>");

/* Eight characters as one number, to compare without a libc. */
static uint64_t word(const char text[8])
{
    uint64_t number;

    __builtin_memcpy(&number, text, sizeof(number)); /* <string.h> is not a freestanding header */
    return number;
}

static bool is_zero(const unsigned char *bytes, size_t count)
{
    while (count > 0 && bytes[count - 1] == 0)
        count--;
    return count == 0;
}

/* What is wrong with the fields that say what the tables are. */
static const char *check_kind(const struct pt_image_header *header, enum pt_image_format *format)
{
    unsigned caps = PT_CAP_2M | PT_CAP_1G;

    if (word(header->magic) != word(PT_IMAGE_MAGIC))
        return "magic: not a page-table image";
    if (header->version != PT_IMAGE_VERSION)
        return "version: not 1";
    *format = word(header->format) == word("ept\0\0\0\0") ? PT_IMAGE_EPT : PT_IMAGE_X86;
    if (*format == PT_IMAGE_X86 && word(header->format) != word("x86\0\0\0\0"))
        return "format: neither ept nor x86";
    if (header->levels != 4 && header->levels != 5)
        return "levels: neither 4 nor 5";
    if (header->maxphyaddr < 32 || header->maxphyaddr > 52)
        return "maxphyaddr: not from 32 to 52";
    if (*format == PT_IMAGE_EPT)
        caps |= PT_CAP_EXEC_ONLY;
    if (header->caps & ~caps)
        return "caps: a bit that has no meaning";
    return NULL;
}

/* And with those that say where they are. Each check makes the next one's arithmetic safe. */
static const char *check_place(const struct pt_image_header *header, uint64_t bytes)
{
    uint64_t limit = (uint64_t)1 << header->maxphyaddr;

    if (header->tables_pa % PT_PAGE_SIZE != 0)
        return "tables_pa: not a multiple of 4096";
    if (header->tables_pa >= limit)
        return "tables_pa: beyond maxphyaddr";
    if (header->tables == 0)
        return "tables: none";
    if (header->tables > (limit - header->tables_pa) / PT_PAGE_SIZE)
        return "tables: they reach beyond maxphyaddr";
    if (bytes / PT_PAGE_SIZE - 1 < header->tables)
        return "tables: more than the file has (is it cut off?)";
    if (bytes != (header->tables + 1) * PT_PAGE_SIZE)
        return "tables: fewer than the file has";
    if (header->root_pa % PT_PAGE_SIZE != 0)
        return "root_pa: not a multiple of 4096";
    if (header->root_pa < header->tables_pa || (header->root_pa - header->tables_pa) / PT_PAGE_SIZE >= header->tables)
        return "root_pa: not one of the tables";
    return NULL;
}

static void fill_in(const struct pt_image_header *header, enum pt_image_format format, const void *file,
                    struct pt_image *image)
{
    bool pages_1g = (header->caps & PT_CAP_1G) != 0;

    *image = (struct pt_image){.format = format, .levels = header->levels, .tables = header->tables};
    image->memory = (struct walk_memory){.pa = header->tables_pa,
                                         .length = header->tables * PT_PAGE_SIZE,
                                         .offset = (uintptr_t)file + PT_PAGE_SIZE - header->tables_pa};
    image->ept = (struct walk_ept_mode){.root = header->root_pa,
                                        .levels = header->levels,
                                        .maxphyaddr = header->maxphyaddr,
                                        .exec_only = (header->caps & PT_CAP_EXEC_ONLY) != 0,
                                        .pages_1g = pages_1g};
    image->x86 = (struct walk_x86_mode){.root = header->root_pa,
                                        .levels = header->levels,
                                        .maxphyaddr = header->maxphyaddr,
                                        .pages_1g = pages_1g,
                                        .wp = true,
                                        .nxe = true};
}

const char *pt_image_open(const void *file, uint64_t bytes, struct pt_image *image)
{
    struct pt_image_header header;
    enum pt_image_format format;
    const char *wrong;

    if (bytes < PT_PAGE_SIZE)
        return "header: the file is shorter than it";
    if ((uintptr_t)file % sizeof(uint64_t) != 0)
        return "file: not aligned to 8 bytes in memory";
    __builtin_memcpy(&header, file, sizeof(header));
    wrong = check_kind(&header, &format);
    if (!wrong)
        wrong = check_place(&header, bytes);
    if (!wrong && !is_zero((const unsigned char *)file + sizeof(header), PT_PAGE_SIZE - sizeof(header)))
        wrong = "header: not zero after its last field";
    if (!wrong)
        fill_in(&header, format, file, image);
    return wrong;
}
