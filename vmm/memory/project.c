/* Project: the view into a window, run by run. See memory.h. */
#include "vmm/memory/memory.h"

#include "vmm/base/failure.h"

#include <errno.h>

struct projection {
    struct memory *memory;
    uint64_t window;
    struct cleave_failure *failure;
};

static int project_run(void *context, const struct view_run *run)
{
    struct projection *p = context;
    struct layers *layers = p->memory->store->layers;
    for (uint64_t done = 0; done < run->bytes;) {
        int fd;
        uint64_t offset, bytes;
        if (!layers_find(layers, run->hpa + done, &fd, &offset, &bytes))
            return fail(p->failure, CLEAVE_INTERNAL, "the view names HPA %#llx, which no layer backs",
                        (unsigned long long)(run->hpa + done));
        if (bytes > run->bytes - done)
            bytes = run->bytes - done;
        if (window_map(p->window + run->gpa + done, bytes, fd, offset, false) < 0)
            return fail_errno(p->failure, errno, "cannot map guest memory%s",
                              errno == ENOMEM ? " (see the sysctl vm.max_map_count, and ulimit -v)" : "");
        done += bytes;
    }
    if (layers_find_file(layers, run->hpa))
        p->memory->window_fragile = true;
    return 0;
}

int memory_project(struct memory *memory, uint64_t window, struct cleave_failure *failure)
{
    struct projection p = {memory, window, failure};
    return view_each_run(&memory->view, project_run, &p);
}
