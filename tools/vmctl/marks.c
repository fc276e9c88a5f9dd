/* vmctl marks: the marks that a guest has made, with the time between them. */
#include "tools/vmctl/show.h"
#include "tools/vmctl/vmctl.h"

#include <inttypes.h>
#include <stdio.h>

static int show_marks(const json_t *marks)
{
    struct table *table = table_new(3);
    table_add(table, "TIME");
    table_add(table, "VALUE");
    table_add(table, "SINCE THE LAST");
    uint64_t last_ns = 0;
    size_t index;
    json_t *mark;
    json_array_foreach(marks, index, mark)
    {
        char when[32];
        uint64_t ns = member_number(mark, "timestamp_ns");
        snprintf(when, sizeof when, "%" PRIu64 ".%06" PRIu64, ns / 1000000000, ns / 1000 % 1000000);
        table_add(table, when);
        table_add_number(table, member_number(mark, "value"));
        table_add(table, index && ns >= last_ns ? time_words(ns - last_ns).text : "-");
        last_ns = ns;
    }
    return table_print(table);
}

int run_marks(struct client *client, const struct arguments *arguments)
{
    return call_and_show(client, arguments, "query-marks", guest_parameter(arguments), show_marks);
}
