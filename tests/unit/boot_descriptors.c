/* The descriptors a guest starts with, decoded as the CPU reads them, and the way back from a halted exception stub. */
#include "tests/unit/boot_fixture.h"

#define HLT 0xf4

static struct boot_ram ram;

static void setup(void)
{
    ram = make_ram(4 * MIB);
    boot_make_descriptors(&ram, GUEST_MAX_CPUS);
    boot_make_stubs(&ram);
}

static uint64_t get(uint64_t gpa, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)ram.base[gpa + i] << (8 * i);
    return value;
}

struct segment {
    unsigned type, dpl;
    bool system, present, code64, size32;
};

static struct segment get_segment(unsigned cpu, unsigned selector)
{
    const uint64_t raw = get(GDT_BASE + cpu * GDT_STRIDE + selector, 8);
    return (struct segment){
        .type = raw >> 40 & 15,
        .system = !(raw >> 44 & 1),
        .dpl = raw >> 45 & 3,
        .present = raw >> 47 & 1,
        .code64 = raw >> 53 & 1,
        .size32 = raw >> 54 & 1,
    };
}

START_TEST(gdt_has_the_segments_of_the_abi)
{
    static const struct {
        unsigned selector, type, dpl;
        bool code64;
    } wanted[] = {
        {GUEST_KERNEL_CODE, 0xb, 0, true},
        {GUEST_KERNEL_DATA, 0x3, 0, false},
        {GUEST_USER_DATA, 0x3, 3, false},
        {GUEST_USER_CODE, 0xb, 3, true},
    };
    for (unsigned cpu = 0; cpu < GUEST_MAX_CPUS; cpu++) {
        ck_assert_uint_eq(get(GDT_BASE + cpu * GDT_STRIDE, 8), 0);
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
            const struct segment segment = get_segment(cpu, wanted[i].selector);
            ck_assert_uint_eq(segment.type, wanted[i].type);
            ck_assert_uint_eq(segment.dpl, wanted[i].dpl);
            ck_assert(segment.present && !segment.system);
            ck_assert(segment.code64 == wanted[i].code64);
            ck_assert(!segment.code64 || !segment.size32);
        }
    }
    ck_assert_uint_eq(GDT_LIMIT, 0x37);
}
END_TEST

START_TEST(tss_descriptor_leads_to_a_tss_of_the_vcpus_own)
{
    for (unsigned cpu = 0; cpu < GUEST_MAX_CPUS; cpu++) {
        const uint64_t at = GDT_BASE + cpu * GDT_STRIDE + GUEST_TSS;
        const struct segment segment = get_segment(cpu, GUEST_TSS);
        ck_assert(segment.present && segment.system);
        ck_assert_uint_eq(segment.type, 0xb);
        ck_assert_uint_eq(get(at + 2, 3) | get(at + 7, 1) << 24 | get(at + 8, 4) << 32, TSS_BASE + cpu * TSS_STRIDE);
        ck_assert_uint_eq(get(at, 2) | (get(at + 6, 1) & 15) << 16, TSS_LIMIT);
        ck_assert_uint_eq(get(at + 12, 4), 0);
    }
}
END_TEST

START_TEST(stacks_of_the_tss_are_aligned_and_apart)
{
    for (unsigned cpu = 0; cpu < GUEST_MAX_CPUS; cpu++) {
        const uint64_t tss = TSS_BASE + cpu * TSS_STRIDE;
        const uint64_t ring0 = get(tss + 0x04, 8);
        const uint64_t ist1 = get(tss + 0x24, 8);
        ck_assert_uint_eq(ring0, STACK_BASE + (cpu + 1) * STACK_STRIDE);
        ck_assert_uint_eq(ist1, IST_BASE + (cpu + 1) * IST_STRIDE);
        ck_assert_uint_eq((ring0 | ist1) % 16, 0);
        ck_assert_uint_le(ist1, GUEST_RAM_START);
    }
}
END_TEST

/* As the CPU decides: every bit of the ports an access touches must be clear, and inside the limit. */
static bool allows(unsigned cpu, unsigned port, unsigned bytes)
{
    const uint64_t tss = TSS_BASE + cpu * TSS_STRIDE;
    const uint64_t at = get(tss + 0x66, 2) + port / 8;
    if (at + 1 > TSS_LIMIT)
        return false;
    const uint64_t bits = get(tss + at, 2) >> port % 8;
    return (bits & ((1u << bytes) - 1)) == 0;
}

START_TEST(ring_3_may_use_the_ports_of_the_abi_and_no_others)
{
    for (unsigned cpu = 0; cpu < GUEST_MAX_CPUS; cpu++) {
        ck_assert(allows(cpu, PORT_CONSOLE, 1));
        ck_assert(allows(cpu, PORT_EXIT, 4));
        ck_assert(allows(cpu, PORT_FORK, 4));
        ck_assert(allows(cpu, PORT_MARK, 4));
        for (unsigned port = 0; port < 0x10000; port++) {
            const bool open = port == PORT_CONSOLE || (port >= PORT_EXIT && port < PORT_MARK + 4) ||
                              (port >= PORT_UART && port < PORT_UART + 8);
            if (allows(cpu, port, 1) != open)
                ck_abort_msg("port %#x of vCPU %u is wrongly %s", port, cpu, open ? "closed" : "open");
        }
    }
}
END_TEST

START_TEST(every_gate_leads_to_its_own_stub_on_the_exception_stack)
{
    for (unsigned vector = 0; vector < 256; vector++) {
        const uint64_t gate = IDT_BASE + 16 * vector;
        const uint64_t target = get(gate, 2) | get(gate + 6, 2) << 16 | get(gate + 8, 4) << 32;
        ck_assert_uint_eq(target, STUB_BASE + vector * STUB_STRIDE);
        ck_assert_uint_eq(get(gate + 2, 2), GUEST_KERNEL_CODE);
        ck_assert_uint_eq(get(gate + 4, 1), 1);
        ck_assert_uint_eq(get(gate + 5, 1), vector == 3 || vector == 4 ? 0xee : 0x8e);
        ck_assert_uint_eq(get(gate + 12, 4), 0);
        ck_assert_uint_eq(ram.base[target], HLT);
    }
}
END_TEST

static bool read_ram(void *context, uint64_t gpa, void *to, size_t length)
{
    (void)context;
    if (gpa > ram.size || length > ram.size - gpa)
        return false;
    memcpy(to, ram.base + gpa, length);
    return true;
}

static void push(uint64_t *rsp, uint64_t value)
{
    *rsp -= 8;
    memcpy(ram.base + *rsp, &value, 8);
}

/* What the CPU pushes, from an IST top. Returns RSP. */
static uint64_t push_frame(bool has_error_code)
{
    uint64_t rsp = IST_BASE + IST_STRIDE;
    push(&rsp, 0x1b);
    push(&rsp, 0x1fff00);
    push(&rsp, 0x10246);
    push(&rsp, 0x23);
    push(&rsp, 0x200123);
    if (has_error_code)
        push(&rsp, 0x15);
    return rsp;
}

START_TEST(halted_stub_tells_its_exception)
{
    for (unsigned vector = 0; vector < 256; vector++) {
        for (int has_error_code = 0; has_error_code < 2; has_error_code++) {
            struct boot_exception exception;
            const uint64_t rsp = push_frame(has_error_code);
            ck_assert(boot_decode_exception(STUB_BASE + vector * STUB_STRIDE + 1, rsp, read_ram, NULL, &exception));
            ck_assert_uint_eq(exception.vector, vector);
            ck_assert_int_eq(exception.has_error_code, has_error_code);
            ck_assert_uint_eq(exception.error_code, has_error_code ? 0x15 : 0);
            ck_assert_uint_eq(exception.rip, 0x200123);
            ck_assert_uint_eq(exception.cs, 0x23);
            ck_assert_uint_eq(exception.rflags, 0x10246);
            ck_assert_uint_eq(exception.rsp, 0x1fff00);
            ck_assert_uint_eq(exception.ss, 0x1b);
        }
    }
}
END_TEST

START_TEST(other_halts_are_not_exceptions)
{
    const uint64_t rsp = push_frame(true);
    struct boot_exception exception;
    ck_assert(!boot_decode_exception(GUEST_LOAD_ADDRESS + 1, rsp, read_ram, NULL, &exception));
    ck_assert(!boot_decode_exception(STUB_BASE, rsp, read_ram, NULL, &exception));
    ck_assert(!boot_decode_exception(STUB_BASE + 2, rsp, read_ram, NULL, &exception));
    ck_assert(!boot_decode_exception(STUB_BASE - 15, rsp, read_ram, NULL, &exception));
    ck_assert(!boot_decode_exception(STUB_BASE + 256 * STUB_STRIDE + 1, rsp, read_ram, NULL, &exception));
}
END_TEST

START_TEST(frame_that_cannot_be_read_is_no_exception)
{
    struct boot_exception exception;
    ck_assert(!boot_decode_exception(STUB_BASE + 1, ram.size, read_ram, NULL, &exception));
    ck_assert(!boot_decode_exception(STUB_BASE + 1, ram.size - 16, read_ram, NULL, &exception));
    ck_assert(!boot_decode_exception(STUB_BASE + 1, UINT64_MAX - 7, read_ram, NULL, &exception));
    ck_assert(!boot_decode_exception(STUB_BASE + 1, IST_BASE + 1, read_ram, NULL, &exception));
}
END_TEST

START_TEST(every_vector_has_a_name)
{
    for (unsigned vector = 0; vector < 300; vector++)
        ck_assert_ptr_nonnull(boot_exception_name(vector));
    ck_assert_str_eq(boot_exception_name(14), "#PF page fault");
    ck_assert_str_eq(boot_exception_name(9), "reserved exception");
    ck_assert_str_eq(boot_exception_name(128), "interrupt");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("boot descriptors");
    TCase *tests = tcase_create("descriptors");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, gdt_has_the_segments_of_the_abi);
    tcase_add_test(tests, tss_descriptor_leads_to_a_tss_of_the_vcpus_own);
    tcase_add_test(tests, stacks_of_the_tss_are_aligned_and_apart);
    tcase_add_test(tests, ring_3_may_use_the_ports_of_the_abi_and_no_others);
    tcase_add_test(tests, every_gate_leads_to_its_own_stub_on_the_exception_stack);
    tcase_add_test(tests, halted_stub_tells_its_exception);
    tcase_add_test(tests, other_halts_are_not_exceptions);
    tcase_add_test(tests, frame_that_cannot_be_read_is_no_exception);
    tcase_add_test(tests, every_vector_has_a_name);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
