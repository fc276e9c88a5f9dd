/* See meanings.h. */
#include "tools/ptstat/meanings.h"

#include <string.h>

/* The first that fits; a mode of NULL: all of them. */
static const struct {
    const char *mode, *figure, *text;
} meanings[] = {
    {"snapshot", "pause", "the guest stands still for a snapshot to a file"},
    {"snapshot", "fork_pause", "the same for a fork"},
    {"snapshot", "checkpoint", "the same for a checkpoint, in memory"},
    {"snapshot", "write", "until the whole file is safe on disk; the guest runs meanwhile"},
    {"fault", "cow_fault", "a child's first write to a page that it shares: the host copies the page"},
    {"fault", "bare_cow_fault", "the same write in a bare KVM virtual machine, without our code"},
    {"reset", "reset", "dirty log, memory, vCPU and devices of a paused guest are back"},
    {"reset", "reset_and_run", "a running guest is back, and has written its dirty set once more"},
    {"reset", "bare_reset", "the least that the kernel needs for that, without our code"},
    {"tables", "share_from", "all tables are shared with another tree, as by a fork"},
    {"tables", "copy_from", "all leaves are copied to another tree"},
    {"tables", "unshare_one", "the first page below shared tables is changed"},
    {"tables", "map", "everything is mapped"},
    {"tables", "protect", "the right to write is taken from everything"},
    {"tables", "unmap", "everything is unmapped"},
    {"tables", "query", "every leaf is looked up"},
    {"tables", "harvest", "the dirty bits of the dirty set are found and cleared"},
    {NULL, "first_pause", "the parent stands still, at its first fork ever"},
    {NULL, "pause", "the parent stands still, at every later fork"},
    {NULL, "first_instruction", "from the command to the new guest's first instruction"},
    {NULL, "first_output", "... to its first useful output"},
    {NULL, "debt_paid", "... until it has written its whole dirty set: all the copies that were put off are made"},
    {NULL, "eager_first_instruction", "the same with the file read and checked first"},
    {NULL, "eager_first_output", "... to its first output then"},
    {NULL, "fork_first_instruction", "the same for a fork of the guest that was saved"},
    {NULL, "fork_first_output", "... to its first output"},
    {NULL, "fork_debt_paid", "... until that child has written its whole dirty set"},
    {NULL, "fork2", "fork(2) of a process with as much memory: the call alone, its copies still to come"},
    {NULL, "full_copy", "a copy of all of that memory"},
    {NULL, "cp", "cp and fsync of the same file"},
    {NULL, "bytes_per_child", "memory that the VMM takes for one more child"},
    {NULL, "kernel_bytes_per_child", "memory that the kernel takes beside"},
    {NULL, "fork2_bytes_per_child", "memory of one more process"},
    {NULL, "fork2_kernel_bytes", "memory that the kernel takes beside"},
    {NULL, "fork_at_N", "from the command to the child's first instruction, beside so many others"},
    {NULL, "fork2_at_N", "the call fork(2), beside so many processes"},
};

static const struct {
    const char *mode;
    const char *lines[PLOT_FOLLOWS];
} conclusions[] = {
    {"fork",
     {"What follows: the parent stands still for pause alone, and the child runs from first_instruction on. Copies are "
      "put off: "
      "the child pays for each page as it writes it,",
      "until debt_paid. A fork pays off as long as debt_paid lies below full_copy, which copies all at once; what a "
      "child never "
      "writes it never pays for."}},
    {"restore",
     {"What follows: nothing is read before it is touched, so the way to first_instruction does not depend on the "
      "file's size. "
      "The guest pays for each page as it",
      "touches it, until debt_paid; with eager all is paid before it begins."}},
    {"snapshot",
     {"What follows: the guest stands still for the pause alone, which follows what it has written; the file is "
      "written while it "
      "runs."}},
    {"reset",
     {"What follows: a reset costs what has been written since: its distance from bare_reset is what the VMM adds to "
      "the kernel's "
      "part."}},
    {"fault",
     {"What follows: each page that a child writes costs it one such fault, once; the distance from bare_cow_fault is "
      "what the VMM "
      "adds."}},
    {"density",
     {"What follows: a child takes what it writes, and a little for its virtual machine; each one makes the next fork "
      "a little "
      "dearer."}},
    {"tables",
     {"What follows: sharing tables does not depend on how much they map; copying, mapping and looking up does."}},
};

const char *meaning_of(const char *mode, const char *figure)
{
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (!strcmp(meanings[i].figure, figure) && (!meanings[i].mode || !strcmp(meanings[i].mode, mode)))
            return meanings[i].text;
    return NULL;
}

void meanings_set(struct plot *plot, const char *mode)
{
    for (size_t p = 0; p < plot->count; p++)
        for (size_t c = 0; c < plot->panels[p].count; c++)
            plot->panels[p].curves[c].meaning = meaning_of(mode, plot->panels[p].curves[c].name);
    for (size_t i = 0; i < sizeof(conclusions) / sizeof(conclusions[0]); i++)
        if (!strcmp(conclusions[i].mode, mode))
            memcpy(plot->follows, conclusions[i].lines, sizeof(plot->follows));
}
