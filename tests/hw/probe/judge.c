/* See judge.h. */
#include "tests/hw/probe/judge.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hw/rom/machine.h"

#define LIMIT_MS (120 * 1000)
#define GIB      (1ull << 30)
#define BOCHS_RAM                                                                                                      \
    {                                                                                                                  \
        {PROBE_FRAMES_PA, GIB / 2},                                                                                    \
        {                                                                                                              \
            0, 0                                                                                                       \
        }                                                                                                              \
    }
#define QEMU_RAM                                                                                                       \
    {                                                                                                                  \
        {PROBE_FRAMES_PA, 2 * GIB},                                                                                    \
        {                                                                                                              \
            4 * GIB, 514 * GIB                                                                                         \
        }                                                                                                              \
    }

#define EPT_QUIRKS  (QUIRK_EPT_BIT12 | QUIRK_WALK_WRITE_ONLY)
#define QEMU_QUIRKS (QUIRK_RESERVED_NO_P | QUIRK_A_BEFORE_FAULT)

const struct judge judges[JUDGES] = {
    [SKYLAKE] = {"Bochs corei7_skylake_x (EPT)", JUDGE_BOCHS, "corei7_skylake_x", PROBE_EPT, 4, 4, EPT_QUIRKS, true,
                 BOCHS_RAM},
    [HASWELL] = {"Bochs corei7_haswell_4770 (EPT)", JUDGE_BOCHS, "corei7_haswell_4770", PROBE_EPT, 4, 4, EPT_QUIRKS,
                 true, BOCHS_RAM},
    [BROADWELL] = {"Bochs broadwell_ult (EPT)", JUDGE_BOCHS, "broadwell_ult", PROBE_EPT, 4, 4, EPT_QUIRKS, true,
                   BOCHS_RAM},
    [RYZEN] = {"Bochs ryzen (NPT)", JUDGE_BOCHS, "ryzen", PROBE_X86, 4, 4, 0, true, BOCHS_RAM},
    [EPYC] = {"QEMU EPYC (NPT)", JUDGE_QEMU, "EPYC,+svm,+npt", PROBE_X86, 4, 4, QEMU_QUIRKS, false, QEMU_RAM},
    [EPYC5] = {"QEMU EPYC with LA57 (NPT)", JUDGE_QEMU, "EPYC,+svm,+npt,+la57", PROBE_X86, 5, 5, QEMU_QUIRKS, false,
               QEMU_RAM},
};

static _Noreturn void die(const char *what, const char *which)
{
    fprintf(stderr, "%s %s: %s\n", what, which, strerror(errno));
    exit(2);
}

static void file_name(const struct judge_run *run, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", run->folder, name);
}

static void write_file(const struct judge_run *run, const char *name, const void *bytes, size_t size)
{
    char path[sizeof(run->folder) + 16];
    FILE *file;

    file_name(run, name, path, sizeof(path));
    file = fopen(path, "we");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        die("cannot write", path);
}

__attribute__((format(printf, 3, 4))) static void write_text(const struct judge_run *run, const char *name,
                                                             const char *format, ...)
{
    char text[4096];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    write_file(run, name, text, strlen(text));
}

static void redirect(int descriptor, const char *path)
{
    int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

    if (file < 0 || dup2(file, descriptor) < 0)
        die("cannot open", path);
}

/* Bochs wants a VGA BIOS and a debugger's first command. Its memory is small because it starts the slower the more it
 * has; the terminal display needs neither a terminal nor a port. */
static void prepare_bochs(const struct judge_run *run)
{
    static const uint8_t vga[512];

    write_file(run, "vga", vga, sizeof(vga));
    write_text(run, "go", "c\n");
    write_text(run, "rc",
               "cpu: model=%s, count=1, ips=50000000, reset_on_triple_fault=0\n"
               "memory: guest=512, host=512\n"
               "romimage: file=%s/rom\n"
               "vgaromimage: file=%s/vga\n"
               "vga: extension=none\n"
               "display_library: term\n"
               "boot: disk\n"
               "plugin_ctrl: speaker=0\n" /* or it looks for a sound card */
               "port_e9_hack: enabled=1\n"
               "panic: action=fatal\n"
               "log: %s/log\n",
               run->judge->cpu, run->folder, run->folder, run->folder);
}

static _Noreturn void execute_bochs(void)
{
    redirect(STDOUT_FILENO, "out");
    redirect(STDERR_FILENO, "complaint");
    setenv("TERM", "dumb", 1);
    execlp("bochs-bin", "bochs-bin", "-q", "-f", "rc", "-rc", "go", (char *)NULL);
    die("cannot run bochs-bin, of the Debian packages bochs and bochs-term:", "`.ci/packages check` installs them");
}

/* Much RAM, of which only what is touched is ever there: so no huge pages. */
static _Noreturn void execute_qemu(const struct judge *judge)
{
    redirect(STDOUT_FILENO, "complaint");
    redirect(STDERR_FILENO, "complaint");
    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0)
        die("cannot do without huge pages for", judge->name);
    execlp("qemu-system-x86_64", "qemu-system-x86_64", "-accel", "tcg", "-machine", "q35,memory-backend=ram", "-object",
           "memory-backend-ram,id=ram,size=512G,reserve=off", "-m", "512G", "-cpu", judge->cpu, "-nodefaults",
           "-no-user-config", "-display", "none", "-no-reboot", "-bios", "rom", "-debugcon", "file:out", "-device",
           "isa-debug-exit,iobase=0x501,iosize=4", (char *)NULL);
    die("cannot run qemu-system-x86_64, of the Debian package qemu-system-x86:", "`.ci/packages check` installs it");
}

static _Noreturn void execute(const struct judge_run *run, pid_t parent)
{
    /* An emulator does not outlive the test, however that ends. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || chdir(run->folder) != 0)
        die("cannot enter", run->folder);
    redirect(STDIN_FILENO, "/dev/null");
    if (run->judge->emulator == JUDGE_BOCHS)
        execute_bochs();
    execute_qemu(run->judge);
}

void judge_start(struct judge_run *run, const struct judge *judge, const uint8_t *rom)
{
    const char *folder = getenv("TMPDIR");
    pid_t parent = getpid();

    run->judge = judge;
    snprintf(run->folder, sizeof(run->folder), "%s/cleave-probe-XXXXXX", folder && *folder ? folder : "/tmp");
    if (!mkdtemp(run->folder))
        die("cannot make", run->folder);
    write_file(run, "rom", rom, ROM_SIZE);
    if (judge->emulator == JUDGE_BOCHS)
        prepare_bochs(run);
    run->pid = fork();
    if (run->pid < 0)
        die("cannot fork for", judge->name);
    if (run->pid == 0)
        execute(run, parent);
    run->pidfd = pidfd_open(run->pid, 0);
    if (run->pidfd < 0)
        die("cannot watch", judge->name);
}

static bool read_file(const struct judge_run *run, const char *name, struct judge_output *output)
{
    char path[sizeof(run->folder) + 16];
    FILE *file;
    long size;

    file_name(run, name, path, sizeof(path));
    file = fopen(path, "re");
    if (!file)
        return false;
    if (fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) != 0)
        die("cannot read", path);
    output->size = (size_t)size;
    output->bytes = calloc(1, output->size + 1);
    if (!output->bytes || fread(output->bytes, 1, output->size, file) != output->size)
        die("cannot read", path);
    fclose(file);
    return true;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    return remove(path);
}

/* The last line says how it went: the exit status of Bochs is 1 in any case. */
static bool has_ended(const struct judge_output *output)
{
    return memmem(output->bytes, output->size, "\nEND ok\n", 8) != NULL;
}

bool judge_finish(struct judge_run *run, struct judge_output *output)
{
    struct pollfd event = {.fd = run->pidfd, .events = POLLIN};
    bool good;

    if (poll(&event, 1, LIMIT_MS) != 1) {
        fprintf(stderr, "%s: stopped after %d seconds\n", run->judge->name, LIMIT_MS / 1000);
        kill(run->pid, SIGKILL);
    }
    waitpid(run->pid, NULL, 0);
    close(run->pidfd);
    *output = (struct judge_output){0};
    good = read_file(run, "out", output) && has_ended(output);
    if (!good) {
        free(output->bytes);
        *output = (struct judge_output){0};
        if (!read_file(run, "complaint", output))
            output->bytes = calloc(1, 1);
    }
    nftw(run->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return good;
}
