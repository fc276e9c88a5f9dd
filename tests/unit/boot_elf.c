/* ELF64 guests: static executables load, and whatever is wrong with any field of a file is refused in one line. */
#include "tests/unit/boot_fixture.h"

#include <elf.h>

#define CODE_BYTES 64

/* A good executable of two segments; the tests break it. */
struct image {
    Elf64_Ehdr header;
    Elf64_Phdr segments[2];
    uint8_t code[CODE_BYTES];
};

static struct boot_entry entry;
static struct cleave_failure failure;

static struct image good_image(void)
{
    struct image image = {
        .header =
            {
                .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                .e_type = ET_EXEC,
                .e_machine = EM_X86_64,
                .e_version = EV_CURRENT,
                .e_entry = 0x300010,
                .e_phoff = offsetof(struct image, segments),
                .e_ehsize = sizeof(Elf64_Ehdr),
                .e_phentsize = sizeof(Elf64_Phdr),
                .e_phnum = 2,
            },
    };
    for (unsigned i = 0; i < 2; i++)
        image.segments[i] = (Elf64_Phdr){
            .p_type = PT_LOAD,
            .p_flags = PF_R | PF_X,
            .p_offset = offsetof(struct image, code) + i * (CODE_BYTES / 2),
            .p_vaddr = 0x300000 + i * 0x2000,
            .p_paddr = 0x300000 + i * 0x2000,
            .p_filesz = CODE_BYTES / 2,
            .p_memsz = 0x2000,
            .p_align = 0x1000,
        };
    for (unsigned i = 0; i < CODE_BYTES; i++)
        image.code[i] = (uint8_t)(i + 1);
    return image;
}

static int load_image(const struct image *image)
{
    const struct boot_ram ram = make_ram(4 * MIB);
    const int result = load_bytes(&ram, image, sizeof *image, &entry, &failure);
    munmap(ram.base, (size_t)ram.size);
    return result;
}

START_TEST(segments_are_loaded_at_their_physical_addresses)
{
    const struct boot_ram ram = make_ram(4 * MIB);
    const struct image image = good_image();
    ck_assert_int_eq(load_bytes(&ram, &image, sizeof image, &entry, &failure), 0);
    ck_assert_uint_eq(entry.rip, 0x300010);
    ck_assert_mem_eq(ram.base + 0x300000, image.code, 32);
    ck_assert_mem_eq(ram.base + 0x302000, image.code + 32, 32);
    ck_assert_uint_eq(ram.base[0x300020], 0);
    ck_assert_uint_eq(ram.base[0x302020], 0);
}
END_TEST

START_TEST(entry_given_as_a_virtual_address_means_its_physical_one)
{
    struct image image = good_image();
    image.segments[0].p_vaddr = 0xffffffff80000000;
    image.header.e_entry = 0xffffffff80000008;
    ck_assert_int_eq(load_image(&image), 0);
    ck_assert_uint_eq(entry.rip, 0x300008);
}
END_TEST

START_TEST(file_cut_at_any_byte_is_refused)
{
    const struct image image = good_image();
    const struct boot_ram ram = make_ram(4 * MIB);
    for (size_t length = SELFMAG; length < sizeof image; length++) {
        ck_assert_int_eq(load_bytes(&ram, &image, length, &entry, &failure), -1);
        assert_says(&failure, "truncated");
    }
    ck_assert_int_eq(load_bytes(&ram, &image, sizeof image, &entry, &failure), 0);
}
END_TEST

#define HEADER(field)     offsetof(struct image, header.field), sizeof((struct image *)0)->header.field
#define IDENT(index)      offsetof(struct image, header.e_ident) + (index), 1
#define SEGMENT(i, field) offsetof(struct image, segments[i].field), sizeof((struct image *)0)->segments[i].field

static const struct {
    size_t offset, size;
    uint64_t value;
    const char *says;
} wrong_fields[] = {
    {IDENT(EI_CLASS), ELFCLASS32, "64-bit"},
    {IDENT(EI_CLASS), 0, "64-bit"},
    {IDENT(EI_DATA), ELFDATA2MSB, "little-endian"},
    {IDENT(EI_VERSION), 0, "version"},
    {HEADER(e_version), 2, "version"},
    {HEADER(e_machine), EM_AARCH64, "another processor"},
    {HEADER(e_machine), EM_386, "another processor"},
    {HEADER(e_type), ET_DYN, "-nostdlib -static -no-pie"},
    {HEADER(e_type), ET_REL, "not an executable"},
    {HEADER(e_type), ET_CORE, "not an executable"},
    {HEADER(e_ehsize), 0, "wrong size"},
    {HEADER(e_phentsize), 32, "wrong size"},
    {HEADER(e_phentsize), 0xffff, "wrong size"},
    {HEADER(e_phnum), 0, "nothing to load"},
    {HEADER(e_phnum), 65, "at most 64"},
    {HEADER(e_phnum), 0xffff, "at most 64"},
    {HEADER(e_phnum), 40, "truncated"},
    {HEADER(e_phoff), sizeof(struct image) - 1, "truncated"},
    {HEADER(e_phoff), UINT64_MAX, "truncated"},
    {HEADER(e_phoff), UINT64_MAX - 111, "truncated"},
    {HEADER(e_entry), 0, "entry"},
    {HEADER(e_entry), 0x2fffff, "entry"},
    {HEADER(e_entry), 0x300020, "entry"}, /* zero-filled, so not code */
    {HEADER(e_entry), UINT64_MAX, "entry"},
    {SEGMENT(0, p_type), PT_INTERP, "operating system"},
    {SEGMENT(1, p_type), PT_TLS, "operating system"},
    {IDENT(EI_OSABI), ELFOSABI_GNU, "operating system"},
    {SEGMENT(1, p_type), PT_DYNAMIC, "dynamically linked"},
    {SEGMENT(0, p_offset), sizeof(struct image), "beyond the end of the file"},
    {SEGMENT(0, p_offset), UINT64_MAX, "beyond the end of the file"},
    {SEGMENT(0, p_offset), UINT64_MAX - 31, "beyond the end of the file"},
    {SEGMENT(0, p_filesz), 0x2000, "beyond the end of the file"},
    {SEGMENT(0, p_filesz), 0x2001, "more bytes in the file than in memory"},
    {SEGMENT(0, p_filesz), UINT64_MAX, "more bytes in the file than in memory"},
    {SEGMENT(0, p_memsz), 31, "more bytes in the file than in memory"},
    {SEGMENT(0, p_memsz), 0, "more bytes in the file than in memory"},
    {SEGMENT(0, p_memsz), 0x2001, "overlap"},
    {SEGMENT(1, p_memsz), 0x100000, "beyond RAM"},
    {SEGMENT(1, p_memsz), UINT64_MAX, "beyond RAM"},
    {SEGMENT(1, p_memsz), UINT64_MAX - 0x302000 + 1, "beyond RAM"},
    {SEGMENT(0, p_paddr), 0, "below 1 MiB"},
    {SEGMENT(0, p_paddr), 0xfffff, "below 1 MiB"},
    {SEGMENT(0, p_paddr), 0x400000, "beyond RAM"},
    {SEGMENT(0, p_paddr), 0x3fe001, "beyond RAM"},
    {SEGMENT(0, p_paddr), UINT64_MAX, "beyond RAM"},
    {SEGMENT(0, p_paddr), UINT64_MAX - 0x1fff, "beyond RAM"},
    {SEGMENT(0, p_paddr), 0x302000, "overlap"},
    {SEGMENT(0, p_paddr), 0x300001, "overlap"},
    {SEGMENT(1, p_paddr), 0x301fff, "overlap"},
    {SEGMENT(1, p_paddr), 0x300000, "overlap"},
};

START_TEST(wrong_field_is_refused)
{
    struct image image = good_image();
    /* Little-endian, so the low bytes of the value are the field. */
    memcpy((uint8_t *)&image + wrong_fields[_i].offset, &wrong_fields[_i].value, wrong_fields[_i].size);
    ck_assert_int_eq(load_image(&image), -1);
    assert_says(&failure, wrong_fields[_i].says);
    assert_says(&failure, "/tmp/boot-test-");
}
END_TEST

START_TEST(file_with_nothing_to_load_is_refused)
{
    struct image image = good_image();
    image.segments[0].p_type = image.segments[1].p_type = PT_NOTE;
    ck_assert_int_eq(load_image(&image), -1);
    assert_says(&failure, "nothing to load");
}
END_TEST

START_TEST(empty_segment_is_passed_over)
{
    struct image image = good_image();
    image.segments[1] = (Elf64_Phdr){.p_type = PT_LOAD, .p_offset = UINT64_MAX, .p_paddr = UINT64_MAX};
    ck_assert_int_eq(load_image(&image), 0);
}
END_TEST

START_TEST(segment_may_start_at_one_mib_and_end_with_ram)
{
    struct image image = good_image();
    image.segments[0].p_paddr = image.segments[0].p_vaddr = 0x100000;
    image.header.e_entry = 0x100000;
    image.segments[1].p_memsz = 0x400000 - image.segments[1].p_paddr;
    ck_assert_int_eq(load_image(&image), 0);
}
END_TEST

/* Whatever a byte of the headers becomes, the file is loaded inside RAM or refused in words. The guard page, and the
 * sanitizers where they are on, notice the rest. */
START_TEST(no_changed_byte_of_the_headers_does_harm)
{
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    const struct image image = good_image();
    const struct boot_ram ram = make_ram(4 * MIB);
    for (size_t at = 0; at < offsetof(struct image, code); at++) {
        for (size_t i = 0; i < sizeof values; i++) {
            struct image changed = image;
            ((uint8_t *)&changed)[at] = values[i];
            if (load_bytes(&ram, &changed, sizeof changed, &entry, &failure) < 0) {
                assert_says(&failure, "/tmp/boot-test-");
            } else {
                ck_assert_uint_ge(entry.rip, GUEST_RAM_START);
                ck_assert_uint_lt(entry.rip, ram.size);
            }
        }
    }
}
END_TEST

/* A note as compilers leave it, in the place of the second segment's bytes. */
static int load_with_note(const char *name, uint32_t name_bytes, uint32_t type, uint32_t description_bytes)
{
    struct image image = good_image();
    const Elf64_Nhdr note = {name_bytes, description_bytes, type};
    uint8_t *at = image.code + CODE_BYTES / 2;
    memcpy(at, &note, sizeof note);
    memset(at + sizeof note, 0, 4);
    memcpy(at + sizeof note, name, strlen(name));
    image.segments[1].p_type = PT_NOTE;
    image.segments[1].p_filesz = CODE_BYTES / 2;
    return load_image(&image);
}

START_TEST(static_program_for_an_operating_system_is_told_by_its_notes)
{
    ck_assert_int_eq(load_with_note("GNU", 4, NT_GNU_ABI_TAG, 16), -1);
    assert_says(&failure, "operating system");
    ck_assert_ptr_null(strstr(failure.text, "-static")); /* that it is already */
    ck_assert_int_eq(load_with_note("Go", 4, 4, 16), -1);
    assert_says(&failure, "operating system");
    ck_assert_int_eq(load_with_note("GNU", 4, NT_GNU_BUILD_ID, 16), 0); /* a guest may have one */
    ck_assert_int_eq(load_with_note("GNU", UINT32_MAX, NT_GNU_ABI_TAG, 16), 0);
    ck_assert_int_eq(load_with_note("GNU", 4, NT_GNU_BUILD_ID, UINT32_MAX), 0);
}
END_TEST

START_TEST(program_of_the_host_is_not_to_be_linked_statically)
{
    const struct boot_ram ram = make_ram(64 * MIB);
    ck_assert_int_eq(load_path(&ram, "/proc/self/exe", &entry, &failure), -1);
    assert_says(&failure, "operating system");
    ck_assert_ptr_null(strstr(failure.text, "-static"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("boot ELF");
    TCase *tests = tcase_create("elf");
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, segments_are_loaded_at_their_physical_addresses);
    tcase_add_test(tests, static_program_for_an_operating_system_is_told_by_its_notes);
    tcase_add_test(tests, program_of_the_host_is_not_to_be_linked_statically);
    tcase_add_test(tests, entry_given_as_a_virtual_address_means_its_physical_one);
    tcase_add_test(tests, file_cut_at_any_byte_is_refused);
    tcase_add_loop_test(tests, wrong_field_is_refused, 0, sizeof wrong_fields / sizeof wrong_fields[0]);
    tcase_add_test(tests, file_with_nothing_to_load_is_refused);
    tcase_add_test(tests, empty_segment_is_passed_over);
    tcase_add_test(tests, segment_may_start_at_one_mib_and_end_with_ram);
    tcase_add_test(tests, no_changed_byte_of_the_headers_does_harm);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
