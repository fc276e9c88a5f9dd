/* ptdump: prints what page tables map, from an image in a file or from a live guest. See ptdump(1). Exit status: 0
 * done, 1 it cannot be read, 2 the command line is wrong. */
#include "tools/ptdump/arguments.h"
#include "tools/ptdump/image.h"
#include "tools/ptdump/live.h"
#include "tools/ptdump/print.h"
#include "tools/ptdump/summary.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Where the leaves go: to a printer or into a summary. */
struct output {
    bool json, is_summary;
    struct printer printer;
    struct summary summary;
};

static struct output output_for(const struct arguments *arguments, unsigned levels)
{
    bool live = !arguments->file;

    return (struct output){
        .json = arguments->json,
        .is_summary = arguments->summary,
        .printer = {.out = stdout, .json = arguments->json, .heads = true, .live = live},
        .summary = {.levels = levels, .tables_by_level = !live},
    };
}

static void output_slot(void *context, const struct slot *slot, uint64_t count, const struct walk_answer *answer)
{
    struct output *output = context;

    if (output->is_summary)
        summary_add(&output->summary, slot, count, answer);
    else
        printer_add(&output->printer, slot, count, answer);
}

static void output_end(struct output *output)
{
    if (output->is_summary)
        summary_print(stdout, output->json, &output->summary);
    else
        printer_end(&output->printer);
}

/* Of an image: one address. */
static int show_at(const struct arguments *arguments, const struct pt_image *image)
{
    uint64_t address = arguments->at;
    struct path path;

    if (!image_address(image, &address)) {
        fprintf(stderr, "ptdump: --at: 0x%" PRIx64 " is no address of this image, which has %u levels\n", address,
                image->levels);
        return -1;
    }
    image_path(image, address, &path);
    print_path(stdout, arguments->json, image->format, &path);
    return 0;
}

/* Of an image: everything, or a range. */
static int show_image(const struct arguments *arguments, const struct pt_image *image)
{
    struct output output = output_for(arguments, image->levels);
    uint64_t start = arguments->start, length = arguments->last - start, stopped = 0;
    bool whole;

    if (!image_address(image, &start)) {
        fprintf(stderr, "ptdump: --range: 0x%" PRIx64 " is no address of this image, which has %u levels\n", start,
                image->levels);
        return -1;
    }
    if (length > image_space(image) - 1 - start)
        length = image_space(image) - 1 - start;
    whole = image_each(image, start, start + length + 1, output_slot, &output, &stopped);
    output_end(&output);
    if (!whole)
        fprintf(stderr,
                "ptdump: %s: its tables are no tree, some are reachable twice; stopped at 0x%" PRIx64
                ", --range shows other parts\n",
                arguments->file, stopped);
    return whole ? 0 : -1;
}

static int run_image(const struct arguments *arguments)
{
    char error[IMAGE_ERROR];
    struct image_file file;
    int result;

    if (image_file_open(&file, arguments->file, error) < 0) {
        fprintf(stderr, "ptdump: %s\n", error);
        return -1;
    }
    result = arguments->has_at ? show_at(arguments, &file.image) : show_image(arguments, &file.image);
    image_file_close(&file);
    return result;
}

static int show_guest(const struct arguments *arguments, struct client *client)
{
    struct output output = output_for(arguments, PT_HUGE_LEVEL);
    struct path path;

    if (arguments->has_at) {
        if (live_path(client, arguments->guest, arguments->at, &path) < 0)
            return -1;
        print_path(stdout, arguments->json, LIVE_FORMAT, &path);
        return 0;
    }
    if (arguments->summary && live_tables(client, arguments->guest, &output.summary.all_tables) < 0)
        return -1;
    if (live_each(client, arguments->guest, arguments->start, arguments->last, output_slot, &output) < 0)
        return -1;
    output_end(&output);
    return 0;
}

static int run_guest(const struct arguments *arguments)
{
    struct client_error error;
    struct client *client = client_open(arguments->socket, 0, &error);
    int result;

    if (!client) {
        fprintf(stderr, "ptdump: %s\n", error.text);
        return -1;
    }
    result = show_guest(arguments, client);
    client_close(client);
    return result;
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    int result;

    arguments_parse(&arguments, argc, argv);
    result = arguments.file ? run_image(&arguments) : run_guest(&arguments);
    if (fflush(stdout) == EOF || ferror(stdout)) {
        fprintf(stderr, "ptdump: cannot write the output: %s\n", strerror(errno));
        return 1;
    }
    return result < 0 ? 1 : 0;
}
