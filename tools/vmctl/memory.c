/* vmctl translate and read-memory: what a guest's page table and its memory hold. */
#include "tools/vmctl/show.h"
#include "tools/vmctl/vmctl.h"

#include <inttypes.h>
#include <stdio.h>

static void show_leaf(const json_t *reply)
{
    printf("hpa 0x%" PRIx64 " (%s), %s%s%s%s%s, %s\npage of %s at 0x%" PRIx64 "\n", member_number(reply, "hpa"),
           member_text(reply, "backing"), member_true(reply, "read") ? "r" : "-",
           member_true(reply, "write") ? "w" : "-", member_true(reply, "execute") ? "x" : "-",
           member_true(reply, "accessed") ? ", accessed" : "", member_true(reply, "dirty") ? ", dirty" : "",
           member_text(reply, "memory_type"), size_words(member_number(reply, "page_size")).text,
           member_number(reply, "page_start"));
}

static int show_translation(const json_t *reply)
{
    if (member_true(reply, "mapped"))
        show_leaf(reply);
    else
        puts("no page there");
    struct table *table = table_new(2);
    table_add(table, "LEVEL");
    table_add(table, "ENTRY");
    size_t index;
    json_t *step;
    json_array_foreach(json_object_get(reply, "steps"), index, step)
    {
        table_add_number(table, member_number(step, "level"));
        table_add(table, member_text(step, "entry"));
    }
    return table_print(table);
}

int run_translate(struct client *client, const struct arguments *arguments)
{
    json_t *parameters = json_pack("{s:I, s:I}", "guest", (json_int_t)arguments->parameters[0], "gpa",
                                   (json_int_t)arguments->parameters[1]);
    json_t *reply;
    struct client_error error;
    if (client_call(client, "translate", parameters, &reply, &error) < 0)
        return print_error("translate", &error);
    bool mapped = member_true(reply, "mapped");
    int result = show_reply(arguments, reply, show_translation);
    return result == 0 && !mapped ? EXIT_NO_PAGE : result;
}

/* "0000000000200000  48 65 6c 6c 6f ...  |Hello|", 16 bytes a line. */
static void dump_bytes(uint64_t address, const unsigned char *bytes, size_t length)
{
    for (size_t line = 0; line < length; line += 16) {
        size_t here = length - line < 16 ? length - line : 16;
        printf("%016" PRIx64 " ", address + line);
        for (size_t i = 0; i < 16; i++) {
            if (i == 8)
                putchar(' ');
            if (i < here)
                printf(" %02x", bytes[line + i]);
            else
                fputs("   ", stdout);
        }
        fputs("  |", stdout);
        for (size_t i = 0; i < here; i++)
            putchar(bytes[line + i] >= 0x20 && bytes[line + i] < 0x7F ? bytes[line + i] : '.');
        puts("|");
    }
}

int run_read_memory(struct client *client, const struct arguments *arguments)
{
    uint64_t guest = arguments->parameters[0], gpa = arguments->parameters[1], left = arguments->parameters[2];
    if (arguments->json)
        return call_and_show(client, arguments, "read-memory",
                             json_pack("{s:I, s:I, s:I}", "guest", (json_int_t)guest, "gpa", (json_int_t)gpa, "length",
                                       (json_int_t)left),
                             show_nothing);
    static unsigned char bytes[65536];
    while (left > 0) {
        size_t piece = left < sizeof bytes ? (size_t)left : sizeof bytes;
        struct client_error error;
        if (client_read_memory(client, guest, gpa, piece, bytes, &error) < 0)
            return print_error("read-memory", &error);
        if (arguments->options & OPTION_RAW)
            fwrite(bytes, 1, piece, stdout);
        else
            dump_bytes(gpa, bytes, piece);
        gpa += piece;
        left -= piece;
    }
    return 0;
}
