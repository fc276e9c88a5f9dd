/*
 * Exits: what a vCPU thread does when the guest leaves guest mode: port I/O, unknown addresses, HLT, crashes. Runs on
 * vCPU threads; what concerns the whole guest is reported to its owner.
 */
#include "vmm/machine/exits.h"

#include "vmm/machine/machine.h"
#include "vmm/machine/registers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CONSOLE_WAIT_NS 1000000

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* The machine whose guest it runs. */
static struct machine *machine_of(const struct vcpu *vcpu)
{
    return vcpu->vm->guest;
}

/* Always false, so that the vCPU stops. */
static bool end_with(struct vcpu *vcpu, const struct cleave_crash *crash)
{
    report_crash(machine_of(vcpu), crash);
    vcpu->ended = true;
    return false;
}

__attribute__((format(printf, 2, 3))) static bool crash(struct vcpu *vcpu, const char *format, ...)
{
    struct cleave_crash crash = {.vcpu = vcpu->index};
    va_list args;
    va_start(args, format);
    vsnprintf(crash.reason, sizeof crash.reason, format, args);
    va_end(args);
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    crash.has_registers = kvm_get_regs(vcpu->fd, &regs) == 0 && kvm_get_sregs(vcpu->fd, &sregs) == 0;
    if (crash.has_registers)
        registers_fill(&crash.registers, &regs, &sregs);
    return end_with(vcpu, &crash);
}

/* The registers are those of the instruction that failed, not of the boot IDT's stub that reported it. */
static bool crash_by_exception(struct vcpu *vcpu, struct kvm_regs *regs, const struct kvm_sregs *sregs,
                               const struct boot_exception *e)
{
    struct cleave_crash crash = {
        .vcpu = vcpu->index,
        .has_exception = true,
        .vector = (uint8_t)e->vector,
        .has_error_code = e->has_error_code,
        .error_code = e->error_code,
        .has_registers = true,
    };
    char error_code[40] = "";
    if (e->has_error_code)
        snprintf(error_code, sizeof error_code, ", error code %#" PRIx64, e->error_code);
    snprintf(crash.reason, sizeof crash.reason, "unhandled exception %u (%s)%s, at rip %#" PRIx64 ", cr2 %#llx",
             e->vector, boot_exception_name(e->vector), error_code, e->rip, sregs->cr2);
    regs->rip = e->rip;
    regs->rsp = e->rsp;
    regs->rflags = e->rflags;
    registers_fill(&crash.registers, regs, sregs);
    crash.registers.cs.selector = (uint16_t)e->cs;
    return end_with(vcpu, &crash);
}

static bool ask_for_fork(struct vcpu *vcpu, uint32_t children)
{
    struct machine *machine = machine_of(vcpu);
    if (children == 0 || children > CLEAVE_FORK_MAX) {
        machine->fork_results[vcpu->index] = FORK_REFUSED;
        return true;
    }
    vcpu->waiting = true;
    report_fork(machine, vcpu->index, children);
    return false;
}

static void note_unknown_port(struct machine *machine, unsigned port)
{
    count(&machine->counters.unknown_port_accesses);
    complain_of_port(machine, port);
}

/* A console that nobody reads is waited for. On a thread of its own a vCPU does that until it is to stop; on the
 * caller's it has to come back as well when the caller's time is over. */
static void put_console(struct vcpu *vcpu, uint8_t byte)
{
    static const atomic_bool no_longer = false;
    struct machine *machine = machine_of(vcpu);
    const bool callers = vcpu->index == 0 && vcpu->vm->caller;
    while (callers && terminal_is_full(machine->console.terminal) && vm_caller_may_wait(vcpu->vm))
        nanosleep(&(struct timespec){.tv_nsec = CONSOLE_WAIT_NS}, NULL);
    console_put(&machine->console, &byte, 1, callers ? &no_longer : &vcpu->vm->go);
}

/* One element of an `out`. False: the vCPU must stop. */
static bool port_out(struct vcpu *vcpu, unsigned port, uint32_t value)
{
    struct machine *machine = machine_of(vcpu);
    uint8_t byte = (uint8_t)value;
    bool printed = port == PORT_CONSOLE;
    switch (port) {
    case PORT_CONSOLE:
        break;
    case PORT_UART ... PORT_UART + 7:
        pthread_mutex_lock(&machine->report.lock);
        printed = uart_write(&machine->uart, port - PORT_UART, (uint8_t)value, &byte);
        pthread_mutex_unlock(&machine->report.lock);
        break;
    case PORT_EXIT:
        report_exit(machine, value);
        vcpu->ended = true;
        return false;
    case PORT_FORK:
        return ask_for_fork(vcpu, value);
    case PORT_MARK:
        return !report_mark(machine, vcpu->index, value);
    case PORT_READY:
        return !report_ready(machine, vcpu->index, value);
    default:
        note_unknown_port(machine, port);
    }
    if (printed)
        put_console(vcpu, byte);
    return true;
}

static uint32_t port_in(struct vcpu *vcpu, unsigned port)
{
    struct machine *machine = machine_of(vcpu);
    uint32_t value = UINT32_MAX;
    switch (port) {
    case PORT_UART ... PORT_UART + 7:
        pthread_mutex_lock(&machine->report.lock);
        value = UINT32_C(0xffffff00) | uart_read(&machine->uart, port - PORT_UART);
        pthread_mutex_unlock(&machine->report.lock);
        return value;
    case PORT_FORK:
        return machine->fork_results[vcpu->index];
    default:
        note_unknown_port(machine, port);
        return value;
    }
}

static bool handle_io(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    bool go_on = true;
    count(&machine_of(vcpu)->counters.exits_io);
    vcpu->incomplete = true;
    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        uint32_t value = 0;
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, run->io.size);
            go_on &= port_out(vcpu, run->io.port, value);
        } else {
            value = port_in(vcpu, run->io.port);
            memcpy(data, &value, run->io.size);
        }
    }
    return go_on;
}

static bool handle_mmio(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    struct machine *machine = machine_of(vcpu);
    count(&machine->counters.exits_mmio);
    if (run->mmio.phys_addr < vcpu->vm->memory) { /* how a KVM that interprets the guest says EFAULT */
        return crash(vcpu, "guest memory at %#llx could not be reached", run->mmio.phys_addr);
    }
    vcpu->incomplete = true;
    if (!run->mmio.is_write)
        memset(run->mmio.data, 0xff, sizeof run->mmio.data);
    if (atomic_fetch_add(&machine->counters.unknown_mmio_accesses, 1) == 0)
        complain_of_address(machine, run->mmio.phys_addr);
    return true;
}

static bool read_guest(void *context, uint64_t gpa, void *to, size_t length)
{
    const struct machine *machine = context;
    return memory_read(&machine->memory, gpa, to, length, NULL) == 0;
}

/* HLT is either the end of the boot IDT's report of an unhandled exception, or this vCPU stops for good. */
static bool handle_hlt(struct vcpu *vcpu)
{
    struct machine *machine = machine_of(vcpu);
    count(&machine->counters.exits_hlt);
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    if (kvm_get_regs(vcpu->fd, &regs) < 0 || kvm_get_sregs(vcpu->fd, &sregs) < 0)
        return crash(vcpu, "its registers cannot be read after HLT");
    struct boot_exception e;
    if (boot_decode_exception(regs.rip, regs.rsp, read_guest, machine, &e))
        return crash_by_exception(vcpu, &regs, &sregs, &e);
    vcpu->halted = true;
    report_halt(machine);
    return false;
}

static bool handle_internal_error(struct vcpu *vcpu)
{
    uint32_t suberror = vcpu->run->internal.suberror;
    return crash(vcpu, "KVM internal error %u%s", suberror,
                 suberror == KVM_INTERNAL_ERROR_EMULATION ? " (an instruction that KVM cannot emulate)" : "");
}

static bool handle_exit(struct vcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;
    vcpu->incomplete = false;
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        return handle_io(vcpu);
    case KVM_EXIT_MMIO:
        return handle_mmio(vcpu);
    case KVM_EXIT_HLT:
        return handle_hlt(vcpu);
    default:
        break;
    }
    count(&machine_of(vcpu)->counters.exits_other);
    switch (run->exit_reason) {
    case KVM_EXIT_SHUTDOWN:
        return crash(vcpu, "triple fault (some KVMs reset the registers first)");
    case KVM_EXIT_INTERNAL_ERROR:
        return handle_internal_error(vcpu);
    case KVM_EXIT_FAIL_ENTRY:
        return crash(vcpu, "the processor refused to enter the guest, hardware reason %#llx",
                     run->fail_entry.hardware_entry_failure_reason);
    default:
        return crash(vcpu, "KVM exit %u, for which this machine has no device", run->exit_reason);
    }
}

static bool handle_error(struct vcpu *vcpu, int error)
{
    if (error == EFAULT)
        return crash(vcpu, "KVM_RUN: guest memory could not be reached (EFAULT): the host is out of memory, "
                           "or the guest touched what is not RAM");
    return crash(vcpu, "KVM_RUN: %s%s", strerrordesc_np(error), error == EAGAIN ? " (see ulimit -u)" : "");
}

const struct vm_runner machine_runner = {.exit = handle_exit, .error = handle_error};
