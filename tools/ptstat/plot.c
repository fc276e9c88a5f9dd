/* See plot.h. The script for gnuplot is written by plot_script.c. */
#include "tools/ptstat/plot.h"
#include "tools/ptstat/find_program.h"
#include "tools/ptstat/plot_script.h"
#include "tools/ptstat/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char gnuplot[PATH_MAX];
static const char *target;
static char unfinished[PATH_MAX]; /* empty: none; exit() takes no argument to its handlers */
static int unfinished_fd = -1;

static void remove_unfinished(void)
{
    if (unfinished[0])
        unlink(unfinished);
}

/* As the file would be if a shell had made it. */
static void set_mode(int fd)
{
    const mode_t mask = umask(0);

    umask(mask);
    if (fchmod(fd, 0666 & ~mask))
        die(EXIT_RUNTIME, "%s: %s", unfinished, strerror(errno));
}

void plot_open(const char *path)
{
    struct stat status;

    if (!find_in_path("gnuplot", gnuplot, sizeof(gnuplot)))
        die(EXIT_RUNTIME, "--plot needs gnuplot, which is not in $PATH: install the package gnuplot-nox");
    if (!lstat(path, &status) && !S_ISREG(status.st_mode))
        die(EXIT_RUNTIME, "--plot: %s is there and no file that could be replaced", path);
    if (snprintf(unfinished, sizeof(unfinished), "%s.XXXXXX", path) >= (int)sizeof(unfinished)) {
        unfinished[0] = '\0';
        die(EXIT_RUNTIME, "--plot: the path is too long");
    }
    target = path;
    unfinished_fd = mkostemp(unfinished, O_CLOEXEC);
    if (unfinished_fd < 0) {
        unfinished[0] = '\0';
        die(EXIT_RUNTIME, "--plot: cannot write %s: %s", path, strerror(errno));
    }
    if (atexit(remove_unfinished))
        die(EXIT_RUNTIME, "out of memory");
    set_mode(unfinished_fd);
}

void panel_add(struct panel *panel, const struct figure *figure, bool is_baseline, const char *name, uint64_t x,
               struct summary y)
{
    struct curve *curve = panel->curves;

    if (figure->unit != panel->unit || !y.count)
        return;
    while (curve < panel->curves + panel->count && strcmp(curve->name, name) != 0)
        curve++;
    if (curve == panel->curves + panel->count) {
        if (panel->count++ == PLOT_CURVES)
            die(EXIT_RUNTIME, "a plot has at most %d curves", PLOT_CURVES);
        *curve = (struct curve){.is_baseline = is_baseline};
        snprintf(curve->name, sizeof(curve->name), "%s", name);
        snprintf(curve->beside, sizeof(curve->beside), "%s", figure->beside);
    }
    if (curve->count == PLOT_POINTS)
        die(EXIT_RUNTIME, "a curve has at most %d points", PLOT_POINTS);
    curve->points[curve->count++] = (struct point){x, y};
}

/* The script is a whole file before gnuplot starts, so that nobody writes to a reader who has gone. */
static int run_gnuplot(FILE *script, FILE *errors)
{
    char *const arguments[] = {"gnuplot", "-", NULL};
    posix_spawn_file_actions_t actions;
    int error, status;
    pid_t child;

    rewind(script);
    if (posix_spawn_file_actions_init(&actions) ||
        posix_spawn_file_actions_adddup2(&actions, fileno(script), STDIN_FILENO) ||
        posix_spawn_file_actions_adddup2(&actions, unfinished_fd, STDOUT_FILENO) ||
        posix_spawn_file_actions_adddup2(&actions, fileno(errors), STDERR_FILENO))
        die(EXIT_RUNTIME, "out of memory");
    error = posix_spawn(&child, gnuplot, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error)
        die(EXIT_RUNTIME, "cannot start %s: %s", gnuplot, strerror(error));
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            die(EXIT_RUNTIME, "cannot wait for gnuplot: %s", strerror(errno));
    return status;
}

/* What gnuplot has said, as far as one line goes. */
static void report_failure(FILE *errors)
{
    char line[256] = "";

    rewind(errors);
    while (fgets(line, sizeof(line), errors) && strspn(line, " \t\r\n^") == strlen(line))
        ;
    line[strcspn(line, "\n")] = '\0';
    die(EXIT_RUNTIME, "gnuplot failed%s%s", *line ? ": " : "", line);
}

void plot_draw(const struct plot *plot)
{
    FILE *script = tmpfile(), *errors = tmpfile();
    struct stat status;

    if (!script || !errors)
        die(EXIT_RUNTIME, "cannot make a temporary file: %s", strerror(errno));
    plot_script(plot, script);
    if (fflush(script))
        die(EXIT_RUNTIME, "cannot write a temporary file: %s", strerror(errno));
    if (run_gnuplot(script, errors) || fstat(unfinished_fd, &status) || !status.st_size)
        report_failure(errors);
    fclose(script);
    fclose(errors);
    if (close(unfinished_fd) || rename(unfinished, target))
        die(EXIT_RUNTIME, "--plot: cannot write %s: %s", target, strerror(errno));
    unfinished[0] = '\0';
}
