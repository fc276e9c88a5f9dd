/* Instants to return to: see instant.h. */
#include "vmm/machine/instant.h"

#include "vmm/base/bitmap.h"
#include "vmm/machine/machine.h"

#include <stdlib.h>
#include <string.h>

static uint64_t pages_of(const struct machine *machine)
{
    return machine->view.memory / PAGE_BYTES;
}

static size_t blocks_of(const struct machine *machine)
{
    return (machine->view.memory + BLOCK_BYTES - 1) / BLOCK_BYTES;
}

void instant_drop(struct machine *machine)
{
    struct instant *instant = &machine->instant;
    if (instant->has_view)
        view_free(&instant->view);
    free(instant->detached);
    machine_state_put(instant->state);
    *instant = (struct instant){0};
}

void instant_set_birth(struct machine *machine, enum reset_target kind, struct machine_state *state,
                       const struct identity *identity)
{
    machine->instant = (struct instant){
        .kind = kind,
        .state = machine_state_get(state),
        .fork_result = machine->fork_result,
        .has_identity = true,
        .identity = *identity,
    };
}

void instant_set_checkpoint(struct machine *machine, struct machine_state *state, uint32_t fork_result)
{
    instant_drop(machine);
    machine->instant = (struct instant){
        .state = machine_state_get(state),
        .fork_result = fork_result,
        .kind = RESET_TO_CHECKPOINT,
    };
    struct pages *pages = &machine->pages;
    for (size_t i = 0; i < bitmap_words(pages_of(machine)); i++) {
        pages->outdated[i] |= pages->published[i];
        pages->published[i] = 0;
    }
}

int instant_preserve(struct machine *machine, struct failure *failure)
{
    struct instant *instant = &machine->instant;
    if (machine_track(machine, failure) < 0)
        return -1;
    if (!instant->state || instant->has_view)
        return 0;
    machine_forget_dirty(machine); /* the next harvest finds those pages again */
    size_t blocks = blocks_of(machine);
    bool *detached = NULL;
    if (machine->retained.detached) {
        detached = malloc(blocks * sizeof *detached);
        if (!detached)
            return fail(failure, FAIL_NO_MEMORY, "out of memory for the view to return to");
        memcpy(detached, machine->retained.detached, blocks * sizeof *detached);
    }
    struct view *view = &instant->view;
    if (view_init(view, machine->view.views, machine->view.memory, failure) < 0) {
        free(detached);
        return -1;
    }
    if (view_share(view, &machine->view, failure) < 0) {
        view_free(view);
        free(detached);
        return -1;
    }
    instant->has_view = true;
    instant->retained = machine->retained.count;
    instant->detached = detached;
    return 0;
}

bool instant_return_view(struct machine *machine)
{
    struct instant *instant = &machine->instant;
    if (!instant->has_view) {
        machine_forget_dirty(machine);
        return false;
    }
    view_swap(&machine->view, &instant->view);
    view_free(&instant->view);
    instant->has_view = false;
    /* What was merged since, the view names as the window shows it. */
    machine_trim_retained(machine, instant->retained);
    if (machine->retained.detached)
        memset(machine->retained.detached, 0, blocks_of(machine) * sizeof(bool));
    if (instant->detached)
        memcpy(machine->retained.detached, instant->detached, blocks_of(machine) * sizeof(bool));
    free(instant->detached);
    instant->detached = NULL;
    return true;
}
