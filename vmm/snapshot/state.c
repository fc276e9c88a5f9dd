/* Checks of a machine's state, and its records: see state.h. */
#include "vmm/snapshot/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/snapshot/layout.h"

#define MP_STATE_MAX 4u /* KVM_MP_STATE_SIPI_RECEIVED, the last that x86 has */

/* What there is to know of a record's type. */
struct rule {
    uint32_t type;
    const char *name;
    uint32_t least, most, multiple; /* bytes */
    bool required;
};

static const struct rule vcpu_rules[] = {
    {SNAPSHOT_VCPU_REGS, "regs", 144, 144, 1, true},
    {SNAPSHOT_VCPU_SREGS, "sregs", 312, 312, 1, true},
    {SNAPSHOT_VCPU_XSAVE, "xsave", 4096, 65536, 1, true},
    {SNAPSHOT_VCPU_XCRS, "xcrs", 392, 392, 1, false},
    {SNAPSHOT_VCPU_DEBUGREGS, "debugregs", 128, 128, 1, false},
    {SNAPSHOT_VCPU_EVENTS, "events", 64, 64, 1, true},
    {SNAPSHOT_VCPU_MP_STATE, "mp_state", 4, 4, 1, true},
    {SNAPSHOT_VCPU_MSRS, "msrs", 0, 4096, 16, true},
    {SNAPSHOT_VCPU_TSC, "tsc", 8, 8, 1, true},
    {SNAPSHOT_VCPU_HALTED, "halted", 1, 1, 1, true},
    {SNAPSHOT_VCPU_FORK_RESULT, "fork result", 4, 4, 1, false},
};

static const struct rule device_rules[] = {
    {SNAPSHOT_DEVICE_UART, "uart", 9, 9, 1, true},
    {SNAPSHOT_DEVICE_UART_INPUT, "uart input", 1, 4096, 1, false},
};

static const struct rule *rules_of(unsigned of, size_t *count)
{
    *count = of == STATE_DEVICES ? sizeof device_rules / sizeof *device_rules : sizeof vcpu_rules / sizeof *vcpu_rules;
    return of == STATE_DEVICES ? device_rules : vcpu_rules;
}

static const struct rule *find_rule(unsigned of, uint32_t type)
{
    size_t count;
    const struct rule *rules = rules_of(of, &count);
    for (size_t i = 0; i < count; i++)
        if (rules[i].type == type)
            return &rules[i];
    return NULL;
}

static const char *owner(unsigned of, char name[24])
{
    if (of == STATE_DEVICES)
        return "devices";
    snprintf(name, 24, "vcpu %u", of);
    return name;
}

static bool is_boolean(uint8_t value)
{
    return value <= 1;
}

static int check_value(const struct report *report, unsigned of, const struct snapshot_record *record)
{
    const uint8_t *bytes = record->data;
    char name[24];
    uint32_t state;

    if (of == STATE_DEVICES) {
        if (record->type == SNAPSHOT_DEVICE_UART && !is_boolean(bytes[8]))
            return report_fail(report, "devices: uart: looped_ready is %u: must be 0 or 1", bytes[8]);
        return 0;
    }
    if (record->type == SNAPSHOT_VCPU_HALTED && !is_boolean(bytes[0]))
        return report_fail(report, "%s: halted is %u: must be 0 or 1", owner(of, name), bytes[0]);
    if (record->type == SNAPSHOT_VCPU_MP_STATE) {
        memcpy(&state, bytes, sizeof state);
        if (state > MP_STATE_MAX)
            return report_fail(report, "%s: mp_state is %u: must be at most %u", owner(of, name), state, MP_STATE_MAX);
    }
    return 0;
}

static int check_record(const struct report *report, unsigned of, const struct snapshot_record *record)
{
    const struct rule *rule = find_rule(of, record->type);
    char name[24];

    if (!rule)
        return report_fail(report, "%s: record type %u is not known", owner(of, name), record->type);
    if (record->bytes < rule->least || record->bytes > rule->most || record->bytes % rule->multiple)
        return report_fail(report, "%s: %s: bytes is %u: must be %u to %u, a multiple of %u", owner(of, name),
                           rule->name, record->bytes, rule->least, rule->most, rule->multiple);
    return check_value(report, of, record);
}

int state_check_records(const struct report *report, unsigned of, const struct snapshot_records *records)
{
    uint64_t seen = 0;
    char name[24];
    size_t count;
    const struct rule *rules = rules_of(of, &count);

    if (records->count > SNAPSHOT_RECORDS_MAX)
        return report_fail(report, "%s: %u records: at most %u are possible", owner(of, name), records->count,
                           SNAPSHOT_RECORDS_MAX);
    for (unsigned i = 0; i < records->count; i++) {
        const struct snapshot_record *record = &records->list[i];
        if (check_record(report, of, record) < 0)
            return -1;
        if (seen >> record->type & 1)
            return report_fail(report, "%s: record type %u (%s) is there twice", owner(of, name), record->type,
                               find_rule(of, record->type)->name);
        seen |= UINT64_C(1) << record->type;
    }
    for (size_t i = 0; i < count; i++)
        if (rules[i].required && !(seen >> rules[i].type & 1))
            return report_fail(report, "%s: record type %u (%s) is missing", owner(of, name), rules[i].type,
                               rules[i].name);
    return 0;
}

int state_check_machine(const struct report *report, const struct snapshot_machine *machine)
{
    if (machine->memory % SNAPSHOT_PAGE || machine->memory < UINT64_C(4) << 20 || machine->memory > SNAPSHOT_MEMORY_MAX)
        return report_fail(report, "machine: memory is %" PRIu64 ": must be a multiple of 4096, 4 MiB to 64 GiB",
                           machine->memory);
    if (machine->cpus < 1 || machine->cpus > SNAPSHOT_CPUS_MAX)
        return report_fail(report, "machine: cpus is %u: must be 1 to %u", machine->cpus, SNAPSHOT_CPUS_MAX);
    if (machine->reserved)
        return report_fail(report, "machine: reserved is %u: must be 0", machine->reserved);
    return 0;
}

int state_check(const struct report *report, const struct snapshot_state *state)
{
    if (state_check_machine(report, &state->machine) < 0)
        return -1;
    if (state->cpuid_count > SNAPSHOT_CPUID_MAX)
        return report_fail(report, "cpuid: %u entries: at most %u are possible", state->cpuid_count,
                           SNAPSHOT_CPUID_MAX);
    for (unsigned i = 0; i < state->machine.cpus; i++)
        if (state_check_records(report, i, &state->vcpus[i]) < 0)
            return -1;
    return state_check_records(report, STATE_DEVICES, &state->devices);
}

void *state_encode(const struct snapshot_records *records, uint64_t *bytes)
{
    uint64_t total = 0, at = 0;
    for (unsigned i = 0; i < records->count; i++)
        total += LAYOUT_RECORD_HEAD + layout_align(records->list[i].bytes, LAYOUT_ALIGN);

    uint8_t *data = calloc(1, total ? total : 1);
    if (!data)
        return NULL;
    for (unsigned i = 0; i < records->count; i++) {
        const struct snapshot_record *record = &records->list[i];
        memcpy(data + at, &record->type, 4);
        memcpy(data + at + 4, &record->bytes, 4);
        if (record->bytes)
            memcpy(data + at + LAYOUT_RECORD_HEAD, record->data, record->bytes);
        at += LAYOUT_RECORD_HEAD + layout_align(record->bytes, LAYOUT_ALIGN);
    }
    *bytes = total;
    return data;
}

/* One record, from the `left` bytes at data; the bytes it takes are returned, or 0 with the error. */
static uint64_t decode_one(const struct report *report, unsigned of, const uint8_t *data, uint64_t left,
                           struct snapshot_record *record)
{
    char name[24];
    if (left < LAYOUT_RECORD_HEAD) {
        report_fail(report, "%s: %" PRIu64 " bytes follow the last record", owner(of, name), left);
        return 0;
    }
    memcpy(&record->type, data, 4);
    memcpy(&record->bytes, data + 4, 4);
    record->data = data + LAYOUT_RECORD_HEAD;
    uint64_t whole = LAYOUT_RECORD_HEAD + layout_align(record->bytes, LAYOUT_ALIGN);
    if (whole > left) {
        report_fail(report, "%s: record type %u: bytes is %u, beyond the end of the section", owner(of, name),
                    record->type, record->bytes);
        return 0;
    }
    for (uint64_t i = LAYOUT_RECORD_HEAD + record->bytes; i < whole; i++) {
        if (data[i]) {
            report_fail(report, "%s: record type %u: padding is not zero", owner(of, name), record->type);
            return 0;
        }
    }
    return whole;
}

int state_decode(const struct report *report, unsigned of, const uint8_t *data, uint64_t bytes,
                 struct snapshot_records *records)
{
    char name[24];
    records->count = 0;
    while (bytes) {
        if (records->count == SNAPSHOT_RECORDS_MAX)
            return report_fail(report, "%s: more than %u records", owner(of, name), SNAPSHOT_RECORDS_MAX);
        uint64_t used = decode_one(report, of, data, bytes, &records->list[records->count]);
        if (!used)
            return -1;
        records->count++;
        data += used;
        bytes -= used;
    }
    return state_check_records(report, of, records);
}
