/* A VMM under test with a client of its control socket: see kvm_rig.h. */
#include "tests/support/kvm_rig.h"

#include "guest/lib/marks.h"
#include "tests/support/kvm_priority.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POLL_MS    5
#define WORDS_MOST 32

char **rig_words(const char *first, const char *const words[])
{
    char **out = calloc(WORDS_MOST, sizeof *out);
    ck_assert_ptr_nonnull(out);
    out[0] = strdup(first);
    for (size_t i = 0; words[i]; i++) {
        ck_assert_uint_lt(i + 2, WORDS_MOST);
        if (words[i][0] == '@') {
            char name[64], path[4096];
            snprintf(name, sizeof name, "guest/%s%s", words[i] + 1, strchr(words[i], '.') ? "" : ".bin");
            vmm_build_path(path, sizeof path, name);
            out[i + 1] = strdup(path);
        } else {
            out[i + 1] = strdup(words[i]);
        }
        ck_assert_ptr_nonnull(out[i + 1]);
    }
    return out;
}

void rig_free_words(char **words)
{
    for (size_t i = 0; words[i]; i++)
        free(words[i]);
    free(words);
}

static struct vmm_process *start(const char *const words[], unsigned flags)
{
    char vmm[4096];
    vmm_build_path(vmm, sizeof vmm, "vmm");
    char **argv = rig_words(vmm, words);
    struct client_error error;
    struct vmm_process *process = vmm_process_start((const char *const *)argv, flags, &error);
    ck_assert_msg(process != NULL, "%s", error.text);
    rig_free_words(argv);
    return process;
}

struct rig rig_start(const char *const words[])
{
    struct client_error error;
    struct rig rig = {.process = start(words, 0)};
    rig.client = vmm_process_connect(rig.process, &error);
    ck_assert_msg(rig.client != NULL, "%s", error.text);
    kvm_lower_guests(rig.process);
    return rig;
}

int rig_wait_exit(struct rig *rig)
{
    int status = vmm_process_wait(rig->process, RIG_PATIENCE_MS);
    ck_assert_msg(status >= 0, "the VMM does not end");
    client_close(rig->client);
    vmm_process_end(rig->process);
    *rig = (struct rig){0};
    return status;
}

void rig_quit(struct rig *rig)
{
    json_decref(rig_call(rig, "quit", NULL));
    ck_assert_int_eq(rig_wait_exit(rig), EXIT_VMM_QUIT);
}

static json_t *pack(const char *format, va_list args)
{
    if (!format)
        return NULL;
    json_error_t error;
    json_t *arguments = json_vpack_ex(&error, 0, format, args);
    ck_assert_msg(arguments != NULL, "cannot pack '%s': %s", format, error.text);
    return arguments;
}

json_t *rig_call(struct rig *rig, const char *command, const char *format, ...)
{
    struct client_error error;
    json_t *reply = NULL;
    va_list args;
    va_start(args, format);
    json_t *arguments = pack(format, args);
    va_end(args);
    int result = client_call(rig->client, command, arguments, &reply, &error);
    ck_assert_msg(result == 0, "%s: %s: %s", command, error.class, error.text);
    return reply;
}

void rig_do(struct rig *rig, const char *command, uint64_t guest)
{
    json_decref(rig_call(rig, command, "{s:I}", "guest", (json_int_t)guest));
}

void rig_refused(struct rig *rig, const char *class, const char *word, const char *command, const char *format, ...)
{
    struct client_error error;
    va_list args;
    va_start(args, format);
    json_t *arguments = pack(format, args);
    va_end(args);
    int result = client_call(rig->client, command, arguments, NULL, &error);
    ck_assert_msg(result < 0, "%s was not refused", command);
    ck_assert_msg(strcmp(error.class, class) == 0, "%s: want %s, got %s: %s", command, class, error.class, error.text);
    ck_assert_msg(strstr(error.text, word) != NULL, "%s: no '%s' in: %s", command, word, error.text);
}

static json_int_t integer(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    ck_assert_msg(json_is_integer(value), "'%s' is no integer", key);
    return json_integer_value(value);
}

static int64_t integer_or_none(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    ck_assert_msg(value != NULL, "no '%s'", key);
    return json_is_null(value) ? -1 : integer(object, key);
}

uint64_t rig_fork(struct rig *rig, uint64_t guest, unsigned count, bool paused, uint64_t *children)
{
    json_t *reply = rig_call(rig, "fork", "{s:I, s:i, s:b}", "guest", (json_int_t)guest, "count", (int)count, "paused",
                             (int)paused);
    const json_t *list = json_object_get(reply, "children");
    ck_assert_uint_eq(json_array_size(list), count);
    for (size_t i = 0; i < count && children; i++)
        children[i] = (uint64_t)integer(json_array_get(list, i), "id");
    uint64_t first = (uint64_t)integer(json_array_get(list, 0), "id");
    json_decref(reply);
    return first;
}

void rig_read(struct rig *rig, uint64_t guest, uint64_t gpa, size_t length, void *buffer)
{
    struct client_error error;
    int result = client_read_memory(rig->client, guest, gpa, length, buffer, &error);
    ck_assert_msg(result == 0, "read-memory of guest %llu: %s: %s", (unsigned long long)guest, error.class, error.text);
}

struct probe rig_probe(struct rig *rig, uint64_t guest)
{
    struct probe probe;
    rig_read(rig, guest, PROBE_GPA, sizeof probe, &probe);
    return probe;
}

/* Between two questions the guest may end, so the answer to one of them has to do. */
static bool has_ended_or_counts(struct rig *rig, uint64_t guest, uint64_t count, bool *ended)
{
    struct probe probe;
    struct client_error error;
    if (client_read_memory(rig->client, guest, PROBE_GPA, sizeof probe, &probe, &error) == 0)
        return probe.counter > count;
    ck_assert_msg(strcmp(error.class, "GuestNotFound") == 0, "%s: %s", error.class, error.text);
    return *ended = true;
}

bool rig_counts_beyond(struct rig *rig, uint64_t guest, uint64_t count)
{
    bool ended = false;
    RIG_UNTIL(has_ended_or_counts(rig, guest, count, &ended));
    return !ended;
}

void rig_run_on(struct rig *rig, uint64_t guest, uint64_t counts)
{
    uint64_t before = rig_probe(rig, guest).counter;
    RIG_UNTIL(rig_probe(rig, guest).counter >= before + counts || !rig_state_is(rig, guest, "running"));
    char *console = rig_console(rig, guest);
    ck_assert_msg(rig_state_is(rig, guest, "running") && !rig_marks(rig, guest, MARK_WRONG), "the guest found:\n%s",
                  console);
    free(console);
}

uint64_t rig_count_of_vcpus(struct rig *rig, uint64_t guest, unsigned vcpus)
{
    const struct probe probe = rig_probe(rig, guest);
    uint64_t sum = 0;
    for (unsigned i = 0; i < vcpus; i++)
        sum += probe.cpu[i].counter;
    ck_assert_uint_ge(sum, probe.shared);
    ck_assert_uint_le(sum, probe.shared + vcpus);
    return sum;
}

/* Where boot_info lies is the VMM's choice and told to the guest in RDI; in this VMM it has a fixed place, found by its
 * magic so that tests need not know it. */
static uint64_t find_boot_info(struct rig *rig, uint64_t guest)
{
    static uint64_t known;
    if (known)
        return known;
    static char low[GUEST_RAM_START];
    rig_read(rig, guest, 0, sizeof low, low);
    for (uint64_t gpa = 0; gpa < sizeof low; gpa += 8)
        if (memcmp(low + gpa, BOOT_INFO_MAGIC, 8) == 0)
            return known = gpa;
    ck_abort_msg("guest %llu has no boot_info below 1 MiB", (unsigned long long)guest);
    return 0;
}

struct boot_info rig_boot_info(struct rig *rig, uint64_t guest)
{
    struct boot_info info;
    rig_read(rig, guest, find_boot_info(rig, guest), sizeof info, &info);
    return info;
}

uint64_t rig_stat(struct rig *rig, uint64_t guest, const char *name)
{
    json_t *reply = rig_call(rig, "query-stats", "{s:I}", "guest", (json_int_t)guest);
    uint64_t value = (uint64_t)integer(reply, name);
    json_decref(reply);
    return value;
}

static const char *state_of(const json_t *guest)
{
    const char *state = json_string_value(json_object_get(guest, "state"));
    ck_assert_msg(state != NULL, "no 'state'");
    return state;
}

struct rig_guest rig_guest(struct rig *rig, uint64_t guest)
{
    struct rig_guest out = {0};
    json_t *list = rig_call(rig, "query-guests", NULL);
    size_t i;
    const json_t *each;
    bool found = false;
    json_array_foreach(list, i, each)
    {
        if ((uint64_t)integer(each, "id") != guest)
            continue;
        found = true;
        out.id = guest;
        out.generation = (uint64_t)integer(each, "generation");
        out.children = (uint64_t)integer(each, "children");
        out.parent = integer_or_none(each, "parent");
        out.exit_code = integer_or_none(each, "exit_code");
        snprintf(out.state, sizeof out.state, "%s", state_of(each));
    }
    ck_assert_msg(found, "query-guests does not list guest %llu", (unsigned long long)guest);
    json_decref(list);
    return out;
}

size_t rig_live(struct rig *rig)
{
    json_t *list = rig_call(rig, "query-guests", NULL);
    size_t i, live = 0;
    const json_t *each;
    json_array_foreach(list, i, each)
    {
        const char *state = state_of(each);
        live += strcmp(state, "running") == 0 || strcmp(state, "paused") == 0;
    }
    json_decref(list);
    return live;
}

unsigned rig_marks(struct rig *rig, uint64_t guest, uint32_t value)
{
    json_t *list = rig_call(rig, "query-marks", "{s:I}", "guest", (json_int_t)guest);
    size_t i;
    unsigned count = 0;
    const json_t *each;
    json_array_foreach(list, i, each) count += integer(each, "value") == value;
    json_decref(list);
    return count;
}

char *rig_console(struct rig *rig, uint64_t guest)
{
    json_t *reply = rig_call(rig, "query-console", "{s:I}", "guest", (json_int_t)guest);
    const char *text = json_string_value(json_object_get(reply, "text"));
    ck_assert_msg(text != NULL, "no 'text'");
    char *copy = strdup(text);
    json_decref(reply);
    return copy;
}

bool rig_state_is(struct rig *rig, uint64_t guest, const char *state)
{
    return strcmp(rig_guest(rig, guest).state, state) == 0;
}

uint64_t rig_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void rig_sleep_ms(unsigned ms)
{
    struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&pause, &pause) < 0 && errno == EINTR) {
    }
}

void rig_wait(uint64_t until_ms, const char *file, int line, const char *condition)
{
    if (rig_now_ms() > until_ms)
        ck_abort_msg("%s:%d: waited %d s in vain for: %s", file, line, RIG_PATIENCE_MS / 1000, condition);
    rig_sleep_ms(POLL_MS);
}

void rig_wait_exited(struct rig *rig, uint64_t guest, int64_t exit_code)
{
    RIG_UNTIL(!rig_state_is(rig, guest, "running"));
    const struct rig_guest end = rig_guest(rig, guest);
    char *console = rig_console(rig, guest);
    ck_assert_msg(strcmp(end.state, "exited") == 0 && end.exit_code == exit_code,
                  "guest %llu is %s with exit code %lld, want exited with %lld; its console:\n%s",
                  (unsigned long long)guest, end.state, (long long)end.exit_code, (long long)exit_code, console);
    free(console);
}

struct outcome rig_run(const char *const words[])
{
    struct vmm_process *process = start(words, VMM_PROCESS_NO_CONTROL);
    struct outcome outcome = {.status = vmm_process_wait(process, RIG_PATIENCE_MS)};
    ck_assert_msg(outcome.status >= 0, "the VMM does not end");
    outcome.output = vmm_process_output(process);
    outcome.errors = vmm_process_errors(process);
    ck_assert(outcome.output && outcome.errors);
    vmm_process_end(process);
    return outcome;
}

void outcome_free(struct outcome *outcome)
{
    free(outcome->output);
    free(outcome->errors);
    *outcome = (struct outcome){0};
}

void outcome_refused(struct outcome outcome, const char *const words[])
{
    const size_t length = strlen(outcome.errors);
    ck_assert_msg(outcome.status == EXIT_VMM_REFUSED, "exit status %d, want %d; stderr: %s", outcome.status,
                  EXIT_VMM_REFUSED, outcome.errors);
    ck_assert_msg(length && strchr(outcome.errors, '\n') == outcome.errors + length - 1, "not one line: %s",
                  outcome.errors);
    for (size_t i = 0; words[i]; i++)
        ck_assert_msg(strstr(outcome.errors, words[i]) != NULL, "no '%s' in: %s", words[i], outcome.errors);
    ck_assert_str_eq(outcome.output, "");
    outcome_free(&outcome);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

/* Each folder that is left is of a test that failed. */
static void show_errors(const char *folder)
{
    DIR *directory = opendir(folder);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        char path[512], line[512];
        snprintf(path, sizeof path, "%s/%s/stderr", folder, entry->d_name);
        FILE *file = fopen(path, "r");
        for (int i = 0; file && i < 20 && fgets(line, sizeof line, file); i++)
            printf("stderr of a VMM: %s", line);
        if (file)
            fclose(file);
    }
    closedir(directory);
}

int rig_main(Suite *suite)
{
    const char *base = getenv("TMPDIR");
    char folder[64];
    if (!base || strlen(base) > 28) /* short enough for the path of a socket below it */
        base = "/tmp";
    snprintf(folder, sizeof folder, "%s/kvm-XXXXXX", base);
    if (!mkdtemp(folder) || setenv("TMPDIR", folder, 1) < 0) {
        fprintf(stderr, "cannot make a temporary folder: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    show_errors(folder);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
