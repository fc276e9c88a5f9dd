/* A plot as a script for gnuplot that draws SVG to its standard output. Pure. */
#ifndef PTSTAT_PLOT_SCRIPT_H
#define PTSTAT_PLOT_SCRIPT_H

#include "tools/ptstat/plot.h"

void plot_script(const struct plot *plot, FILE *to);

#endif
