/* A machine's state in a snapshot: see saved_state.h. */
#include "vmm/machine/saved_state.h"

#include "vmm/base/failure.h"
#include "vmm/base/log.h"

#include <stdlib.h>
#include <string.h>

/* Clocks this much apart are the same crystal's, calibrated twice. */
#define TSC_TOLERANCE_PPM 250

static void add(struct snapshot_records *records, enum snapshot_record_type type, const void *data, size_t bytes)
{
    records->list[records->count++] = (struct snapshot_record){type, (uint32_t)bytes, data};
}

static void encode_vcpu(struct snapshot_records *records, struct saved_vcpu *saved, const struct kvm *kvm,
                        const struct machine_state *state, unsigned i)
{
    const struct vcpu_state *vcpu = &state->vcpus[i];
    saved->tsc = vcpu_state_tsc(kvm, vcpu, state->host_tsc);
    saved->fork_result = state->fork_results[i];
    saved->halted = vcpu->halted;
    for (unsigned k = 0; k < kvm->msr_count; k++)
        saved->msrs[k] = (struct kvm_msr_entry){.index = kvm->msrs[k], .data = vcpu->msrs[k]};
    add(records, SNAPSHOT_VCPU_REGS, &vcpu->regs, sizeof vcpu->regs);
    add(records, SNAPSHOT_VCPU_SREGS, &vcpu->sregs, sizeof vcpu->sregs);
    add(records, SNAPSHOT_VCPU_XSAVE, vcpu->xsave, kvm->xsave_size);
    if (kvm->has_xcrs)
        add(records, SNAPSHOT_VCPU_XCRS, &vcpu->xcrs, sizeof vcpu->xcrs);
    if (kvm->has_debugregs)
        add(records, SNAPSHOT_VCPU_DEBUGREGS, &vcpu->debugregs, sizeof vcpu->debugregs);
    add(records, SNAPSHOT_VCPU_EVENTS, &vcpu->events, sizeof vcpu->events);
    add(records, SNAPSHOT_VCPU_MP_STATE, &vcpu->mp_state, sizeof vcpu->mp_state);
    add(records, SNAPSHOT_VCPU_MSRS, saved->msrs, kvm->msr_count * sizeof saved->msrs[0]);
    add(records, SNAPSHOT_VCPU_TSC, &saved->tsc, sizeof saved->tsc);
    add(records, SNAPSHOT_VCPU_HALTED, &saved->halted, sizeof saved->halted);
    add(records, SNAPSHOT_VCPU_FORK_RESULT, &saved->fork_result, sizeof saved->fork_result);
}

static void encode_uart(uint8_t *bytes, const struct uart *uart)
{
    const uint8_t all[9] = {uart->ier, uart->fcr, uart->lcr,    uart->mcr,         uart->scr,
                            uart->dll, uart->dlm, uart->looped, uart->looped_ready};
    memcpy(bytes, all, sizeof all);
}

int saved_state_encode(struct saved_state *saved, const struct machine *machine, struct machine_state *state,
                       struct cleave_failure *failure)
{
    const struct kvm *kvm = state->kvm;
    *saved = (struct saved_state){.vcpus = calloc(state->cpus, sizeof *saved->vcpus)};
    if (!saved->vcpus)
        return fail(failure, CLEAVE_NO_MEMORY, "out of memory for the state of a guest");
    saved->from = machine_state_get(state);
    saved->state.machine = (struct snapshot_machine){
        .memory = machine->memory.bytes,
        .cpus = state->cpus,
        .fork_result = state->fork_results[0],
        .guest_id = machine->id,
        .generation = machine->generation,
        .clock_ns = state->clock.clock,
        .saved_unix_ns = state->unix_ns,
        .tsc_khz = kvm->tsc_khz,
    };
    saved->state.cpuid = (const struct snapshot_cpuid *)kvm->cpuid->entries;
    saved->state.cpuid_count = kvm->cpuid->nent;
    for (unsigned i = 0; i < state->cpus; i++)
        encode_vcpu(&saved->state.vcpus[i], &saved->vcpus[i], kvm, state, i);
    encode_uart(saved->uart, &state->uart);
    add(&saved->state.devices, SNAPSHOT_DEVICE_UART, saved->uart, sizeof saved->uart);
    if (uart_unread(&state->uart))
        add(&saved->state.devices, SNAPSHOT_DEVICE_UART_INPUT, state->uart.input + state->uart.input_start,
            uart_unread(&state->uart));
    return 0;
}

void saved_state_free(struct saved_state *saved)
{
    machine_state_put(saved->from);
    free(saved->vcpus);
    *saved = (struct saved_state){0};
}

/* One vCPU of a snapshot that is being taken over. */
struct decoding {
    const struct kvm *kvm;
    const struct snapshot_records *records;
    unsigned index;
    const char *path;
    struct cleave_failure *failure;
};

static const struct snapshot_record *find(const struct snapshot_records *records, enum snapshot_record_type type)
{
    for (unsigned i = 0; i < records->count; i++)
        if (records->list[i].type == type)
            return &records->list[i];
    return NULL;
}

/* Copies a record that has this size, or none where the file has none. */
static void take(const struct decoding *d, enum snapshot_record_type type, void *to, size_t bytes)
{
    const struct snapshot_record *record = find(d->records, type);
    if (record && record->bytes == bytes)
        memcpy(to, record->data, bytes);
}

static int decode_xsave(const struct decoding *d, struct vcpu_state *vcpu)
{
    const struct snapshot_record *record = find(d->records, SNAPSHOT_VCPU_XSAVE);
    if (record->bytes > d->kvm->xsave_size)
        return fail(d->failure, CLEAVE_UNSUPPORTED,
                    "%s: vCPU %u: its vector state takes %u bytes, of which this host's KVM holds %zu", d->path,
                    d->index, record->bytes, d->kvm->xsave_size);
    memcpy(vcpu->xsave, record->data, record->bytes);
    return 0;
}

static int decode_msr(const struct decoding *d, const struct kvm_msr_entry *entry, struct vcpu_state *vcpu)
{
    for (unsigned i = 0; i < d->kvm->msr_count; i++)
        if (d->kvm->msrs[i] == entry->index) {
            vcpu->msrs[i] = entry->data;
            return 0;
        }
    return fail(d->failure, CLEAVE_UNSUPPORTED, "%s: vCPU %u: it has MSR %#x, which this host's KVM does not have",
                d->path, d->index, entry->index);
}

static int decode_msrs(const struct decoding *d, struct vcpu_state *vcpu)
{
    memcpy(vcpu->msrs, d->kvm->msr_defaults, sizeof vcpu->msrs);
    const struct snapshot_record *record = find(d->records, SNAPSHOT_VCPU_MSRS);
    for (size_t i = 0; i < record->bytes / sizeof(struct kvm_msr_entry); i++) {
        struct kvm_msr_entry entry;
        memcpy(&entry, (const uint8_t *)record->data + i * sizeof entry, sizeof entry);
        if (decode_msr(d, &entry, vcpu) < 0)
            return -1;
    }
    return 0;
}

/* A host without these parts has left them out. SDM volume 3, 10.1.1: their values after RESET. */
static void set_defaults(struct vcpu_state *vcpu)
{
    vcpu->xcrs = (struct kvm_xcrs){.nr_xcrs = 1, .xcrs[0] = {.xcr = 0, .value = 1}};
    vcpu->debugregs = (struct kvm_debugregs){.dr6 = 0xffff0ff0, .dr7 = 0x400};
}

static int decode_vcpu(const struct decoding *d, struct vcpu_state *vcpu, uint64_t host_tsc)
{
    uint64_t tsc = 0;
    uint8_t halted = 0;
    set_defaults(vcpu);
    take(d, SNAPSHOT_VCPU_REGS, &vcpu->regs, sizeof vcpu->regs);
    take(d, SNAPSHOT_VCPU_SREGS, &vcpu->sregs, sizeof vcpu->sregs);
    take(d, SNAPSHOT_VCPU_XCRS, &vcpu->xcrs, sizeof vcpu->xcrs);
    take(d, SNAPSHOT_VCPU_DEBUGREGS, &vcpu->debugregs, sizeof vcpu->debugregs);
    take(d, SNAPSHOT_VCPU_EVENTS, &vcpu->events, sizeof vcpu->events);
    take(d, SNAPSHOT_VCPU_MP_STATE, &vcpu->mp_state, sizeof vcpu->mp_state);
    take(d, SNAPSHOT_VCPU_TSC, &tsc, sizeof tsc);
    take(d, SNAPSHOT_VCPU_HALTED, &halted, sizeof halted);
    vcpu_state_set_tsc(d->kvm, vcpu, tsc, host_tsc);
    vcpu->halted = halted;
    return decode_xsave(d, vcpu) < 0 || decode_msrs(d, vcpu) < 0 ? -1 : 0;
}

static void decode_uart(const struct snapshot_records *devices, struct uart *uart)
{
    const uint8_t *all = find(devices, SNAPSHOT_DEVICE_UART)->data;
    *uart = (struct uart){
        .ier = all[0],
        .fcr = all[1],
        .lcr = all[2],
        .mcr = all[3],
        .scr = all[4],
        .dll = all[5],
        .dlm = all[6],
        .looped = all[7],
        .looped_ready = all[8],
    };
    const struct snapshot_record *input = find(devices, SNAPSHOT_DEVICE_UART_INPUT);
    if (input)
        uart_receive(uart, input->data, input->bytes);
}

static void compare_clocks(const struct kvm *kvm, uint32_t khz, const char *path)
{
    uint64_t apart = khz > kvm->tsc_khz ? khz - kvm->tsc_khz : kvm->tsc_khz - khz;
    if (khz && kvm->tsc_khz && apart * 1000000 > (uint64_t)khz * TSC_TOLERANCE_PPM)
        log_warning("%s: the guest's TSC ran at %u kHz and runs at %u kHz here", path, khz, kvm->tsc_khz);
}

static int decode_vcpus(struct machine_state *state, const struct snapshot_state *from, const char *path,
                        struct cleave_failure *failure)
{
    unsigned halted = 0;
    for (unsigned i = 0; i < state->cpus; i++) {
        const struct decoding d = {state->kvm, &from->vcpus[i], i, path, failure};
        if (decode_vcpu(&d, &state->vcpus[i], state->host_tsc) < 0)
            return -1;
        state->fork_results[i] = from->machine.fork_result; /* of files from before it was one a vCPU */
        take(&d, SNAPSHOT_VCPU_FORK_RESULT, &state->fork_results[i], sizeof state->fork_results[i]);
        halted += state->vcpus[i].halted;
    }
    if (halted == state->cpus)
        return fail(failure, CLEAVE_SNAPSHOT_INVALID, "%s: vCPUs: all of them have halted for good", path);
    return 0;
}

struct machine_state *saved_state_decode(const struct kvm *kvm, const struct snapshot_state *from, const char *path,
                                         struct cleave_failure *failure)
{
    struct machine_state *state = machine_state_new(kvm, from->machine.cpus, failure);
    if (!state)
        return NULL;
    state->host_tsc = kvm_host_tsc();
    state->clock.clock = from->machine.clock_ns;
    decode_uart(&from->devices, &state->uart);
    if (decode_vcpus(state, from, path, failure) == 0) {
        compare_clocks(kvm, from->machine.tsc_khz, path);
        return state;
    }
    machine_state_put(state);
    return NULL;
}
