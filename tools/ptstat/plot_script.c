/* See plot_script.h. Axes are logarithmic, with explicit labels in units that people read. No curve hides another where
 * they meet: each has its own form of point, its points stand a little beside those of others, and those that are drawn
 * first are broader. */
#include "tools/ptstat/plot_script.h"
#include "tools/ptstat/bytes.h"
#include "tools/ptstat/plot_legend.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define ROOM 1.5 /* the factor by which axes go beyond what they show */

/* All in pixels: the panels; below them their axes' labels, then the legend, a line for each curve, and what follows.
 */
#define WIDTH 1280
#define LEFT  96
#define RIGHT (WIDTH - 32)
#define GAP   38
#define TOP   115
#define PANEL 430
#define AXIS  84
#define LINE  23
#define FOOT  22

/* The points of a panel's curves at one place are spread over this part of the way to the next. */
#define SPREAD 0.22

/* Figures' lines, from the first that is drawn to the last. */
#define BROADEST 4.2
#define THINNEST 1.5
#define BASELINE 2.0

/* Colours that most people can tell apart (Okabe and Ito's), for figures; baselines that nothing is compared with are
 * grey. */
static const char *const colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                      "#E69F00", "#56B4E9", "#7A5195", "#8C6D31"};
static const char *const greys[] = {"#222222", "#888888", "#555555"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* In gnuplot's single quotes, which nothing but a quote ends. (Doubled they should be one, but not everywhere are.) */
static void put_text(const char *text, FILE *to)
{
    fputc('\'', to);
    for (; *text; text++)
        if (*text == '\'')
            fputs("\u2019", to);
        else
            fputc((unsigned char)*text < ' ' ? ' ' : *text, to);
    fputc('\'', to);
}

static void put_data(const struct plot *plot, FILE *to)
{
    for (size_t p = 0; p < plot->count; p++)
        for (size_t c = 0; c < plot->panels[p].count; c++) {
            const struct curve *curve = &plot->panels[p].curves[c];

            fprintf(to, "$d%zu_%zu << EOD\n", p, c);
            for (size_t i = 0; i < curve->count; i++)
                fprintf(to, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", curve->points[i].x,
                        curve->points[i].y.p50, curve->points[i].y.min, curve->points[i].y.p90);
            fputs("EOD\n", to);
        }
}

/* The largest and smallest of what is drawn of all panels in this unit. */
static void range_of(const struct plot *plot, enum unit unit, uint64_t *least, uint64_t *most)
{
    *least = UINT64_MAX;
    *most = 1;
    for (size_t p = 0; p < plot->count; p++)
        for (size_t c = 0; plot->panels[p].unit == unit && c < plot->panels[p].count; c++)
            for (size_t i = 0; i < plot->panels[p].curves[c].count; i++) {
                const struct summary *y = &plot->panels[p].curves[c].points[i].y;

                *least = y->min < *least ? y->min : *least;
                *most = y->p90 > *most ? y->p90 : *most;
            }
    *least = *least ? *least : 1;
}

static char *time_text(char text[BYTES_TEXT], uint64_t ns)
{
    static const char *const names[] = {"ns", "µs", "ms", "s"};
    unsigned unit = 0;

    for (; unit < 3 && ns >= 1000; ns /= 1000)
        unit++;
    snprintf(text, BYTES_TEXT, "%" PRIu64 " %s", ns, names[unit]);
    return text;
}

/* Labels a factor of `step` apart, with a little room below the least value and above the most. */
static void put_scale(char axis, enum unit unit, uint64_t least, uint64_t most, bool is_labelled, FILE *to)
{
    const uint64_t step = unit == UNIT_NS ? 10 : 4;
    char text[BYTES_TEXT];

    fprintf(to, "set logscale %c\nset %crange [%g:%g]\nset %ctics (", axis, axis, (double)least / ROOM,
            (double)most * ROOM, axis);
    for (uint64_t at = 1; (double)at <= (double)most * ROOM; at *= step) {
        fputs(at == 1 ? "" : ", ", to);
        put_text(!is_labelled ? "" : unit == UNIT_NS ? time_text(text, at) : bytes_text(text, at), to);
        fprintf(to, " %" PRIu64, at);
        for (unsigned minor = 2; unit == UNIT_NS && minor < 10; minor++)
            fprintf(to, ", '' %" PRIu64 " 1", at * minor);
    }
    fputs(")\n", to);
}

/* A label where there is a point, with a little room at both ends. */
static void put_points_scale(const struct panel *panel, FILE *to)
{
    const struct curve *longest = panel->curves;
    char text[BYTES_TEXT];

    for (size_t c = 1; c < panel->count; c++)
        if (panel->curves[c].count > longest->count)
            longest = &panel->curves[c];
    fprintf(to, "set logscale x\nset xrange [%g:%g]\nset xtics (", (double)longest->points[0].x / ROOM,
            (double)longest->points[longest->count - 1].x * ROOM);
    for (size_t i = 0; i < longest->count; i++) {
        fputs(i ? ", " : "", to);
        if (panel->x_is_size)
            put_text(bytes_option(text, longest->points[i].x), to);
        else
            fprintf(to, "'%" PRIu64 "'", longest->points[i].x);
        fprintf(to, " %" PRIu64, longest->points[i].x);
    }
    fputs(")\n", to);
}

/* Where curve `at` of the panel has its points, as a factor on the axis. */
static double place_of(const struct panel *panel, size_t at)
{
    const double middle = ((double)panel->count - 1) / 2;

    return pow(panel->x_is_size ? 4 : 2, SPREAD * ((double)at - middle) / (double)panel->count);
}

/* How many of its kind, figures or baselines, the panel has before curve `at`; of its count: the figures. */
static size_t order_of(const struct panel *panel, size_t at)
{
    const bool is_baseline = at < panel->count && panel->curves[at].is_baseline;
    size_t order = 0;

    for (size_t c = 0; c < at; c++)
        order += panel->curves[c].is_baseline == is_baseline;
    return order;
}

static double width_of(const struct panel *panel, size_t at)
{
    const size_t figures = order_of(panel, panel->count);

    if (panel->curves[at].is_baseline || figures < 2)
        return BASELINE;
    return BROADEST - (BROADEST - THINNEST) * (double)order_of(panel, at) / (double)(figures - 1);
}

static int point_of(const struct panel *panel, size_t at)
{
    /* gnuplot's numbers: disk, square, triangle, upside down, diamond, pentagon; the baselines' are hollow. */
    static const int filled[] = {7, 5, 9, 11, 13, 15}, hollow[] = {4, 6, 8, 10, 12};
    const size_t order = order_of(panel, at);

    return panel->curves[at].is_baseline ? hollow[order % COUNT(hollow)] : filled[order % COUNT(filled)];
}

/* The colour of a curve: a figure's own; a baseline's that of the first figure that is compared with it. */
static const char *colour_of(const struct panel *panel, size_t at)
{
    const struct curve *curve = &panel->curves[at];
    size_t figures = 0, greyed = 0;

    for (size_t c = 0; c < panel->count; c++) {
        const struct curve *other = &panel->curves[c];

        if (other->is_baseline)
            continue;
        if (c == at || (curve->is_baseline && !strcmp(other->beside, curve->name)))
            return colours[figures % COUNT(colours)];
        figures++;
    }
    for (size_t c = 0; c < at; c++)
        greyed += panel->curves[c].is_baseline;
    return greys[greyed % COUNT(greys)];
}

static void put_curves(const struct plot *plot, size_t p, bool with_legend, FILE *to)
{
    const struct panel *panel = &plot->panels[p];

    fputs("plot \\\n", to);
    for (size_t c = 0; c < panel->count; c++) /* paler, for they overlap */
        fprintf(to, "  $d%zu_%zu using ($1*%.4f):2:3:4 with yerrorbars lw 1.5 pt 0 lc rgb '#99%s' notitle, \\\n", p, c,
                place_of(panel, c), colour_of(panel, c) + 1);
    for (size_t c = 0; c < panel->count; c++) {
        const struct curve *curve = &panel->curves[c];

        fprintf(to, "  $d%zu_%zu using ($1*%.4f):2 with linespoints lw %.1f dt %d pt %d ps 0.8 lc rgb '%s' ", p, c,
                place_of(panel, c), width_of(panel, c), curve->is_baseline ? 2 : 1, point_of(panel, c),
                colour_of(panel, c));
        if (with_legend) {
            char text[LEGEND_TEXT];

            fputs("title ", to);
            put_text(legend_text(plot, curve, text), to);
        } else {
            fputs("notitle", to);
        }
        fputs(c + 1 < panel->count ? ", \\\n" : "\n", to);
    }
}

/* Panels that show the same share their scale, and one legend. */
static bool is_alike(const struct plot *plot)
{
    for (size_t p = 1; p < plot->count; p++)
        if (plot->panels[p].unit != plot->panels[0].unit || plot->panels[p].x_is_size != plot->panels[0].x_is_size)
            return false;
    return true;
}

/* Lines of the legend that come before that of panel `p`; of the plot's count: all. */
static size_t lines_before(const struct plot *plot, size_t p)
{
    size_t lines = 0;

    for (size_t i = 0; i < p && !is_alike(plot); i++)
        lines += plot->panels[i].count;
    return p == plot->count && is_alike(plot) ? plot->panels[p - 1].count : lines;
}

static size_t follows_count(const struct plot *plot)
{
    size_t count = 0;

    while (count < PLOT_FOLLOWS && plot->follows[count])
        count++;
    return count;
}

static double height_of(const struct plot *plot)
{
    return TOP + PANEL + AXIS + FOOT + LINE * (double)(lines_before(plot, plot->count) + follows_count(plot));
}

/* gnuplot wants parts of the whole, from below. */
static double down(const struct plot *plot, double pixels)
{
    return 1 - pixels / height_of(plot);
}

static void put_panel(const struct plot *plot, size_t p, FILE *to)
{
    const struct panel *panel = &plot->panels[p];
    const bool is_shared = is_alike(plot), is_last = p + 1 == plot->count;
    const double gap = is_shared ? GAP : 3 * GAP;
    const double width = (RIGHT - LEFT - gap * (double)(plot->count - 1)) / (double)plot->count;
    const double left = LEFT + (width + gap) * (double)p;
    uint64_t least, most;

    fprintf(to, "set lmargin at screen %g\nset rmargin at screen %g\n", left / WIDTH, (left + width) / WIDTH);
    fprintf(to, "set bmargin at screen %g\nset tmargin at screen %g\n", down(plot, TOP + PANEL), down(plot, TOP));
    fputs("set title ", to);
    put_text(panel->title, to);
    fputs(" offset 0,-0.4\nset xlabel ", to);
    put_text(panel->x_label, to);
    fputs("\nset ylabel ", to);
    put_text(is_shared && p ? "" : panel->y_label, to);
    fputs(" offset 0.5,0\n", to);
    put_points_scale(panel, to);
    range_of(plot, panel->unit, &least, &most);
    put_scale('y', panel->unit, least, most, !is_shared || !p, to);
    fprintf(to, "set key at screen %g,%g left top Left reverse maxcols 1 samplen 3 spacing 1.3 font ',12'\n",
            (double)LEFT / WIDTH, down(plot, TOP + PANEL + AXIS + LINE * (double)lines_before(plot, p)));
    put_curves(plot, p, !is_shared || is_last, to);
}

/* The title, the place, and what follows: labels, of which each has its number. */
static void put_labels(const struct plot *plot, FILE *to)
{
    const double below = TOP + PANEL + AXIS + LINE * ((double)lines_before(plot, plot->count) + 0.9);

    fputs("set label 1 ", to);
    put_text(plot->title, to);
    fprintf(to, " at screen %g,%g left font ',19'\nset label 2 ", (double)LEFT / WIDTH, down(plot, 28));
    put_text(plot->place, to);
    fprintf(to, " at screen %g,%g left font ',12' textcolor rgb '#555555'\n", (double)LEFT / WIDTH, down(plot, 59));
    for (size_t i = 0; i < follows_count(plot); i++) {
        fprintf(to, "set label %zu ", 3 + i);
        put_text(plot->follows[i], to);
        fprintf(to, " at screen %g,%g left font ',12'\n", (double)LEFT / WIDTH, down(plot, below + LINE * (double)i));
    }
}

void plot_script(const struct plot *plot, FILE *to)
{
    fprintf(to,
            "set encoding utf8\nset terminal svg noenhanced size %d,%.0f background rgb 'white' "
            "font 'DejaVu Sans,Verdana,sans-serif,13'\n",
            WIDTH, height_of(plot));
    put_data(plot, to);
    fputs("set multiplot\nset border 3 lc rgb '#444444'\nset tics nomirror out scale 0.6 textcolor rgb '#222222'\n"
          "set grid xtics ytics lc rgb '#e2e2e2' lw 1 dt 1\n",
          to);
    put_labels(plot, to);
    for (size_t p = 0; p < plot->count; p++) {
        put_panel(plot, p, to);
        fputs("unset label\n", to);
    }
    fputs("unset multiplot\n", to);
}
