/*
 * struct boot_info as a guest finds it at its start. The identity fields stay zero here: the VMM refreshes them for the
 * root and for every fork alike. Serves load.c.
 */
#include "vmm/boot/layout.h"

#include <string.h>

#define ARGS_MAX (INFO_BYTES - sizeof(struct boot_info) - 1)

int boot_make_info(const struct boot_ram *ram, const struct boot_config *config, struct cleave_failure *failure)
{
    const char *args = config->args ? config->args : "";
    const size_t length = strlen(args);
    if (length > ARGS_MAX)
        return fail(failure, CLEAVE_INVALID_ARGUMENT,
                    "the guest's arguments are %zu bytes long; boot_info has room for %zu: shorten them", length,
                    (size_t)ARGS_MAX);

    uint8_t *to = ram->base + INFO_BASE;
    struct boot_info info = {
        .version = BOOT_INFO_VERSION,
        .cpus = config->cpus,
        .ram_bytes = ram->size,
        .args_length = (uint32_t)length,
    };
    memcpy(info.magic, BOOT_INFO_MAGIC, sizeof info.magic);
    memset(to, 0, INFO_BYTES);
    memcpy(to, &info, sizeof info);
    memcpy(to + sizeof info, args, length + 1);
    return 0;
}
