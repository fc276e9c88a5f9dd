/* See plot_script.h. Axes are logarithmic, with explicit labels in units that people read. */
#include "tools/ptstat/plot_script.h"
#include "tools/ptstat/bytes.h"

#include <inttypes.h>
#include <string.h>

#define ROOM 1.5 /* the factor by which axes go beyond what they show */

#define WIDTH  1280
#define HEIGHT 620

/* Edges as parts of the whole: the legend has what is right of RIGHT. */
#define LEFT   0.075
#define RIGHT  0.775
#define GAP    0.03
#define BOTTOM 0.125
#define TOP    0.815

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
        fprintf(to, "  $d%zu_%zu using 1:2:3:4 with yerrorbars lw 1.5 pt 0 lc rgb '#99%s' notitle, \\\n", p, c,
                colour_of(panel, c) + 1);
    for (size_t c = 0; c < panel->count; c++) {
        const struct curve *curve = &panel->curves[c];

        fprintf(to, "  $d%zu_%zu using 1:2 with linespoints lw 2 dt %d pt %d ps 0.6 lc rgb '%s' ", p, c,
                curve->is_baseline ? 2 : 1, curve->is_baseline ? 4 : 7, colour_of(panel, c));
        if (with_legend) {
            char name[REPORT_NAME + 16];

            snprintf(name, sizeof(name), "%s%s", curve->name, curve->is_baseline ? " (baseline)" : "");
            fputs("title ", to);
            put_text(name, to);
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

static void put_panel(const struct plot *plot, size_t p, FILE *to)
{
    const struct panel *panel = &plot->panels[p];
    const bool is_shared = is_alike(plot), is_last = p + 1 == plot->count;
    const double gap = is_shared ? GAP : 3 * GAP, right = is_shared ? RIGHT : 0.975;
    const double width = (right - LEFT - gap * (double)(plot->count - 1)) / (double)plot->count;
    const double left = LEFT + (width + gap) * (double)p;
    uint64_t least, most;

    fprintf(to, "set lmargin at screen %g\nset rmargin at screen %g\n", left, left + width);
    fprintf(to, "set bmargin at screen %g\nset tmargin at screen %g\n", is_shared ? BOTTOM : 0.32, TOP);
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
    if (is_shared)
        fprintf(to, "set key at screen %g,%g left top Left reverse samplen 2.5 spacing 1.35 font ',12'\n", RIGHT + 0.012, TOP);
    else
        fprintf(to, "set key at screen %g,%g left top Left reverse samplen 2.5 spacing 1.25\n", left, 0.2);
    put_curves(plot, p, !is_shared || is_last, to);
}

void plot_script(const struct plot *plot, FILE *to)
{
    fprintf(to,
            "set encoding utf8\nset terminal svg noenhanced size %d,%d background rgb 'white' "
            "font 'DejaVu Sans,Verdana,sans-serif,13'\n",
            WIDTH, HEIGHT);
    put_data(plot, to);
    fputs("set multiplot\nset border 3 lc rgb '#444444'\nset tics nomirror out scale 0.6 textcolor rgb '#222222'\n"
          "set grid xtics ytics lc rgb '#e2e2e2' lw 1 dt 1\n",
          to);
    fputs("set label 1 ", to);
    put_text(plot->title, to);
    fprintf(to, " at screen %g,0.955 left font ',19'\nset label 2 ", LEFT);
    put_text(plot->place, to);
    fprintf(to, " at screen %g,0.905 left font ',12' textcolor rgb '#555555'\n", LEFT);
    for (size_t p = 0; p < plot->count; p++) {
        put_panel(plot, p, to);
        fputs("unset label\n", to);
    }
    fputs("unset multiplot\n", to);
}
