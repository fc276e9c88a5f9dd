/* An open snapshot file, as the files that read it see it. */
#ifndef VMM_SNAPSHOT_SNAPSHOT_H
#define VMM_SNAPSHOT_SNAPSHOT_H

#include "vmm/snapshot/layout.h"
#include "vmm/snapshot/report.h"

struct snapshot {
    char *path;
    int fd;
    uint64_t bytes;
    struct layout_header header;
    void *sections[LAYOUT_SECTIONS_MAX]; /* the content of those whose type is known; what follows points into it */
    struct snapshot_state state;
    struct snapshot_name name, parent;
    char *parent_path; /* NULL: full */
    const struct snapshot_run *runs;
    size_t run_count;
};

bool section_known(uint32_t type);

/* "section 3 (runs)". */
#define SECTION_TEXT 32
const char *section_text(const struct layout_header *header, unsigned section, char text[SECTION_TEXT]);

#endif
