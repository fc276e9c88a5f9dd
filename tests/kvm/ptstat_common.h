/*
 * What the tests of ptstat share: running the built program, its JSON object with names and shape, one line for each
 * error. Says nothing about how long anything takes.
 */
#ifndef PTSTAT_COMMON_H
#define PTSTAT_COMMON_H

#include "tools/client/client.h"
#include "tools/client/vmm_process.h"

#include <check.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_WORDS    16
#define TIME_LIMIT_S 120
#define EXIT_RUNTIME 1
#define EXIT_USAGE   2
#define SMALL        "--resident", "8M", "--dirty", "256K"
#define SMALL_MEMORY (UINT64_C(40) << 20)
#define PTSTAT(...)  run_ptstat((const char *const[]){__VA_ARGS__, NULL})

struct outcome {
    int status; /* exit status, or 128 + the signal */
    char *output;
    char *errors;
};

static inline char *read_all(FILE *file)
{
    char *text = NULL;
    size_t size = 0;

    rewind(file);
    if (getdelim(&text, &size, '\0', file) < 0 && text)
        text[0] = '\0';
    fclose(file);
    ck_assert_ptr_nonnull(text);
    return text;
}

/* Runs the built ptstat with these words and keeps what it says. */
static inline struct outcome run_ptstat(const char *const words[])
{
    FILE *output = tmpfile(), *errors = tmpfile();
    char *argv[MAX_WORDS + 2] = {NULL};
    char path[PATH_MAX];
    int status;
    pid_t child;

    vmm_build_path(path, sizeof(path), "tools/ptstat");
    argv[0] = path;
    for (size_t i = 0; words[i]; i++) {
        ck_assert_uint_lt(i, MAX_WORDS);
        argv[i + 1] = (char *)words[i];
    }
    ck_assert(output && errors);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        dup2(fileno(output), STDOUT_FILENO);
        dup2(fileno(errors), STDERR_FILENO);
        execv(path, argv);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return (struct outcome){
        .status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
        .output = read_all(output),
        .errors = read_all(errors),
    };
}

static inline void outcome_free(struct outcome *outcome)
{
    free(outcome->output);
    free(outcome->errors);
}

/* Ends with `status`, prints nothing but one line on stderr, and that line has `word` in it. */
static inline void check_refusal(struct outcome outcome, int status, const char *word)
{
    const size_t length = strlen(outcome.errors);

    ck_assert_msg(outcome.status == status, "exit status %d, want %d: %s", outcome.status, status, outcome.errors);
    ck_assert_str_eq(outcome.output, "");
    ck_assert_msg(!strncmp(outcome.errors, "ptstat: ", 8), "no 'ptstat: ' in: %s", outcome.errors);
    ck_assert_msg(length && strchr(outcome.errors, '\n') == outcome.errors + length - 1, "not one line: %s",
                  outcome.errors);
    ck_assert_msg(strstr(outcome.errors, word) != NULL, "no '%s' in: %s", word, outcome.errors);
    outcome_free(&outcome);
}

static inline json_int_t integer(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    ck_assert_msg(json_is_integer(value), "'%s' is no integer", key);
    return json_integer_value(value);
}

/* One figure: this many samples, and percentiles that never fall. */
static inline void check_figure_in(const json_t *figures, const char *name, const char *unit, json_int_t count)
{
    static const char *const rising[] = {"min", "p50", "p90", "p99", "max"};
    const json_t *figure = json_object_get(figures, name);
    json_int_t last = strcmp(unit, "ns") ? 0 : 1; /* no time is nothing */

    ck_assert_msg(json_is_object(figure), "no figure '%s'", name);
    ck_assert_uint_eq(json_object_size(figure), 7);
    ck_assert_str_eq(json_string_value(json_object_get(figure, "unit")), unit);
    ck_assert_int_eq(integer(figure, "count"), count);
    for (size_t i = 0; i < 5; i++) {
        const json_int_t value = integer(figure, rising[i]);

        ck_assert_msg(value >= last, "%s: %s falls", name, rising[i]);
        last = value;
    }
}

/* The same in nanoseconds. */
static inline void check_figure(const json_t *figures, const char *name, json_int_t count)
{
    check_figure_in(figures, name, "ns", count);
}

static inline void check_environment(const json_t *environment, uint64_t memory, uint64_t resident, uint64_t dirty)
{
    static const char *const texts[] = {"kernel", "cpu", "kvm"};

    ck_assert_uint_eq(json_object_size(environment), 7);
    for (size_t i = 0; i < 3; i++)
        ck_assert_msg(json_string_length(json_object_get(environment, texts[i])) > 0, "no '%s'", texts[i]);
    ck_assert_int_eq(integer(environment, "page_size"), 4096);
    ck_assert_uint_eq((uint64_t)integer(environment, "memory_bytes"), memory);
    ck_assert_uint_eq((uint64_t)integer(environment, "resident_bytes"), resident);
    ck_assert_uint_eq((uint64_t)integer(environment, "dirty_bytes"), dirty);
}

/* The report of a run that must have worked, with its four members; the caller frees it. */
static inline json_t *report_of(struct outcome outcome, const char *mode)
{
    json_error_t error;
    json_t *report;

    ck_assert_msg(outcome.status == 0, "exit status %d: %s", outcome.status, outcome.errors);
    ck_assert_str_eq(outcome.errors, "");
    report = json_loads(outcome.output, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(report != NULL, "not JSON: %s", outcome.output);
    ck_assert_uint_eq(json_object_size(report), 4);
    ck_assert_str_eq(json_string_value(json_object_get(report, "mode")), mode);
    outcome_free(&outcome);
    return report;
}

/* A folder of one test, for ptstat to put files in; the test leaves it empty and removes it. */
static inline void make_place(char place[PATH_MAX])
{
    const char *temporary = getenv("TMPDIR");

    snprintf(place, PATH_MAX, "%s/ptstat-test-XXXXXX", temporary ? temporary : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(place));
}

#endif
