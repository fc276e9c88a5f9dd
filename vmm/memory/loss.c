/* Memory that is gone: a snapshot's file under it has become shorter. See memory.h. */
#include "vmm/memory/memory.h"

#include <inttypes.h>
#include <stdio.h>

/* What a guest cannot reach: the search for a file that has become shorter. */
struct loss {
    struct layers *layers;
    const struct layer_file *file;
    uint64_t now; /* bytes */
};

static int find_loss(void *context, const struct view_run *run)
{
    struct loss *loss = context;
    if (!layers_file_truncated(loss->layers, run->hpa, &loss->now))
        return 0;
    loss->file = layers_find_file(loss->layers, run->hpa);
    return 1;
}

bool memory_lost_file(struct memory *memory, char *text, size_t room)
{
    struct loss loss = {.layers = memory->store->layers};
    if (!view_each_run(&memory->view, find_loss, &loss))
        return false;
    snprintf(text, room,
             "its memory is gone: the snapshot %s, which it runs from, was cut from %" PRIu64 " to %" PRIu64 " bytes",
             loss.file->path, loss.file->bytes, loss.now);
    return true;
}
