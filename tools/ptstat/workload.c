/* See workload.h. */
#include "tools/ptstat/workload.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 2, 3))) static void add(struct workload *workload, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(workload->text[workload->count++], WORKLOAD_ARGUMENT, format, arguments);
    va_end(arguments);
}

void workload_arguments(struct workload *workload, const struct workload_rounds *rounds)
{
    workload->count = 0;
    add(workload, "resident=%" PRIu64, rounds->resident);
    add(workload, "dirty=%" PRIu64, rounds->dirty);
    add(workload, "period_us=%" PRIu64, rounds->period_us);
    add(workload, "marks=%d", rounds->marks);
    if (rounds->scatter)
        add(workload, "scatter=1");
    if (rounds->stay)
        add(workload, "stay=1");
}
