/* See plot_legend.h. */
#include "tools/ptstat/plot_legend.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct curve *find_curve(const struct panel *panel, const char *name)
{
    for (size_t c = 0; c < panel->count; c++)
        if (!strcmp(panel->curves[c].name, name))
            return &panel->curves[c];
    return NULL;
}

/* What the curve is compared with in its panel: as the table does it. */
static const struct curve *beside_of(const struct panel *panel, const struct curve *curve)
{
    if (curve->beside[0])
        return find_curve(panel, curve->beside);
    for (size_t c = 0; c < panel->count; c++)
        if (panel->curves[c].is_baseline)
            return &panel->curves[c];
    return NULL;
}

static const struct point *point_at(const struct curve *curve, uint64_t x)
{
    for (size_t i = 0; i < curve->count; i++)
        if (curve->points[i].x == x)
            return &curve->points[i];
    return NULL;
}

/* The least and most of what a curve is of its baseline. */
struct ratios {
    const char *beside;
    double least, most;
};

static void take_panel(struct ratios *ratios, const struct panel *panel, const char *name)
{
    const struct curve *curve = find_curve(panel, name), *beside = curve ? beside_of(panel, curve) : NULL;

    if (!beside || curve->is_baseline)
        return;
    for (size_t i = 0; i < curve->count; i++) {
        const struct point *other = point_at(beside, curve->points[i].x);
        double ratio;

        if (!other || !other->y.p50)
            continue;
        ratio = (double)curve->points[i].y.p50 / (double)other->y.p50;
        if (!ratios->beside || ratio < ratios->least)
            ratios->least = ratio;
        if (!ratios->beside || ratio > ratios->most)
            ratios->most = ratio;
        ratios->beside = beside->name;
    }
}

__attribute__((format(printf, 2, 3))) static void append(char text[LEGEND_TEXT], const char *format, ...)
{
    const size_t used = strlen(text);
    va_list list;

    va_start(list, format);
    vsnprintf(text + used, LEGEND_TEXT - used, format, list);
    va_end(list);
}

static void append_ratio(char text[LEGEND_TEXT], double ratio)
{
    append(text, "%.*f", ratio < 0.01 ? 4 : ratio < 10 ? 2 : 0, ratio);
}

const char *legend_text(const struct plot *plot, const struct curve *curve, char text[LEGEND_TEXT])
{
    struct ratios ratios = {0};

    text[0] = '\0';
    append(text, "%s%s", curve->name, curve->is_baseline ? " (baseline)" : "");
    if (curve->meaning)
        append(text, ": %s", curve->meaning);
    for (size_t p = 0; p < plot->count; p++)
        take_panel(&ratios, &plot->panels[p], curve->name);
    if (!ratios.beside)
        return text;
    append(text, "  [");
    append_ratio(text, ratios.least);
    if (ratios.most > ratios.least) {
        append(text, " to ");
        append_ratio(text, ratios.most);
    }
    append(text, " of %s]", ratios.beside);
    return text;
}
