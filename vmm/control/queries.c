/* Commands that only ask: each makes one call of <cleave/cleave.h>, and JSON of the answer. */
#include "vmm/control/command_functions.h"
#include "vmm/control/request.h"
#include "vmm/control/text.h"
#include "vmm/control/values.h"

#include <stdlib.h>

json_t *query_version(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    (void)request, (void)failure;
    struct cleave_facts facts;
    cleave_family_facts(service->family, &facts);
    return facts_json(&facts);
}

json_t *query_guests(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    (void)request;
    struct cleave_guest_info *guests;
    size_t count;
    if (cleave_family_guests(service->family, &guests, &count, failure) < 0)
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < count && list; i++)
        if (json_array_append_new(list, guest_json(&guests[i])) < 0) {
            json_decref(list);
            list = NULL;
        }
    free(guests);
    return list;
}

json_t *query_stats(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    struct cleave_stats stats = {0};
    if (cleave_guest_stats(service->family, request->values[0], &stats, failure) < 0)
        return NULL;
    return stats_json(&stats);
}

json_t *query_translation(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    struct cleave_translation translation = {0};
    if (cleave_guest_translate(service->family, request->values[0], request->values[1], &translation, failure) < 0)
        return NULL;
    return translation_json(&translation);
}

json_t *query_mappings(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    size_t most = request->values[2], count;
    uint64_t next;
    struct cleave_mapping *list = calloc(most, sizeof *list);
    json_t *reply = NULL;
    if (list && cleave_guest_mappings(service->family, request->values[0], request->values[1], list, most, &count,
                                      &next, failure) == 0)
        reply = mappings_json(list, count, next);
    free(list);
    return reply;
}

json_t *query_memory(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    size_t length = request->values[2];
    unsigned char *bytes = malloc(length);
    json_t *reply = NULL;
    if (bytes &&
        cleave_guest_read(service->family, request->values[0], request->values[1], length, bytes, failure) == 0)
        reply = json_pack("{s:o}", "data", base64_json(bytes, length));
    free(bytes);
    return reply;
}

json_t *query_console(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    char *text = malloc(CLEAVE_CONSOLE_MAX);
    size_t length;
    json_t *reply = NULL;
    if (text && cleave_guest_console(service->family, request->values[0], text, &length, failure) == 0)
        reply = json_pack("{s:o}", "text", text_json(text, length));
    free(text);
    return reply;
}

json_t *query_marks(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    struct cleave_mark *marks;
    size_t count;
    if (cleave_guest_marks(service->family, request->values[0], &marks, &count, failure) < 0)
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < count && list; i++)
        if (json_array_append_new(list, mark_json(&marks[i])) < 0) {
            json_decref(list);
            list = NULL;
        }
    free(marks);
    return list;
}

json_t *query_registers(struct service *service, const struct request *request, struct cleave_failure *failure)
{
    struct cleave_registers registers[CLEAVE_CPUS_MAX];
    unsigned count;
    if (cleave_guest_registers(service->family, request->values[0], registers, &count, failure) < 0)
        return NULL;
    json_t *list = json_array();
    for (unsigned i = 0; i < count && list; i++)
        if (json_array_append_new(list, registers_json(&registers[i])) < 0) {
            json_decref(list);
            list = NULL;
        }
    return list;
}
