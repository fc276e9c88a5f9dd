/*
 * Drawing the figures of several runs: panels beside each other, with a curve for each figure, as an SVG file that
 * gnuplot draws. Everything here prints one line and exits with EXIT_RUNTIME where something fails.
 */
#ifndef PTSTAT_PLOT_H
#define PTSTAT_PLOT_H

#include "tools/ptstat/report.h"

#define PLOT_PANELS  2
#define PLOT_CURVES  (2 * REPORT_FIGURES)
#define PLOT_POINTS  24
#define PLOT_FOLLOWS 2 /* lines */

struct point {
    uint64_t x;
    struct summary y;
};

struct curve {
    char name[REPORT_NAME];
    char beside[REPORT_NAME]; /* as in struct figure */
    bool is_baseline;
    const char *meaning;              /* a phrase, or NULL */
    struct point points[PLOT_POINTS]; /* ascending x */
    size_t count;
};

struct panel {
    char title[128];
    const char *x_label;
    const char *y_label;
    bool x_is_size; /* in bytes, else a number */
    enum unit unit; /* of y */
    struct curve curves[PLOT_CURVES];
    size_t count;
};

struct plot {
    char title[128];
    char place[512];                   /* where the figures were taken */
    const char *follows[PLOT_FOLLOWS]; /* what the reader may conclude; NULL: nothing more */
    struct panel panels[PLOT_PANELS];
    size_t count;
};

/*
 * To be called before anything is measured: finds gnuplot, and begins a file beside `path`, which is at `path` only
 * when it is whole. Whatever ends the program, nothing of it is left.
 */
void plot_open(const char *path);

/* Adds a point to the panel's curve of this figure, unless the figure is in another unit. */
void panel_add(struct panel *panel, const struct figure *figure, bool is_baseline, const char *name, uint64_t x,
               struct summary y);

/* Draws it and puts it at the path that plot_open was given. */
void plot_draw(const struct plot *plot);

#endif
