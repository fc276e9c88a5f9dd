/*
 * Flat binaries: the file's bytes at GUEST_LOAD_ADDRESS, entered at the first. Serves load.c.
 */
#include "vmm/boot/layout.h"

int boot_load_flat(const struct boot_ram *ram, const struct boot_file *file, uint64_t *entry,
                   struct cleave_failure *failure)
{
    const uint64_t room = ram->size - GUEST_LOAD_ADDRESS;
    if (file->size > room)
        return fail(failure, CLEAVE_INVALID_ARGUMENT,
                    "%s: %llu bytes do not fit into RAM, which has %llu from the load address %#x; give more --memory",
                    file->path, (unsigned long long)file->size, (unsigned long long)room, GUEST_LOAD_ADDRESS);
    if (boot_file_read(file, 0, ram->base + GUEST_LOAD_ADDRESS, file->size, failure) < 0)
        return -1;
    *entry = GUEST_LOAD_ADDRESS;
    return 0;
}
