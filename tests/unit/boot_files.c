/* Guest files by kind: what is loaded where, and what every file that cannot be a guest is answered with. */
#include "tests/unit/boot_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

#define NOBODY 65534

static struct boot_entry entry;
static struct cleave_failure failure;

START_TEST(flat_binary_is_loaded_and_entered_at_the_load_address)
{
    const struct boot_ram ram = make_ram(8 * MIB);
    const uint8_t code[] = {0x90, 0xf4, 0x01, 0x02, 0x03};
    ck_assert_int_eq(load_bytes(&ram, code, sizeof code, &entry, &failure), 0);
    ck_assert_uint_eq(entry.rip, GUEST_LOAD_ADDRESS);
    ck_assert_uint_eq(entry.boot_info, BOOT_INFO_GPA);
    ck_assert_mem_eq(ram.base + GUEST_LOAD_ADDRESS, code, sizeof code);
    ck_assert_uint_eq(ram.base[GUEST_LOAD_ADDRESS + sizeof code], 0);
}
END_TEST

START_TEST(flat_binary_may_fill_ram_to_its_last_byte_but_not_beyond)
{
    const struct boot_ram ram = make_ram(3 * MIB);
    uint8_t *bytes = calloc(1, MIB + 1);
    bytes[MIB - 1] = 0x5a;
    ck_assert_int_eq(load_bytes(&ram, bytes, MIB, &entry, &failure), 0);
    ck_assert_uint_eq(ram.base[3 * MIB - 1], 0x5a);
    ck_assert_int_eq(load_bytes(&ram, bytes, MIB + 1, &entry, &failure), -1);
    assert_says(&failure, "give more --memory");
    free(bytes);
}
END_TEST

START_TEST(empty_file_is_refused)
{
    const struct boot_ram ram = make_ram(8 * MIB);
    ck_assert_int_eq(load_bytes(&ram, "", 0, &entry, &failure), -1);
    assert_says(&failure, "is empty");
    assert_says(&failure, "/tmp/boot-test-");
}
END_TEST

START_TEST(directory_is_refused)
{
    const struct boot_ram ram = make_ram(8 * MIB);
    ck_assert_int_eq(load_path(&ram, "/tmp", &entry, &failure), -1);
    assert_says(&failure, "/tmp: is a directory");
}
END_TEST

START_TEST(missing_file_is_refused)
{
    const struct boot_ram ram = make_ram(8 * MIB);
    ck_assert_int_eq(load_path(&ram, "/nonexistent/guest.bin", &entry, &failure), -1);
    assert_says(&failure, "/nonexistent/guest.bin: cannot open the guest");
    assert_says(&failure, "No such file");
}
END_TEST

START_TEST(unreadable_file_is_refused)
{
    const struct boot_ram ram = make_ram(8 * MIB);
    char path[GUEST_PATH_BYTES];
    write_guest(path, "x", 1);
    ck_assert_int_eq(chmod(path, 0), 0);
    const bool root = geteuid() == 0; /* root can read anything */
    if (root)
        ck_assert_int_eq(seteuid(NOBODY), 0);
    const int result = load_path(&ram, path, &entry, &failure);
    if (root)
        ck_assert_int_eq(seteuid(0), 0);
    unlink(path);
    ck_assert_int_eq(result, -1);
    assert_says(&failure, "Permission denied");
}
END_TEST

START_TEST(fifo_is_refused_without_waiting_for_a_writer)
{
    const struct boot_ram ram = make_ram(8 * MIB);
    char path[GUEST_PATH_BYTES];
    write_guest(path, "x", 1);
    unlink(path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    const int result = load_path(&ram, path, &entry, &failure);
    unlink(path);
    ck_assert_int_eq(result, -1);
    assert_says(&failure, "is not a regular file");
}
END_TEST

START_TEST(device_is_refused)
{
    const struct boot_ram ram = make_ram(8 * MIB);
    ck_assert_int_eq(load_path(&ram, "/dev/zero", &entry, &failure), -1);
    assert_says(&failure, "is not a regular file");
}
END_TEST

START_TEST(message_has_room_for_the_problem_of_a_long_path)
{
    const struct boot_ram ram = make_ram(8 * MIB);
    char path[3000];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    ck_assert_int_eq(load_path(&ram, path, &entry, &failure), -1);
    assert_says(&failure, "x: cannot open the guest");
}
END_TEST

START_TEST(bzimage_is_unsupported_for_now)
{
    const struct boot_ram ram = make_ram(8 * MIB);
    uint8_t image[1024] = {0};
    image[0x1fe] = 0x55;
    image[0x1ff] = 0xaa;
    memcpy(image + 0x202, "HdrS", 4);
    ck_assert_int_eq(load_bytes(&ram, image, sizeof image, &entry, &failure), -1);
    ck_assert_int_eq(failure.kind, CLEAVE_UNSUPPORTED);
    assert_says(&failure, "bzImage");

    /* Cut off inside its magic it is no bzImage, and loads as the flat binary it may be. */
    ck_assert_int_eq(load_bytes(&ram, image, 0x205, &entry, &failure), 0);
}
END_TEST

static int load_config(uint64_t ram_bytes, struct boot_config config)
{
    const struct boot_ram ram = make_ram(ram_bytes);
    char path[GUEST_PATH_BYTES];
    write_guest(path, "x", 1);
    config.path = path;
    memset(&failure, 0, sizeof failure);
    const int result = boot_load(&ram, &config, &entry, &failure);
    unlink(path);
    return result;
}

START_TEST(impossible_machines_are_refused)
{
    ck_assert_int_eq(load_config(2 * MIB, (struct boot_config){.cpus = 1}), -1);
    assert_says(&failure, "--memory");
    ck_assert_int_eq(load_config(64 * GIB + PAGE_BYTES, (struct boot_config){.cpus = 1}), -1);
    assert_says(&failure, "--memory");
    ck_assert_int_eq(load_config(4 * MIB, (struct boot_config){.cpus = 0}), -1);
    assert_says(&failure, "--cpus");
    ck_assert_int_eq(load_config(4 * MIB, (struct boot_config){.cpus = GUEST_MAX_CPUS + 1}), -1);
    assert_says(&failure, "--cpus");
    ck_assert_int_eq(load_config(4 * MIB, (struct boot_config){.cpus = 1, .cpl = 1}), -1);
    assert_says(&failure, "--cpl");

    const struct boot_ram ragged = {.base = make_ram(4 * MIB).base, .size = 4 * MIB - 1};
    ck_assert_int_eq(load_path(&ragged, "/dev/null", &entry, &failure), -1);
    assert_says(&failure, "--memory");
}
END_TEST

START_TEST(boot_info_is_as_the_abi_says)
{
    const struct boot_ram ram = make_ram(16 * MIB);
    char path[GUEST_PATH_BYTES];
    write_guest(path, "x", 1);
    const struct boot_config config = {.path = path, .args = "key=value other", .cpus = 5, .cpl = 3};
    ck_assert_int_eq(boot_load(&ram, &config, &entry, &failure), 0);
    unlink(path);

    struct boot_info info;
    memcpy(&info, ram.base + BOOT_INFO_GPA, sizeof info);
    ck_assert_mem_eq(info.magic, "CLEAVE01", 8);
    ck_assert_uint_eq(info.version, 1);
    ck_assert_uint_eq(info.cpus, 5);
    ck_assert_uint_eq(info.ram_bytes, 16 * MIB);
    ck_assert_uint_eq(info.guest_id, 0);
    ck_assert_uint_eq(info.generation, 0);
    ck_assert_uint_eq(info.args_length, strlen(config.args));
    ck_assert_str_eq((const char *)ram.base + BOOT_INFO_GPA + 80, config.args);
    ck_assert_uint_eq(entry.cpl, 3);
}
END_TEST

START_TEST(arguments_may_fill_boot_info_but_not_overflow_it)
{
    const size_t longest = INFO_BYTES - sizeof(struct boot_info) - 1;
    char *args = malloc(longest + 2);
    memset(args, 'a', longest + 1);
    args[longest] = 0;
    const struct boot_ram ram = make_ram(4 * MIB);
    const struct boot_config config = {.path = "", .args = args, .cpus = 1};
    ck_assert_int_eq(boot_make_info(&ram, &config, &failure), 0);
    ck_assert_str_eq((const char *)ram.base + BOOT_INFO_GPA + 80, args);
    ck_assert_uint_eq(ram.base[INFO_BASE + INFO_BYTES], 0);

    args[longest] = 'a';
    args[longest + 1] = 0;
    ck_assert_int_eq(boot_make_info(&ram, &config, &failure), -1);
    assert_says(&failure, "arguments");
    free(args);

    ck_assert_int_eq(load_config(4 * MIB, (struct boot_config){.cpus = 1, .args = NULL}), 0);
}
END_TEST

START_TEST(files_that_plainly_are_no_guests_are_named_for_what_they_are)
{
    static const struct {
        const char *bytes, *says, *remedy;
        size_t length, at;
    } kinds[] = {
        {"#!/bin/sh\nexit 0\n", "script", "guest/README.md", 17, 0},
        {"int main(void) { return 0; } /* \xc3\xa4 */\r\n", "text", "guest/README.md", 0, 0},
        {"CLVSNAP\n", "snapshot", "--restore", 8, 0},
        {"PTIMAGE", "page table", "ptdump", 8, 0},
        {"\x1f\x8b\x08", "gzip", "unpack", 3, 0},
        {"\xfd\x37zXZ", "xz", "unpack", 6, 0},
        {"\x28\xb5\x2f\xfd", "zstd", "unpack", 4, 0},
        {"BZh9", "bzip2", "unpack", 4, 0},
        {"PK\3\4", "zip", "unpack", 4, 0},
        {"ustar", "tar", "unpack", 5, 257},
        {"!<arch>\n", "ar archive", "guest/README.md", 8, 0},
        {"QFI\xfb", "qcow2", "guest/README.md", 4, 0},
        {"\xcf\xfa\xed\xfe", "macOS", "guest/README.md", 4, 0},
        {"\0asm", "WebAssembly", "guest/README.md", 4, 0},
        {"\xca\xfe\xba\xbe", "Java", "guest/README.md", 4, 0},
    };
    const struct boot_ram ram = make_ram(4 * MIB);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char file[1024] = {0};
        const bool whole = !kinds[i].length; /* nothing follows it */
        memcpy(file + kinds[i].at, kinds[i].bytes, whole ? strlen(kinds[i].bytes) : kinds[i].length);
        const size_t length = whole ? strlen(kinds[i].bytes) : sizeof file;
        ck_assert_msg(load_bytes(&ram, file, length, &entry, &failure) == -1, "a guest is %s", kinds[i].says);
        assert_says(&failure, kinds[i].says);
        assert_says(&failure, kinds[i].remedy);
    }
    char windows[1024] = "MZ";
    windows[0x3c] = 0x40;
    memcpy(windows + 0x40, "PE\0", 4);
    ck_assert_int_eq(load_bytes(&ram, windows, sizeof windows, &entry, &failure), -1);
    assert_says(&failure, "Windows");
    memset(windows + 0x3c, 0xff, 4); /* no PE header there: two bytes are no proof */
    ck_assert_int_eq(load_bytes(&ram, windows, sizeof windows, &entry, &failure), 0);
}
END_TEST

START_TEST(what_could_be_a_flat_binary_is_taken_for_one)
{
    static const struct {
        const char *bytes;
        size_t length;
    } kinds[] = {
        {"x", 1}, {"PQRSTUVWXYZ[]^_", 15}, {"a text, but for one byte of it \x01", 32}, {"\xf4", 1}, {"\xeb\xfe", 2},
    };
    const struct boot_ram ram = make_ram(4 * MIB);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        ck_assert_msg(load_bytes(&ram, kinds[i].bytes, kinds[i].length, &entry, &failure) == 0, "%s", failure.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("boot files");
    TCase *tests = tcase_create("files");
    tcase_add_test(tests, files_that_plainly_are_no_guests_are_named_for_what_they_are);
    tcase_add_test(tests, what_could_be_a_flat_binary_is_taken_for_one);
    tcase_add_test(tests, flat_binary_is_loaded_and_entered_at_the_load_address);
    tcase_add_test(tests, flat_binary_may_fill_ram_to_its_last_byte_but_not_beyond);
    tcase_add_test(tests, empty_file_is_refused);
    tcase_add_test(tests, directory_is_refused);
    tcase_add_test(tests, missing_file_is_refused);
    tcase_add_test(tests, unreadable_file_is_refused);
    tcase_add_test(tests, fifo_is_refused_without_waiting_for_a_writer);
    tcase_add_test(tests, device_is_refused);
    tcase_add_test(tests, message_has_room_for_the_problem_of_a_long_path);
    tcase_add_test(tests, bzimage_is_unsupported_for_now);
    tcase_add_test(tests, impossible_machines_are_refused);
    tcase_add_test(tests, boot_info_is_as_the_abi_says);
    tcase_add_test(tests, arguments_may_fill_boot_info_but_not_overflow_it);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
