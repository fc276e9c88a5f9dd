/* Launching a guest from its file: its memory, what the file says, its first registers. */
#include "vmm/family/internal.h"

#include "vmm/boot/boot.h"

/* All but running it. What fails here is taken down by the caller. */
static int load(struct cleave_family *family, struct machine *machine, const struct cleave_launch *launch,
                struct cleave_failure *failure)
{
    struct memory *memory = &machine->memory;
    if (memory_make_own(memory, failure) < 0)
        return -1;
    const struct boot_ram ram = {(uint8_t *)(uintptr_t)memory->window, memory->bytes, family->regions,
                                 family->config.region_count};
    const struct boot_config config = {launch->path, launch->args ? launch->args : "", family->config.cpus,
                                       launch->cpl};
    struct boot_entry entry;
    struct identity identity;
    if (boot_load(&ram, &config, &entry, failure) < 0 || machine_draw_identity(machine, &identity, failure) < 0)
        return -1;
    return machine_write_identity(machine, &identity, failure) < 0 ? -1 : machine_enter(machine, &entry, failure);
}

/* A machine that has been loaded, or NULL with *failure. */
static struct machine *make(struct cleave_family *family, const struct cleave_launch *launch,
                            struct cleave_failure *failure)
{
    struct machine *machine = machine_new(family->next_id, &family->store, family->terminal, &family->mailbox, failure);
    if (!machine)
        return NULL;
    struct vm *vm = vm_new(&family->vms, false, failure);
    if (vm) {
        machine_take_vm(machine, vm);
        if (load(family, machine, launch, failure) == 0)
            return machine;
        vm_free(machine_end(machine));
    }
    machine_free(machine);
    return NULL;
}

int cleave_guest_launch(struct cleave_family *family, const struct cleave_launch *launch, uint64_t *guest,
                        struct cleave_failure *failure)
{
    if (family_check_limit(family, 1, failure) < 0 || family_reserve(family, 1, failure) < 0)
        return -1;
    struct machine *machine = make(family, launch, failure);
    if (!machine)
        return -1;
    family_pass_lines(family);
    family_add(family, machine);
    *guest = family->next_id++;
    machine->state = CLEAVE_PAUSED;
    if (family->config.ready_vms) {
        pool_prepare(family->pool, 0);
        store_settle(&family->store);
    }
    if (!launch->paused)
        family_start(family, machine);
    return 0;
}
