/* The legend's line for a curve: its name, what it means, and how it stands to its baseline over the whole plot. Pure.
 */
#ifndef PTSTAT_PLOT_LEGEND_H
#define PTSTAT_PLOT_LEGEND_H

#include "tools/ptstat/plot.h"

#define LEGEND_TEXT 256

/* Returns the text. */
const char *legend_text(const struct plot *plot, const struct curve *curve, char text[LEGEND_TEXT]);

#endif
