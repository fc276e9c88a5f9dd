/* The probe and this guest's identity: see identity.h. */
#include "guest/lib/identity.h"
#include "guest/lib/console.h"
#include "guest/lib/hash.h"

static uint64_t draw_nonce(boot_info *info)
{
    uint64_t nonce = read_tsc();
    for (unsigned i = 0; i < BOOT_INFO_ENTROPY; i++)
        nonce = hash_mix(nonce ^ info->entropy[i]);
    return nonce;
}

void probe_start(boot_info *info, const char *name)
{
    volatile struct probe *probe = PROBE;
    for (unsigned i = 0; i < sizeof probe->name && name[i]; i++)
        probe->name[i] = name[i];
    probe->nonce = draw_nonce(info);
    probe->guest_id = info->guest_id;
    probe->generation = info->generation;
    for (unsigned i = 0; i < sizeof probe->magic; i++)
        probe->magic[i] = PROBE_MAGIC[i];
}

bool identity_changed(boot_info *info)
{
    volatile struct probe *probe = PROBE;
    if (probe->generation == info->generation && probe->guest_id == info->guest_id)
        return false;
    probe->generation = info->generation;
    probe->guest_id = info->guest_id;
    return true;
}

void print_identity(boot_info *info)
{
    print_field("guest", info->guest_id);
    print_field("generation", info->generation);
}
