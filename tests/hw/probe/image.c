/* See image.h. */
#include "tests/hw/probe/image.h"

#include <ept/ept.h>
#include <ept/x86.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/hw/probe/oracle.h"
#include "tests/hw/probe/tree.h"

#define GUEST_MEMORY (1ull << JUDGE_MAXPHYADDR)
#define GUEST_TABLES 16u /* pages the guest sees its own tables in, when nested tables are under test */
#define USER_STUB    (PROBE_STUB_GPA - PT_PAGE_SIZE) /* linear: the same code, for CPL 3 */
#define X86_PRESENT  1u
#define X86_ACCESSED 0x20u
#define EPT_PRESENT  7u
#define LARGE        0x80u
#define ADDRESS_BITS 0x000ffffffffff000ull

/* What must work does not, before anything was tested. */
static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "cannot set up an image: %s\n", what);
    exit(2);
}

static void *pages(size_t count)
{
    void *memory =
        mmap(NULL, count * PT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    require(memory != MAP_FAILED, "no memory");
    return memory;
}

static void open_tree(struct image *image, enum probe_subject which, uint64_t pa, unsigned levels)
{
    struct table_space *space = &image->spaces[which];
    struct tree *tree = &image->trees[which];
    bool is_ept = which == PROBE_NESTED && image->judge->nested == PROBE_EPT;

    space->entries = pages(IMAGE_TABLES);
    space->meta = calloc(IMAGE_TABLES, sizeof(*space->meta));
    require(space->meta != NULL, "no memory");
    pt_arena_init(&space->arena, space->entries, pa, IMAGE_TABLES);
    pt_arena_configure(&space->arena, space->meta, &tree->config);
    tree->config.levels = levels;
    tree->config.maxphyaddr = JUDGE_MAXPHYADDR;
    tree->config.caps = PT_CAP_2M | PT_CAP_1G | PT_CAP_AD | (is_ept ? PT_CAP_EXEC_ONLY : 0);
    tree->space = space;
    tree->operations = is_ept ? &ept_tree_operations : &x86_tree_operations;
    require(tree->operations->open(tree) == PT_OK && tree->pt.root == pa, "the root is not the first table");
}

static pt_prop all_rights(const struct image *image)
{
    return PT_RWX | PT_WB | (image->judge->nested == PROBE_X86 ? PT_U : 0);
}

/* What the guest needs to run: nested tables under test map its tables and its code; a guest's own tables map its code
 * twice. */
static bool equip(const struct image *image, struct tree *tree)
{
    enum pt_status (*map)(struct tree *, uint64_t, uint64_t, uint64_t, pt_prop) = tree->operations->map;

    if (image->header.subject == PROBE_NESTED)
        return map(tree, PROBE_GUEST_GPA, PROBE_GUEST_PA, GUEST_TABLES * PT_PAGE_SIZE, all_rights(image)) == PT_OK &&
               map(tree, PROBE_STUB_GPA, PROBE_STUB_PA, PT_PAGE_SIZE, all_rights(image) & ~PT_W) == PT_OK;
    return map(tree, PROBE_STUB_GPA, PROBE_STUB_PA, PT_PAGE_SIZE, PT_RX | PT_WB) == PT_OK &&
           map(tree, USER_STUB, PROBE_STUB_PA, PT_PAGE_SIZE, PT_RX | PT_U | PT_WB) == PT_OK;
}

/* The tree that is not under test maps everything as it is. Where that is the guest's, its entries have A and D
 * already: what its walker writes there would otherwise depend on how far it came. */
static void equip_other(struct image *image)
{
    struct tree *nested = &image->trees[PROBE_NESTED], *guest = &image->trees[PROBE_GUEST];
    enum pt_status status;

    if (image->header.subject == PROBE_GUEST) {
        status = nested->operations->map(nested, 0, 0, GUEST_MEMORY, all_rights(image));
    } else {
        status = guest->operations->map(guest, 0, 0, GUEST_MEMORY, PT_RWX | PT_WB | PT_A | PT_D);
        for (unsigned i = 0; i < PT_ENTRIES; i++)
            guest->space->entries[i] |= guest->space->entries[i] & X86_PRESENT ? X86_ACCESSED : 0;
    }
    require(status == PT_OK, "the other tree is not mapped");
}

struct image *image_open(const struct judge *judge, const struct image_setting *setting)
{
    bool is_nested = setting->subject == PROBE_NESTED;
    struct image *image = calloc(1, sizeof(*image));
    struct probe_image *header;

    require(image != NULL, "no memory");
    image->judge = judge;
    header = &image->header;
    header->subject = (uint8_t)setting->subject;
    header->format = (uint8_t)(is_nested ? judge->nested : PROBE_X86);
    header->levels = (uint8_t)setting->levels;
    header->nested_ad = setting->nested_ad;
    open_tree(image, PROBE_NESTED, PROBE_NESTED_PA, judge->nested_levels);
    open_tree(image, PROBE_GUEST, is_nested ? PROBE_GUEST_GPA : PROBE_GUEST_PA, is_nested ? 4 : setting->levels);
    image->subject = &image->trees[setting->subject];
    header->nested_root = image->trees[PROBE_NESTED].pt.root;
    header->guest_root = image->trees[PROBE_GUEST].pt.root;
    header->stub[0] = PROBE_STUB_GPA;
    header->stub[1] = is_nested ? PROBE_STUB_GPA : USER_STUB;
    require(equip(image, image->subject), "the guest's equipment is not mapped");
    equip_other(image);
    header->loads[PROBE_NESTED].pa = PROBE_NESTED_PA;
    header->loads[PROBE_GUEST].pa = PROBE_GUEST_PA;
    return image;
}

/* The trees are not destroyed: their entries may have been changed by hand. All they own is in the arena. */
void image_close(struct image *image)
{
    for (unsigned i = 0; i < 2; i++) {
        munmap(image->spaces[i].entries, IMAGE_TABLES * PT_PAGE_SIZE);
        free(image->spaces[i].meta);
    }
    free(image->probes);
    free(image->results);
    free(image->frames);
    free(image);
}

bool image_fork(struct image *image)
{
    struct tree *child = &image->child, *parent = image->subject;

    child->operations = parent->operations;
    child->space = parent->space;
    child->config = parent->config;
    return child->operations->open(child) == PT_OK && equip(image, child) &&
           child->operations->fork(child, parent, PROBE_INFRA_END, parent->pt.size - PROBE_INFRA_END) == PT_OK;
}

void image_adopt(struct image *image)
{
    image->subject = &image->child;
    if (image->header.subject == PROBE_NESTED)
        image->header.nested_root = image->child.pt.root;
    else
        image->header.guest_root = image->child.pt.root;
}

/* As rom.c's find_path. */
unsigned image_path(const struct image *image, uint64_t address, uint64_t *path[5])
{
    const struct tree *tree = image->subject;
    uint64_t table = tree->pt.root, present = image->header.format == PROBE_EPT ? EPT_PRESENT : X86_PRESENT;
    unsigned count = 0;

    for (unsigned level = tree->config.levels; level > 0; level--) {
        uint64_t *entry;

        if (table < tree->space->arena.pa || (table - tree->space->arena.pa) / PT_PAGE_SIZE >= tree->space->arena.fresh)
            break;
        entry = (uint64_t *)(uintptr_t)(table + tree->config.entries_offset) +
                (address >> pt_slot_shift(level)) % PT_ENTRIES;
        path[count++] = entry;
        if (!(*entry & present) || (level <= PT_HUGE_LEVEL && (*entry & LARGE)))
            break;
        table = *entry & ADDRESS_BITS;
    }
    return count;
}

uint64_t *image_entry(const struct image *image, uint64_t address, unsigned level)
{
    uint64_t *path[5];
    unsigned count = image_path(image, address, path), index = image->header.levels - level;

    return index < count ? path[index] : NULL;
}

bool image_is_reserved(uint64_t address, uint64_t length)
{
    return address < PROBE_INFRA_END && address + length > PROBE_GUEST_GPA;
}

bool image_is_vital(const struct image *image, const uint64_t *entry)
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t *path[5];
        unsigned count = image_path(image, image->header.stub[i], path);

        while (count > 0)
            if (path[--count] == entry)
                return true;
    }
    return false;
}

bool image_is_ram(const struct image *image, uint64_t hpa)
{
    for (unsigned i = 0; i < 2; i++)
        if (hpa >= image->judge->ram[i][0] && hpa < image->judge->ram[i][1])
            return true;
    return false;
}

static uint64_t sign_extend(const struct image *image, uint64_t address)
{
    unsigned shift = 64 - pt_slot_shift(image->header.levels + 1u);

    if (image->header.subject == PROBE_NESTED || address >> pt_slot_shift(image->header.levels + 1u))
        return address;
    return (uint64_t)((int64_t)(address << shift) >> shift);
}

static uint64_t offset_of(unsigned access)
{
    static const uint64_t offsets[] = {
        [PROBE_READ] = PROBE_BLOCK + PROBE_MARKER, [PROBE_WRITE] = PROBE_BLOCK + PROBE_MAILBOX,
        [PROBE_FETCH] = PROBE_BLOCK + PROBE_CODE,  [PROBE_READ32] = PROBE_DEVICE_READ,
        [PROBE_WRITE32] = PROBE_DEVICE_WRITE,      [PROBE_WALK] = PROBE_BLOCK + PROBE_POINTER,
    };

    return offsets[access];
}

static void grow(struct image *image)
{
    if (image->nprobes < image->room)
        return;
    image->room = image->room ? 2 * image->room : 256;
    image->probes = realloc(image->probes, image->room * sizeof(*image->probes));
    image->frames = realloc(image->frames, image->room * sizeof(*image->frames));
    require(image->probes && image->frames, "no memory");
}

bool image_probe(struct image *image, uint64_t address, enum probe_access access, unsigned flags)
{
    struct probe probe = {
        .address = sign_extend(image, address) + offset_of(access), .access = (uint8_t)access, .flags = (uint8_t)flags};
    uint64_t hpa, page;

    if (image_is_reserved(address, PT_PAGE_SIZE))
        return false;
    grow(image);
    if (oracle_target(image, &probe, &hpa)) {
        page = hpa & ~(PT_PAGE_SIZE - 1);
        if (image_is_ram(image, hpa)) {
            image->frames[image->nframes++] = page;
        } else if (image->judge->has_devices && hpa >= 1ull << 32 && (access == PROBE_READ || access == PROBE_WRITE)) {
            probe.device = page;
            probe.access = access == PROBE_READ ? PROBE_READ32 : PROBE_WRITE32;
            probe.address += offset_of(probe.access) - offset_of(access);
        } else {
            return false;
        }
    }
    image->probes[image->nprobes++] = probe;
    return true;
}

static size_t load_size(const struct image *image, unsigned which)
{
    return (size_t)image->spaces[which].arena.fresh * PT_PAGE_SIZE;
}

size_t image_size(const struct image *image)
{
    return sizeof(image->header) + load_size(image, 0) + load_size(image, 1) + image->nframes * sizeof(*image->frames) +
           image->nprobes * sizeof(*image->probes);
}

static uint8_t *append(uint8_t *at, const void *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

void image_write(const struct image *image, uint8_t *rom)
{
    struct probe_image header = image->header;

    header.size = image_size(image);
    header.frames = (uint32_t)image->nframes;
    header.probes = (uint32_t)image->nprobes;
    for (unsigned i = 0; i < 2; i++)
        header.loads[i].pages = image->spaces[i].arena.fresh;
    rom = append(rom, &header, sizeof(header));
    rom = append(rom, image->spaces[PROBE_NESTED].entries, load_size(image, PROBE_NESTED));
    rom = append(rom, image->spaces[PROBE_GUEST].entries, load_size(image, PROBE_GUEST));
    rom = append(rom, image->frames, image->nframes * sizeof(*image->frames));
    append(rom, image->probes, image->nprobes * sizeof(*image->probes));
}

size_t image_offset(const struct image *image, const uint64_t *entry)
{
    size_t before = image->header.subject == PROBE_GUEST ? load_size(image, PROBE_NESTED) : 0;

    return sizeof(image->header) + before +
           (size_t)(entry - image->spaces[image->header.subject].entries) * sizeof(*entry);
}
