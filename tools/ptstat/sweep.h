/* What --plot adds to a run: the same mode at a series of dirty sizes and a series of resident sizes, drawn. */
#ifndef PTSTAT_SWEEP_H
#define PTSTAT_SWEEP_H

struct arguments;
struct report;

/* `report` is of the sizes of the command line, which are among those drawn. plot_open has been called. */
void sweep_draw(const struct arguments *arguments, struct report *report);

#endif
