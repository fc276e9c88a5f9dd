/* Bits of entries: see decode.h. Intel SDM, volume 3: "EPT translation mechanism", "4-level paging". */
#include "tools/ptdump/decode.h"

#include <inttypes.h>
#include <stdio.h>

#define BIT(n) ((uint64_t)1 << (n))

#define LARGE        BIT(7) /* in both formats */
#define ADDRESS_BITS (BIT(52) - BIT(12))

#define EPT_RWX        UINT64_C(7)
#define EPT_TYPE_SHIFT 3
#define EPT_IPAT       BIT(6)
#define EPT_A          BIT(8)
#define EPT_D          BIT(9)

#define X86_P      BIT(0)
#define X86_W      BIT(1)
#define X86_U      BIT(2)
#define X86_CACHES 3 /* PWT and PCD: bits 3 and 4 */
#define X86_A      BIT(5)
#define X86_D      BIT(6)
#define X86_G      BIT(8)
#define X86_NX     BIT(63)

bool entry_is_leaf(uint64_t entry, unsigned level)
{
    return level == 1 || (level <= PT_HUGE_LEVEL && (entry & LARGE));
}

bool entry_is_live(enum pt_image_format format, uint64_t entry)
{
    return (entry & (PT_IMAGE_LIVE | (format == PT_IMAGE_EPT ? EPT_RWX : X86_P))) != 0;
}

uint64_t entry_address(uint64_t entry, unsigned level)
{
    return entry & ADDRESS_BITS & ~(entry_is_leaf(entry, level) ? pt_slot_size(level) - 1 : 0);
}

static pt_prop ept_prop(uint64_t entry)
{
    return (pt_prop)((entry & EPT_RWX) | (entry >> EPT_TYPE_SHIFT & 7) * PT_WC) | ((entry & EPT_IPAT) ? PT_IPAT : 0) |
           ((entry & EPT_A) ? PT_A : 0) | ((entry & EPT_D) ? PT_D : 0);
}
_Static_assert(PT_R == 1 && PT_W == 2 && PT_X == 4 && PT_WC == PT_MT_MASK / 7, "rights and types as EPT has them");

static pt_prop x86_prop(uint64_t entry)
{
    /* By PCD and PWT: the PAT as it is after a reset, of which the PAT bit only repeats the lower half. */
    static const pt_prop types[4] = {PT_WB, PT_WT, PT_UCMINUS, PT_UC};

    return types[entry >> X86_CACHES & 3] | ((entry & X86_P) ? PT_R : 0) | ((entry & X86_W) ? PT_W : 0) |
           ((entry & X86_NX) ? 0 : PT_X) | ((entry & X86_U) ? PT_U : 0) | ((entry & X86_A) ? PT_A : 0) |
           ((entry & X86_D) ? PT_D : 0) | ((entry & X86_G) ? PT_G : 0);
}

pt_prop entry_prop(enum pt_image_format format, uint64_t entry)
{
    pt_prop prop = format == PT_IMAGE_EPT ? ept_prop(entry) : x86_prop(entry);

    prop |= (entry & PT_IMAGE_TRACKED) ? PT_TRACKED : 0;
    prop |= (entry & (format == PT_IMAGE_EPT ? PT_IMAGE_WRITABLE_EPT : PT_IMAGE_WRITABLE_X86)) ? PT_WRITABLE : 0;
    return prop | (pt_prop)(entry >> PT_IMAGE_SOFT_SHIFT & 7) * PT_SOFT0;
}

const char *memory_type_word(pt_prop prop)
{
    static const char *const words[8] = {"uc", "wc", "?", "?", "wt", "wp", "wb", "uc-"};

    return words[(prop & PT_MT_MASK) / PT_WC];
}

const char *letters_of(pt_prop prop, pt_prop first, const char *letters, char text[8])
{
    size_t n = 0;

    for (; letters[n]; n++) {
        text[n] = '-';
        if (prop & (first << n))
            text[n] = letters[n];
    }
    text[n] = '\0';
    return text;
}

void entry_words(enum pt_image_format format, uint64_t entry, unsigned level, char *text, size_t room)
{
    bool leaf = entry_is_leaf(entry, level);
    pt_prop prop = entry_prop(format, entry);
    char rights[8], soft[16] = "";

    if (!entry_is_live(format, entry)) {
        snprintf(text, room, "hole");
        return;
    }
    if (prop / PT_SOFT0 & 7)
        snprintf(soft, sizeof(soft), ", soft %u", (unsigned)(prop / PT_SOFT0 & 7));
    snprintf(text, room, "%s 0x%" PRIx64 ", %s%s%s%s%s%s%s%s%s%s", leaf ? "leaf" : "table", entry_address(entry, level),
             letters_of(prop, PT_R, "rwxu", rights), leaf ? ", " : "", leaf ? memory_type_word(prop) : "",
             (prop & PT_A) ? ", accessed" : "", leaf && (prop & PT_D) ? ", dirty" : "",
             leaf && (prop & PT_G) ? ", global" : "", leaf && (prop & PT_IPAT) ? ", ipat" : "",
             (prop & PT_TRACKED) ? ", tracked" : "", leaf && (prop & PT_WRITABLE) ? ", writable" : "", soft);
}
