/* The root guest: its memory, its file, its first registers; or the snapshot it goes on from. */
#include "vmm/boot/boot.h"
#include "vmm/base/clock.h"
#include "vmm/family/internal.h"

#include <cleave/guest_abi.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Control register and EFER bits: SDM volume 3, 2.5 and 2.2.1. */
#define CR0_PE       (1u << 0)
#define CR0_MP       (1u << 1)
#define CR0_ET       (1u << 4)
#define CR0_NE       (1u << 5)
#define CR0_WP       (1u << 16)
#define CR0_PG       (1u << 31)
#define CR4_PAE      (1u << 5)
#define CR4_OSFXSR   (1u << 9)
#define CR4_OSXMMEX  (1u << 10)
#define CR4_FSGSBASE (1u << 16)
#define EFER_SCE     (1u << 0)
#define EFER_LME     (1u << 8)
#define EFER_LMA     (1u << 10)
#define EFER_NXE     (1u << 11)
#define RFLAGS_FIXED (1u << 1)

enum { TYPE_DATA = 3, TYPE_CODE = 11, TYPE_TSS_BUSY = 11 };

static struct kvm_segment segment(uint16_t selector, uint8_t type, unsigned cpl)
{
    return (struct kvm_segment){
        .limit = 0xffffffff,
        .selector = (uint16_t)(selector | cpl),
        .type = type,
        .present = 1,
        .dpl = (uint8_t)cpl,
        .s = 1,
        .g = 1,
        .l = type == TYPE_CODE,
        .db = type != TYPE_CODE,
    };
}

static void set_segments(struct kvm_sregs *s, const struct boot_entry *entry, unsigned vcpu)
{
    unsigned cpl = entry->cpl;
    s->cs = segment(cpl ? GUEST_USER_CODE : GUEST_KERNEL_CODE, TYPE_CODE, cpl);
    s->ds = s->es = s->fs = s->gs = s->ss = segment(cpl ? GUEST_USER_DATA : GUEST_KERNEL_DATA, TYPE_DATA, cpl);
    s->tr = (struct kvm_segment){
        .base = entry->tss_base + vcpu * entry->tss_stride,
        .limit = entry->tss_limit,
        .selector = GUEST_TSS,
        .type = TYPE_TSS_BUSY,
        .present = 1,
    };
    s->ldt = (struct kvm_segment){.unusable = 1};
    s->gdt =
        (struct kvm_dtable){.base = entry->gdt_base + vcpu * entry->gdt_stride, .limit = (uint16_t)entry->gdt_limit};
    s->idt = (struct kvm_dtable){.base = entry->idt_base, .limit = (uint16_t)entry->idt_limit};
}

static int enter_at(struct vcpu *vcpu, const struct boot_entry *entry, struct failure *failure)
{
    struct kvm_sregs s;
    if (kvm_get_sregs(vcpu->fd, &s) < 0)
        return fail_errno(failure, errno, "KVM_GET_SREGS");
    set_segments(&s, entry, vcpu->index);
    s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    s.cr3 = entry->cr3;
    s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEX | (kvm_has_fsgsbase(vcpu->vm->kvm) ? CR4_FSGSBASE : 0);
    s.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    if (kvm_set_sregs(vcpu->fd, &s) < 0)
        return fail_errno(failure, errno, "KVM_SET_SREGS");
    struct kvm_regs r = {
        .rip = entry->rip,
        .rsp = GUEST_STACK_TOP - vcpu->index * GUEST_STACK_SIZE,
        .rdi = entry->boot_info,
        .rsi = vcpu->index,
        .rflags = RFLAGS_FIXED,
    };
    if (kvm_set_regs(vcpu->fd, &r) < 0)
        return fail_errno(failure, errno, "KVM_SET_REGS");
    return 0;
}

/* One layer for all of RAM, writable in place and mapped shared: nothing needs publishing before the first fork. */
static int make_memory(struct host *host, struct machine *machine, struct failure *failure)
{
    uint64_t bytes = host->options->memory;
    struct layer *layer;
    if (layer_new(host->layers, bytes, &layer, failure) < 0)
        return -1;
    int result = view_init(&machine->view, host->views, bytes, failure);
    if (result == 0) {
        result = view_map(&machine->view, 0, layer_hpa(layer), bytes, true, failure);
        if (result == 0 && window_map(machine->vm->window, bytes, layer_fd(layer), 0, true) < 0)
            result = fail_errno(failure, errno, "cannot map %llu bytes of guest memory", (unsigned long long)bytes);
        if (result < 0)
            view_free(&machine->view);
    }
    layer_close(host->layers, layer);
    machine->window_shared = true;
    return result;
}

static int load(struct host *host, struct machine *machine, struct failure *failure)
{
    struct boot_ram ram = {(uint8_t *)(uintptr_t)machine->vm->window, host->options->memory};
    struct boot_config config = {host->options->guest, host->options->args, host->options->cpus, host->options->cpl};
    struct boot_entry entry;
    struct identity identity;
    if (boot_load(&ram, &config, &entry, failure) < 0 || machine_draw_identity(machine, &identity, failure) < 0 ||
        machine_write_identity(machine, &identity, failure) < 0)
        return -1;
    for (unsigned i = 0; i < machine->vm->cpus; i++)
        if (enter_at(&machine->vm->vcpus[i], &entry, failure) < 0)
            return -1;
    return 0;
}

/* The root guest is one that goes on from a snapshot. */
static int restore(struct host *host, struct failure *failure)
{
    const struct options *options = host->options;
    const struct restore_request request = {options->restore, options->paused, options->restore_eager};
    struct restoring restoring = {host, host->restored, &request, clock_ns(), NULL};
    struct restore_report report;
    int result = 0;
    if (host_must_load(host->restored, &request))
        result = host_load(host, host->restored, &restoring.memory, failure);
    if (result == 0)
        result = host_restore_chain(&restoring, &report, failure);
    if (restoring.memory)
        layer_close(host->layers, restoring.memory);
    host_close_restored(host);
    if (result == 0)
        host_watch_overlays(host);
    return result;
}

int host_launch(struct host *host, struct failure *failure)
{
    if (host->restored)
        return restore(host, failure);
    struct vm_config config = {&host->kvm, host->windows, host->options->memory, host->options->cpus};
    if (host_reserve(host, 1, failure) < 0)
        return -1;
    struct machine *machine = machine_new(host, host->next_id, host->options->memory, host->terminal, failure);
    if (!machine)
        return -1;
    struct vm *vm = vm_new(&config, false, failure);
    if (!vm) {
        machine_free(machine);
        return -1;
    }
    vm->machine = machine;
    machine->vm = vm;
    if (make_memory(host, machine, failure) < 0) {
        vm_free(vm);
        machine_free(machine);
        return -1;
    }
    host_add(host, machine);
    host->next_id++;
    if (load(host, machine, failure) < 0)
        return -1; /* host_free() takes it down */
    if (host->options->control) {
        pool_prepare(host->pool, 0);
        layers_settle(host->layers);
    }
    host_watch_overlays(host);
    if (host->options->paused)
        machine->state = GUEST_PAUSED;
    else
        host_start(host, machine);
    return 0;
}
