/* What figures and baselines mean, in a phrase, and what follows from them: for those who look at a plot only.
 * ptstat(1) says more. */
#ifndef PTSTAT_MEANINGS_H
#define PTSTAT_MEANINGS_H

#include "tools/ptstat/plot.h"

/* NULL: there is nothing to say of it. */
const char *meaning_of(const char *mode, const char *figure);

/* Puts the meaning of every curve into the plot of this mode, and what follows from them. */
void meanings_set(struct plot *plot, const char *mode);

#endif
