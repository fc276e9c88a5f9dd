/*
 * What cannot be launched: bad files, absurd options, a machine without KVM. Each is answered with one line on stderr
 * that names the thing, exit status 125, and nothing else.
 */
#include "tests/support/kvm_rig.h"

#include <elf.h>
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

/* A path in the test's temporary folder. */
static const char *place(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", getenv("TMPDIR"), name);
    return path;
}

static const char *write_file(const char *name, const void *bytes, size_t length)
{
    const char *path = place(name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

START_TEST(files_that_are_no_guests_are_refused)
{
    REFUSED(RUN("/nonexistent/guest"), "/nonexistent/guest");
    REFUSED(RUN(getenv("TMPDIR")), getenv("TMPDIR"), "directory");
    REFUSED(RUN(write_file("empty", "", 0)), "/empty", "empty");
    REFUSED(RUN("/dev/null"), "/dev/null");
    REFUSED(RUN(""), "guest");
    const char *fifo = place("fifo"); /* must not be waited for */
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    REFUSED(RUN(fifo), "/fifo");
    unlink(fifo);
}
END_TEST

START_TEST(guest_larger_than_ram_is_refused)
{
    const char *path = write_file("large", "x", 1);
    ck_assert_int_eq(truncate(path, 100 << 20), 0); /* sparse */
    REFUSED(RUN(path), "/large", "--memory");
    ck_assert_int_eq(truncate(path, INT64_C(1) << 40), 0);
    REFUSED(RUN(path), "/large", "--memory");
    ck_assert_int_eq(truncate(path, (6 << 20) + 1), 0);
    REFUSED(RUN("--memory", "8M", path), "/large", "--memory");
    unlink(path);
}
END_TEST

/* A small ELF file with two segments, right until a test spoils it. */
struct elf {
    Elf64_Ehdr header;
    Elf64_Phdr segments[2];
    uint8_t code[64];
};

static struct elf new_elf(void)
{
    struct elf elf = {
        .header =
            {
                .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                .e_type = ET_EXEC,
                .e_machine = EM_X86_64,
                .e_version = EV_CURRENT,
                .e_entry = 0x200000,
                .e_phoff = offsetof(struct elf, segments),
                .e_ehsize = sizeof(Elf64_Ehdr),
                .e_phentsize = sizeof(Elf64_Phdr),
                .e_phnum = 2,
            },
    };
    for (unsigned i = 0; i < 2; i++)
        elf.segments[i] = (Elf64_Phdr){
            .p_type = PT_LOAD,
            .p_flags = PF_R | PF_X,
            .p_offset = offsetof(struct elf, code),
            .p_vaddr = (2 + i) * MIB,
            .p_paddr = (2 + i) * MIB,
            .p_filesz = sizeof elf.code,
            .p_memsz = sizeof elf.code,
        };
    /* mov $21, %eax; mov $0xf4, %edx; out %eax, %dx: exits with 21 */
    static const uint8_t code[] = {0xb8, 21, 0, 0, 0, 0xba, 0xf4, 0, 0, 0, 0xef, 0xf4};
    memcpy(elf.code, code, sizeof code);
    return elf;
}

static const char *write_elf(const struct elf *elf, size_t length)
{
    return write_file("guest.elf", elf, length);
}

START_TEST(the_elf_file_that_the_next_tests_spoil_is_a_guest)
{
    const struct elf elf = new_elf();
    struct outcome outcome = RUN("--memory", "8M", write_elf(&elf, sizeof elf));
    ck_assert_msg(outcome.status == 21, "exit status %d: %s", outcome.status, outcome.errors);
    outcome_free(&outcome);
}
END_TEST

START_TEST(truncated_elf_is_refused_wherever_it_ends)
{
    const struct elf elf = new_elf();
    for (size_t length = SELFMAG; length < sizeof elf; length += length < 80 ? 12 : 40)
        REFUSED(RUN("--memory", "8M", write_elf(&elf, length)), "guest.elf", "truncated");
    REFUSED(RUN("--memory", "8M", write_elf(&elf, sizeof elf - 1)), "guest.elf", "truncated");
    struct elf far = new_elf();
    far.segments[1].p_offset = UINT64_MAX - 10;
    REFUSED(RUN("--memory", "8M", write_elf(&far, sizeof far)), "guest.elf", "truncated");
}
END_TEST

#define REFUSED_ELF(elf, ...) REFUSED(RUN("--memory", "8M", write_elf(&(elf), sizeof(elf))), "guest.elf", __VA_ARGS__)

START_TEST(elf_with_overlapping_segments_is_refused)
{
    struct elf elf = new_elf();
    elf.segments[1].p_paddr = elf.segments[0].p_paddr;
    REFUSED_ELF(elf, "overlap");
    elf.segments[1].p_paddr = elf.segments[0].p_paddr + sizeof elf.code - 1;
    REFUSED_ELF(elf, "overlap");
    elf = new_elf();
    elf.segments[0].p_memsz = MIB + 1; /* by what is zero-filled */
    REFUSED_ELF(elf, "overlap");
}
END_TEST

START_TEST(elf_with_segments_out_of_range_is_refused)
{
    static const uint64_t addresses[] = {0, 0x1000, MIB - 1, 8 * MIB - 1, 8 * MIB, 1 << 30, INT64_MAX, UINT64_MAX - 8};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct elf elf = new_elf();
        elf.segments[1].p_paddr = addresses[i];
        REFUSED_ELF(elf, "segment");
    }
    static const uint64_t sizes[] = {5 * MIB + 1, 8 * MIB, UINT64_C(1) << 40, UINT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct elf elf = new_elf();
        elf.segments[1].p_memsz = sizes[i];
        REFUSED_ELF(elf, "segment", "--memory");
    }
    struct elf elf = new_elf();
    elf.segments[1].p_filesz = elf.segments[1].p_memsz + 1;
    REFUSED_ELF(elf, "segment");
}
END_TEST

START_TEST(elf_of_another_kind_is_refused)
{
    struct elf elf = new_elf();
    elf.header.e_machine = EM_AARCH64;
    REFUSED_ELF(elf, "x86-64");
    elf = new_elf();
    elf.header.e_ident[EI_CLASS] = ELFCLASS32;
    REFUSED_ELF(elf, "64-bit");
    elf = new_elf();
    elf.header.e_type = ET_DYN;
    REFUSED_ELF(elf, "-static");
    elf = new_elf();
    elf.header.e_phnum = 0;
    REFUSED_ELF(elf, "program headers");
    elf = new_elf();
    elf.header.e_phnum = 60000;
    REFUSED_ELF(elf, "program headers");
    elf = new_elf();
    elf.header.e_phoff = UINT64_MAX - 3;
    REFUSED_ELF(elf, "truncated");
    elf = new_elf();
    elf.header.e_entry = 0x600000;
    REFUSED_ELF(elf, "entry");
}
END_TEST

START_TEST(absurd_memory_sizes_are_refused)
{
    static const char *const sizes[] = {"0",
                                        "1E",
                                        "-1",
                                        "",
                                        "M",
                                        "1.5M",
                                        "64MB",
                                        "0x100000",
                                        "1 M",
                                        " 64M",
                                        "+8M",
                                        "8M ",
                                        "3M",
                                        "1K",
                                        "4097K",
                                        "65G",
                                        "64G1",
                                        "8P",
                                        "4194305",
                                        "18446744073709551615",
                                        "99999999999999999999",
                                        "17179869184G"};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        REFUSED(RUN("--memory", sizes[i], "@hello"), "--memory", sizes[i]);
}
END_TEST

START_TEST(sizes_without_a_suffix_are_said_to_be_bytes)
{
    REFUSED(RUN("--memory", "128", "@hello"), "--memory 128", "bytes");
    REFUSED(RUN("--memory", "4194305", "@hello"), "--memory 4194305", "bytes");
    REFUSED(RUN("--limit-overlay", "64", "@hello"), "--limit-overlay 64", "bytes");
    struct outcome outcome = RUN("--memory", "1K", "@hello"); /* nothing to be mistaken about */
    ck_assert_ptr_null(strstr(outcome.errors, "bytes"));
    outcome_free(&outcome);
}
END_TEST

START_TEST(fifo_that_nobody_reads_is_no_console_and_not_waited_for)
{
    char option[600];
    snprintf(option, sizeof option, "file:%s", place("console"));
    ck_assert_int_eq(mkfifo(option + 5, 0600), 0);
    REFUSED(RUN("--console", option, "@hello"), option, "FIFO", "reader");
    unlink(option + 5);
}
END_TEST

START_TEST(absurd_options_are_refused)
{
    static const struct {
        const char *option, *value;
    } bad[] = {
        {"--cpus", "0"},         {"--cpus", "9"},          {"--cpus", "-1"},  {"--cpus", "two"},      {"--cpus", ""},
        {"--cpus", "1.0"},       {"--cpus", "4294967297"}, {"--cpl", "1"},    {"--cpl", "2"},         {"--cpl", "03"},
        {"--cpl", ""},           {"--console", "tty"},     {"--console", ""}, {"--console", "file:"}, {"--log", "loud"},
        {"--limit-guests", "0"}, {"--limit-guests", "-5"}, {"--control", ""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        REFUSED(RUN(bad[i].option, bad[i].value, "@hello"), bad[i].option, bad[i].value);
    REFUSED(RUN("--console", "file:/nonexistent/x", "@hello"), "/nonexistent/x");
    REFUSED(RUN("--control", "/nonexistent/x", "@hello"), "/nonexistent/x");
    char path[200];
    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    REFUSED(RUN("--control", path, "@hello"), "xxx"); /* longer than a socket's address can be */
}
END_TEST

START_TEST(unknown_options_and_missing_guests_are_one_line)
{
    REFUSED(rig_run((const char *const[]){NULL}), "guest");
    REFUSED(RUN("--bogus", "@hello"), "--bogus", "see vmm --help");
    REFUSED(RUN("-x", "@hello"), "x", "see vmm --help");
    REFUSED(RUN("--memory"), "--memory", "see vmm --help");
    REFUSED(RUN("--paused=1", "@hello"), "--paused", "see vmm --help");
    REFUSED(RUN("--re", "@hello"), "--re", "see vmm --help"); /* --restore or --restore-eager? */
    REFUSED(RUN("--linger"), "guest");
}
END_TEST

/* Before the file is looked at. */
START_TEST(options_that_do_not_go_with_a_restore_are_refused)
{
    static const char *const machine[][2] = {{"--memory", "64M"}, {"--cpus", "1"}, {"--cpl", "0"}};
    for (size_t i = 0; i < sizeof machine / sizeof *machine; i++) {
        REFUSED(RUN(machine[i][0], machine[i][1], "--restore", "file"), machine[i][0], "--restore");
        REFUSED(RUN("--restore", "file", machine[i][0], machine[i][1]), machine[i][0], "--restore");
    }
    REFUSED(RUN("--restore", "file", "@hello"), "--restore", "hello");
    REFUSED(RUN("--restore", "file", ""), "--restore");
    REFUSED(RUN("--restore", ""), "--restore", "empty");
    REFUSED(RUN("--restore"), "--restore");
    REFUSED(RUN("--restore-eager"), "--restore-eager");
    REFUSED(RUN("--restore-eager", "@hello"), "--restore-eager", "--restore FILE");
}
END_TEST

START_TEST(arguments_that_do_not_fit_are_refused)
{
    static char word[100000];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    REFUSED(RUN("@hello", word), "arguments");
}
END_TEST

START_TEST(live_control_socket_is_left_alone_and_a_stale_one_replaced)
{
    struct rig rig = RIG("--memory", "8M", "@counter", "quiet=1");
    char path[512];
    snprintf(path, sizeof path, "%s", vmm_process_socket(rig.process));
    REFUSED(RUN("--control", path, "@hello"), path);
    ck_assert(rig_state_is(&rig, 0, "running"));
    vmm_process_signal(rig.process, SIGKILL);
    vmm_process_wait(rig.process, RIG_PATIENCE_MS);
    ck_assert_int_eq(access(path, F_OK), 0);
    struct outcome outcome = RUN("--control", path, "@hello");
    ck_assert_msg(outcome.status == 0, "%s", outcome.errors);
    outcome_free(&outcome);
    ck_assert_int_ne(access(path, F_OK), 0); /* and it has taken it away with it */
    client_close(rig.client);
    vmm_process_end(rig.process);

    const char *file = write_file("precious", "x", 1);
    REFUSED(RUN("--control", file, "@hello"), "precious");
    ck_assert_int_eq(access(file, F_OK), 0); /* what is no socket is nobody's to replace */
}
END_TEST

/* A mount namespace of its own, in which this test can hide /dev/kvm. */
static void enter_namespace(void)
{
    int flags = CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0);
    ck_assert_msg(unshare(flags) == 0, "this test needs a mount namespace: %s", strerror(errno));
    ck_assert_msg(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "%s", strerror(errno));
}

static void cover(const char *with, const char *path)
{
    ck_assert_msg(mount(with, path, NULL, MS_BIND, NULL) == 0, "cannot cover %s: %s", path, strerror(errno));
}

START_TEST(missing_dev_kvm_is_named)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s", place("dev"));
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    write_file("dev/null", "", 0); /* what the test itself needs of /dev */
    enter_namespace();
    cover(folder, "/dev");
    ck_assert_int_ne(access("/dev/kvm", F_OK), 0);
    REFUSED(RUN("@hello"), "/dev/kvm");
}
END_TEST

START_TEST(unreadable_dev_kvm_is_named)
{
    char path[512];
    snprintf(path, sizeof path, "%s", write_file("kvm", "", 0));
    ck_assert_int_eq(chmod(path, 0), 0);
    enter_namespace();
    cover(path, "/dev/kvm");
    /* Without these the programs that root starts may open only what the mode allows. */
    if (geteuid() == 0) {
        ck_assert_int_eq(prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0), 0);
        ck_assert_int_eq(prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH, 0, 0, 0), 0);
    }
    REFUSED(RUN("@hello"), "/dev/kvm", "Permission denied", "mode is 000"); /* joining a group would not help */
}
END_TEST

START_TEST(dev_kvm_that_is_something_else_is_named)
{
    enter_namespace();
    cover("/dev/null", "/dev/kvm");
    REFUSED(RUN("@hello"), "/dev/kvm");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("launch_refused");
    TCase *tests = tcase_create("refused");
    tcase_set_timeout(tests, RIG_TIMEOUT_S);
    tcase_add_test(tests, files_that_are_no_guests_are_refused);
    tcase_add_test(tests, guest_larger_than_ram_is_refused);
    tcase_add_test(tests, the_elf_file_that_the_next_tests_spoil_is_a_guest);
    tcase_add_test(tests, truncated_elf_is_refused_wherever_it_ends);
    tcase_add_test(tests, elf_with_overlapping_segments_is_refused);
    tcase_add_test(tests, elf_with_segments_out_of_range_is_refused);
    tcase_add_test(tests, elf_of_another_kind_is_refused);
    tcase_add_test(tests, absurd_memory_sizes_are_refused);
    tcase_add_test(tests, sizes_without_a_suffix_are_said_to_be_bytes);
    tcase_add_test(tests, fifo_that_nobody_reads_is_no_console_and_not_waited_for);
    tcase_add_test(tests, absurd_options_are_refused);
    tcase_add_test(tests, unknown_options_and_missing_guests_are_one_line);
    tcase_add_test(tests, options_that_do_not_go_with_a_restore_are_refused);
    tcase_add_test(tests, arguments_that_do_not_fit_are_refused);
    tcase_add_test(tests, live_control_socket_is_left_alone_and_a_stale_one_replaced);
    tcase_add_test(tests, missing_dev_kvm_is_named);
    tcase_add_test(tests, unreadable_dev_kvm_is_named);
    tcase_add_test(tests, dev_kvm_that_is_something_else_is_named);
    suite_add_tcase(suite, tests);
    return rig_main(suite);
}
