/* The probe loop: loads each image that the hosted side put in front, lets a guest do its accesses one by one, and
 * tells what the processor made of them. See format.h. */
#include "tests/hw/probe/format.h"
#include "tests/hw/rom/console.h"
#include "tests/hw/rom/exceptions.h"
#include "tests/hw/rom/guest.h"
#include "tests/hw/rom/machine.h"
#include "tests/hw/rom/memory.h"

#define X86_LEAF_1G       0xe3ull /* present, writable, A and D set, 1 GiB */
#define X86_TABLE         0x23ull
#define ADDRESS_BITS      0x000ffffffffff000ull
#define PAGE_BIT          0x80ull
#define APIC_ENABLE       0x800ull
#define TASK_PRIORITY_MAX 0xf0u
/* Not canonical: a fetch from a frame without code executes zeros, which write to where RAX points. */
#define POISON       (1ull << 62)
#define CODE_MOV_RAX 0xb848ull
#define CODE_CPUID   0xa20full

extern const uint8_t stub_start[], stub_end[];

void main(void);

struct path {
    uint64_t *entries[5];
    unsigned count;
};

static uint64_t present_bits(const struct probe_image *image)
{
    return image->format == PROBE_EPT ? 7 : 1;
}

static uint64_t accessed_dirty_bits(const struct probe_image *image)
{
    return image->format == PROBE_EPT ? 0x300 : 0x60;
}

/* The entries for an address, as far as there are any; a table outside what was loaded ends it. */
static void find_path(const struct probe_image *image, uint64_t address, struct path *path)
{
    const struct probe_load *load = &image->loads[image->subject];
    uint64_t table = image->subject == PROBE_NESTED ? image->nested_root : image->guest_root;

    path->count = 0;
    for (unsigned level = image->levels; level > 0; level--) {
        uint64_t *entry = (uint64_t *)(table + (address >> (12 + 9 * (level - 1)) & 511) * 8);

        if (table < load->pa || table - load->pa >= load->pages * 4096)
            return;
        path->entries[path->count++] = entry;
        if (!(*entry & present_bits(image)) || (level <= 3 && (*entry & PAGE_BIT)))
            return;
        table = *entry & ADDRESS_BITS;
    }
}

static void fill_frame(uint64_t pa)
{
    uint8_t *block = (uint8_t *)(pa + PROBE_BLOCK);

    *(uint64_t *)block = CODE_MOV_RAX << PROBE_CODE * 8;
    *(uint64_t *)(block + PROBE_MARKER) = pa;
    *(uint64_t *)(block + PROBE_MARKER + 8) = CODE_CPUID;
    *(uint64_t *)(block + PROBE_MAILBOX) = 0;
    *(uint64_t *)(block + PROBE_POINTER) = X86_LEAF_1G;
}

static void set_mode(struct guest *guest, unsigned levels, unsigned flags)
{
    guest->cpl = flags & PROBE_USER ? 3 : 0;
    guest->cr0 = CR0_PG | CR0_NE | CR0_PE | (flags & PROBE_WP ? CR0_WP : 0);
    guest->cr4 = CR4_PAE | (flags & PROBE_SMEP ? CR4_SMEP : 0) | (flags & PROBE_SMAP ? CR4_SMAP : 0) |
                 (levels == 5 ? CR4_LA57 : 0);
    guest->efer = EFER_LME | EFER_LMA | (flags & PROBE_NXE ? EFER_NXE : 0);
}

/* Everything before the guest runs. Returns what a write will write. */
static uint64_t prepare(const struct probe_image *image, const struct probe *probe, const struct path *path,
                        struct guest *guest)
{
    uint64_t token = 0x746f6b656e0000f0 ^ probe->address;

    if (probe->flags & PROBE_CLEAR) {
        for (unsigned i = 0; i < path->count; i++)
            *path->entries[i] &= ~accessed_dirty_bits(image);
        guest_flush(guest);
    }
    if (probe->device)
        wrmsr(MSR_APIC_BASE, probe->device | APIC_ENABLE);
    if (probe->access == PROBE_WRITE32)
        token = TASK_PRIORITY_MAX;
    set_mode(guest, image->subject == PROBE_GUEST ? image->levels : 4, probe->flags);
    guest->registers.rax = guest->registers.rcx = POISON;
    guest->registers.rbx = probe->address;
    guest->registers.rdx = token;
    guest->registers.rip = image->stub[guest->cpl ? 1 : 0] + probe->access * PROBE_STUB_SIZE;
    if (probe->access == PROBE_WALK) {
        ((uint64_t *)(uintptr_t)image->loads[PROBE_GUEST].pa)[PROBE_WALK_SLOT] =
            (probe->address & ADDRESS_BITS) | X86_TABLE;
        guest->registers.rbx = PROBE_WALK_ADDRESS;
    }
    return token;
}

static void judge(const struct probe *probe, const struct guest *guest, const struct guest_exit *exit, uint64_t token,
                  struct probe_result *result)
{
    static const uint8_t outcomes[] = {
        [GUEST_CPUID] = PROBE_OK,
        [GUEST_EXCEPTION] = PROBE_EXCEPTION,
        [GUEST_VIOLATION] = PROBE_VIOLATION,
        [GUEST_MISCONFIG] = PROBE_MISCONFIG,
        [GUEST_NESTED] = PROBE_NESTED_FAULT,
        [GUEST_PORT] = PROBE_STRANGE,
        [GUEST_HALT] = PROBE_STRANGE,
        [GUEST_OTHER] = PROBE_STRANGE,
    };

    result->outcome = outcomes[exit->reason];
    result->vector = (uint16_t)exit->vector;
    result->error_code = exit->error_code;
    result->address = exit->reason == GUEST_EXCEPTION ? exit->linear : exit->gpa;
    if (result->outcome == PROBE_VIOLATION || result->outcome == PROBE_NESTED_FAULT)
        result->code = exit->code;
    if (result->outcome == PROBE_STRANGE)
        result->code = exit->raw;
    if (result->outcome == PROBE_OK) {
        bool writes = probe->access == PROBE_WRITE || probe->access == PROBE_WRITE32;
        bool is_device = probe->access == PROBE_READ32 || probe->access == PROBE_WRITE32;

        result->code = guest->registers.rax & (is_device ? PROBE_DEVICE_MASK : ~0ull);
        if (writes && guest->registers.rcx != token)
            result->outcome = PROBE_LOST;
    }
}

static void run_probe(const struct probe_image *image, const struct probe *probe, struct guest *guest)
{
    struct {
        struct probe_result result;
        uint64_t entries[5];
    } answer = {0};
    struct guest_exit exit;
    struct path path;
    uint64_t token;

    find_path(image, probe->address, &path);
    token = prepare(image, probe, &path, guest);
    guest_run(guest, &exit);
    judge(probe, guest, &exit, token, &answer.result);
    answer.result.entries = (uint8_t)path.count;
    for (unsigned i = 0; i < path.count; i++)
        answer.entries[i] = *path.entries[i];
    console_bytes(&answer, sizeof(answer.result) + path.count * sizeof(uint64_t));
}

static void tell_sums(const struct probe_load *load)
{
    for (uint64_t page = 0; page < load->pages; page++) {
        uint64_t sum = probe_sum((const uint64_t *)(load->pa + page * 4096));

        console_bytes(&sum, sizeof(sum));
    }
}

static void run_image(const struct probe_image *image)
{
    const uint8_t *at = (const uint8_t *)(image + 1);
    const uint64_t *frames;
    const struct probe *probes;
    struct guest guest;

    for (unsigned i = 0; i < 2; i++) {
        memcpy((void *)image->loads[i].pa, at, image->loads[i].pages * 4096);
        at += image->loads[i].pages * 4096;
    }
    frames = (const uint64_t *)at;
    for (uint32_t i = 0; i < image->frames; i++)
        fill_frame(frames[i]);
    guest_init(&guest);
    guest.nested_root = image->nested_root;
    guest.nested_ad = image->nested_ad;
    guest.cr3 = image->guest_root;
    guest_flush(&guest);
    console_bytes(&(uint8_t){PROBE_IMAGE_MARK}, 1);
    probes = (const struct probe *)(frames + image->frames);
    for (uint32_t i = 0; i < image->probes; i++)
        run_probe(image, &probes[i], &guest);
    for (unsigned i = 0; i < 2; i++)
        tell_sums(&image->loads[i]);
}

void main(void)
{
    const struct probe_payload *payload = (const struct probe_payload *)ROM_START;
    const uint8_t *at = (const uint8_t *)(payload + 1);

    exceptions_open();
    if (guest_open() == GUEST_NONE)
        machine_fail("the processor has neither VMX with EPT nor SVM with nested paging");
    if (payload->magic != PROBE_MAGIC)
        machine_fail("no probes in the ROM");
    memcpy((void *)PROBE_STUB_PA, stub_start, (uint64_t)(stub_end - stub_start));
    *(uint64_t *)(PROBE_STUB_PA + PROBE_STUB_MARKER_OFFSET) = PROBE_STUB_MARKER;
    console_text(PROBE_START);
    for (uint64_t i = 0; i < payload->images; i++) {
        const struct probe_image *image = (const struct probe_image *)at;

        run_image(image);
        at += image->size;
    }
    machine_end();
}
