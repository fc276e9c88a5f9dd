/* See model_driver.h: what is printed of a failure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/model_driver.h"
#include "tests/support/model_shrink.h"

#define TRIES   3000u
#define SECONDS 60u /* without an end, a run counts as stuck */

/* How the last try ended, in memory that it shares with us. */
struct verdict {
    size_t step;
    char failure[512];
};

struct trying {
    const struct model_format *format;
    struct lab *lab;
    struct verdict *verdict;
    bool thorough, loud; /* loud: what a try writes to stderr is seen */
};

static bool fails(void *ctx, const struct script *script)
{
    struct trying *trying = ctx;
    struct verdict *verdict = trying->verdict;
    int status;
    pid_t child;

    *verdict = (struct verdict){0};
    fflush(NULL);
    child = fork();
    if (child < 0)
        abort();
    if (child == 0) {
        alarm(SECONDS);
        if (!trying->loud && !freopen("/dev/null", "w", stderr))
            abort();
        if (model_run(trying->lab, trying->format, script, trying->thorough))
            _exit(0);
        verdict->step = trying->lab->step;
        memcpy(verdict->failure, trying->lab->failure, sizeof(verdict->failure));
        _exit(1);
    }
    if (waitpid(child, &status, 0) != child)
        abort();
    if (WIFSIGNALED(status))
        snprintf(verdict->failure, sizeof(verdict->failure), "dies of signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (!verdict->failure[0])
        snprintf(verdict->failure, sizeof(verdict->failure), "exits with %d", WEXITSTATUS(status));
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

void model_explain(const struct model_format *format, struct script *script)
{
    struct trying trying = {.format = format, .lab = lab_new(), .thorough = true};
    size_t tries;

    trying.verdict = mmap(NULL, sizeof(*trying.verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (trying.verdict == MAP_FAILED)
        abort();
    if (!fails(&trying, script)) {
        trying.thorough = false;
        if (!fails(&trying, script)) {
            printf("%s: the run does not fail when it is repeated in a process of its own\n", format->name);
            return;
        }
    }
    /* What comes after the operation that failed has not run. */
    if (trying.verdict->step > 0 && trying.verdict->step < script->count)
        script->count = trying.verdict->step + 1;
    tries = shrink(script, fails, &trying, TRIES);
    trying.loud = true;
    fails(&trying, script);
    printf("%s, variant %u: fails in operation %zu of %zu:\n    %s\n"
           "%zu operations are left after %zu tries; for tests/support/model_cases.c:\n",
           format->name, script->variant, trying.verdict->step + 1, script->count, trying.verdict->failure,
           script->count, tries);
    script_print(script);
    fflush(stdout);
    munmap(trying.verdict, sizeof(*trying.verdict));
    lab_free(trying.lab);
}
