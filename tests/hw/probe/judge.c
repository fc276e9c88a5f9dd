/* See judge.h. */
#include "tests/hw/probe/judge.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hw/rom/machine.h"

#define FILE_NAME 32
#define LIMIT_MS  (500 * 1000) /* a hang, however busy the machine is; less than what tests/run gives a program */
#define GIB       (1ull << 30)
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

static void write_file(const struct judge_run *run, enum judge_file file, const void *bytes, size_t size)
{
    if (write(run->files[file], bytes, size) != (ssize_t)size)
        die("no memory for", run->judge->name);
}

/* As the emulator, which inherits it, may open it. */
static const char *file_name(const struct judge_run *run, enum judge_file file, char name[static FILE_NAME])
{
    snprintf(name, FILE_NAME, "/proc/self/fd/%d", run->files[file]);
    return name;
}

/* Bochs wants a VGA BIOS and a debugger's first command. Its memory is small because it starts the slower the more it
 * has; the terminal display needs neither a terminal nor a port. */
static void prepare_bochs(const struct judge_run *run)
{
    static const uint8_t vga[512];
    static const char go[] = "c\n";
    char settings[1024], rom[FILE_NAME], vga_rom[FILE_NAME];

    snprintf(settings, sizeof(settings),
             "cpu: model=%s, count=1, ips=50000000, reset_on_triple_fault=0\n"
             "memory: guest=512, host=512\n"
             "romimage: file=%s\n"
             "vgaromimage: file=%s\n"
             "vga: extension=none\n"
             "display_library: term\n"
             "boot: disk\n"
             "plugin_ctrl: speaker=0\n" /* or it looks for a sound card */
             "port_e9_hack: enabled=1\n"
             "panic: action=fatal\n"
             "log: /dev/null\n",
             run->judge->cpu, file_name(run, FILE_ROM, rom), file_name(run, FILE_VGA, vga_rom));
    write_file(run, FILE_VGA, vga, sizeof(vga));
    write_file(run, FILE_COMMANDS, go, sizeof(go) - 1);
    write_file(run, FILE_SETTINGS, settings, strlen(settings));
}

static _Noreturn void execute_bochs(const struct judge_run *run)
{
    char settings[FILE_NAME], commands[FILE_NAME];

    setenv("TERM", "dumb", 1);
    execlp("bochs-bin", "bochs-bin", "-q", "-f", file_name(run, FILE_SETTINGS, settings), "-rc",
           file_name(run, FILE_COMMANDS, commands), (char *)NULL);
    die("cannot run bochs-bin, of the Debian packages bochs and bochs-term:", "`.ci/packages check` installs them");
}

/* Much RAM, of which only what is touched is ever there: so no huge pages. */
static _Noreturn void execute_qemu(const struct judge_run *run)
{
    char rom[FILE_NAME], out[FILE_NAME], console[FILE_NAME + 8];

    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0)
        die("cannot do without huge pages for", run->judge->name);
    snprintf(console, sizeof(console), "file:%s", file_name(run, FILE_OUT, out));
    execlp("qemu-system-x86_64", "qemu-system-x86_64", "-accel", "tcg", "-machine", "q35,memory-backend=ram", "-object",
           "memory-backend-ram,id=ram,size=512G,reserve=off", "-m", "512G", "-cpu", run->judge->cpu, "-nodefaults",
           "-no-user-config", "-display", "none", "-no-reboot", "-bios", file_name(run, FILE_ROM, rom), "-debugcon",
           console, "-device", "isa-debug-exit,iobase=0x501,iosize=4", (char *)NULL);
    die("cannot run qemu-system-x86_64, of the Debian package qemu-system-x86:", "`.ci/packages check` installs it");
}

static _Noreturn void execute(const struct judge_run *run, pid_t parent)
{
    bool is_bochs = run->judge->emulator == JUDGE_BOCHS;
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (dup2(run->files[FILE_COMPLAINT], STDERR_FILENO) < 0)
        _exit(2);
    /* An emulator does not outlive the test, however that ends. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || chdir("/") != 0 ||
        dup2(nothing, STDIN_FILENO) < 0 || dup2(run->files[is_bochs ? FILE_OUT : FILE_COMPLAINT], STDOUT_FILENO) < 0)
        die("cannot set up", run->judge->name);
    for (unsigned i = 0; i < FILES; i++)
        if (fcntl(run->files[i], F_SETFD, 0) < 0)
            die("cannot pass files to", run->judge->name);
    if (is_bochs)
        execute_bochs(run);
    execute_qemu(run);
}

void judge_start(struct judge_run *run, const struct judge *judge, const uint8_t *rom)
{
    pid_t parent = getpid();

    run->judge = judge;
    for (unsigned i = 0; i < FILES; i++) {
        run->files[i] = memfd_create("cleave-probe", MFD_CLOEXEC);
        if (run->files[i] < 0)
            die("cannot make files for", judge->name);
    }
    write_file(run, FILE_ROM, rom, ROM_SIZE);
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

static void read_file(const struct judge_run *run, enum judge_file file, struct judge_output *output)
{
    off_t size = lseek(run->files[file], 0, SEEK_END);

    *output = (struct judge_output){.size = (size_t)size, .bytes = size < 0 ? NULL : calloc(1, (size_t)size + 1)};
    if (!output->bytes || pread(run->files[file], output->bytes, output->size, 0) != size)
        die("cannot read what was said by", run->judge->name);
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
    read_file(run, FILE_OUT, output);
    good = has_ended(output);
    if (!good) {
        free(output->bytes);
        read_file(run, FILE_COMPLAINT, output);
    }
    for (unsigned i = 0; i < FILES; i++)
        close(run->files[i]);
    return good;
}
