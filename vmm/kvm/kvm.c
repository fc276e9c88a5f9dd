/* KVM: every ioctl of the VMM but those for a vCPU's state (vcpu_state.c). See kvm.h. */
#include "vmm/kvm/kvm.h"

#include "vmm/kvm/api.h"

#include <cleave/guest_abi.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MSR_IA32_TSC_ADJUST 0x3b
#define MSR_LIST_MAX        1024

#define CPUID_HYPERVISOR_BIT (1u << 31) /* leaf 1, ECX */
#define CPUID_HYPERVISOR     0x40000000 /* EAX: the last of the leaves that a hypervisor adds */

/*
 * MSRs that KVM lists and that are no part of a vCPU's state here, each with its reason. All others are saved and
 * restored, and a short count from KVM_SET_MSRS is an error.
 */
static bool msr_left_out(uint32_t msr)
{
    switch (msr) {
    case MSR_IA32_TSC: /* restored through the TSC offset, which does not lose the time in between */
    case 0x6e0:        /* IA32_TSC_DEADLINE: belongs to the local APIC, and there is none */
    case 0x11:
    case 0x4b564d00: /* KVM wall clock: writing it makes KVM write guest memory, once per boot */
    case 0x3a:
    case 0x10a: /* IA32_FEATURE_CONTROL, ARCH_CAPABILITIES: KVM refuses them on restore */
    case 0x8b:
    case 0xce:
    case 0x345: /* microcode revision, platform info, perf capabilities: constants of the host */
    case 0x34:  /* SMI count: there is no SMM */
    case 0x179:
    case 0x17a:
    case 0x17b:      /* machine checks: none are ever injected, and MCG_CAP decides what is settable */
    case 0xc0010015: /* AMD HWCR: constant, and refused by some kernels */
        return true;
    default:
        /* VMX capability MSRs: constants, and no guest here is given VMX. Performance counters: not virtualized. */
        return (msr >= 0x480 && msr <= 0x493) || (msr >= 0x186 && msr <= 0x18d) || (msr >= 0xc1 && msr <= 0xc8) ||
               (msr >= 0x309 && msr <= 0x30b) || (msr >= 0x38d && msr <= 0x391) || msr == 0x3f1 || msr == 0x600 ||
               (msr >= 0xc0010000 && msr <= 0xc0010007) || (msr >= 0xc0010200 && msr <= 0xc001020b) ||
               (msr >= 0xc0000300 && msr <= 0xc0000303);
    }
}

/* KVM's structure ends in an array: with room for it. */
union msr_list {
    struct kvm_msr_list head;
    uint8_t room[sizeof(struct kvm_msr_list) + MSR_LIST_MAX * sizeof(uint32_t)];
};

static int read_msr_list(struct kvm *kvm, struct cleave_failure *failure)
{
    union msr_list list = {.head.nmsrs = MSR_LIST_MAX};
    if (ioctl(kvm->fd, KVM_GET_MSR_INDEX_LIST, &list) < 0)
        return fail_errno(failure, errno, "KVM_GET_MSR_INDEX_LIST");
    for (unsigned i = 0; i < list.head.nmsrs; i++) {
        if (msr_left_out(list.head.indices[i]))
            continue;
        if (kvm->msr_count == KVM_MSRS_MAX)
            return fail(failure, CLEAVE_UNSUPPORTED, "this kernel's KVM has more than %d MSRs to save", KVM_MSRS_MAX);
        kvm->msrs[kvm->msr_count++] = list.head.indices[i];
    }
    return 0;
}

static int read_cpuid(struct kvm *kvm, struct cleave_failure *failure)
{
    kvm->cpuid = calloc(1, sizeof *kvm->cpuid + KVM_CPUID_MAX * sizeof(struct kvm_cpuid_entry2));
    if (!kvm->cpuid)
        return fail(failure, CLEAVE_NO_MEMORY, "out of memory for the CPUID table");
    kvm->cpuid->nent = KVM_CPUID_MAX;
    if (ioctl(kvm->fd, KVM_GET_SUPPORTED_CPUID, kvm->cpuid) < 0)
        return fail_errno(failure, errno, "KVM_GET_SUPPORTED_CPUID");
    return 0;
}

static struct kvm_cpuid_entry2 *find_leaf(const struct kvm *kvm, uint32_t function)
{
    for (uint32_t i = 0; i < kvm->cpuid->nent; i++)
        if (kvm->cpuid->entries[i].function == function && kvm->cpuid->entries[i].index == 0)
            return &kvm->cpuid->entries[i];
    return NULL;
}

/* What KVM leaves to the VMM: to say that there is a hypervisor, and how fast the TSC is, which a guest cannot measure
 * where there is no other clock, and not every processor says. */
static void show_hypervisor(struct kvm *kvm)
{
    struct kvm_cpuid_entry2 *features = find_leaf(kvm, 1), *range = find_leaf(kvm, CPUID_HYPERVISOR);
    struct kvm_cpuid_entry2 *timing = find_leaf(kvm, GUEST_CPUID_TIMING);
    if (!features || !range)
        return;
    features->ecx |= CPUID_HYPERVISOR_BIT;
    if (!kvm->tsc_khz || (!timing && kvm->cpuid->nent == KVM_CPUID_MAX))
        return;
    if (!timing)
        timing = &kvm->cpuid->entries[kvm->cpuid->nent++];
    *timing = (struct kvm_cpuid_entry2){.function = GUEST_CPUID_TIMING, .eax = kvm->tsc_khz};
    if (range->eax < GUEST_CPUID_TIMING)
        range->eax = GUEST_CPUID_TIMING;
}

/* An MSR may be listed and still not be readable on this CPU: leave those out once, here, and be strict ever after. */
static int probe_vcpu(struct kvm *kvm, int vcpu)
{
    struct kvm_device_attr attr = {.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET};
    kvm->has_tsc_offset = ioctl(vcpu, KVM_HAS_DEVICE_ATTR, &attr) == 0;
    union msr_values one = {.head.nmsrs = 1};
    unsigned kept = 0;
    for (unsigned i = 0; i < kvm->msr_count; i++) {
        one.head.entries[0] = (struct kvm_msr_entry){.index = kvm->msrs[i]};
        int got = ioctl(vcpu, KVM_GET_MSRS, &one);
        if (got < 0)
            return -1;
        if (got == 1 && ioctl(vcpu, KVM_SET_MSRS, &one) == 1) {
            kvm->msrs[kept] = kvm->msrs[i];
            kvm->msr_defaults[kept++] = one.head.entries[0].data;
        }
    }
    int khz = ioctl(vcpu, KVM_GET_TSC_KHZ);
    kvm->tsc_khz = khz > 0 ? (uint32_t)khz : 0;
    kvm->msr_count = kept;
    kvm->tsc_adjust = -1;
    for (unsigned i = 0; i < kept; i++)
        if (kvm->msrs[i] == MSR_IA32_TSC_ADJUST)
            kvm->tsc_adjust = (int)i;
    return 0;
}

static void close_spare(struct kvm *kvm)
{
    if (!kvm->spare)
        return;
    int vcpu = atomic_exchange(&kvm->spare->vcpu, -1), vm = atomic_exchange(&kvm->spare->vm, -1);
    if (vcpu >= 0)
        close(vcpu);
    if (vm >= 0)
        close(vm);
}

/* Asks a first VM and its vCPU, which become the spare one. */
static int probe(struct kvm *kvm, struct cleave_failure *failure)
{
    int made;
    close_spare(kvm);
    int vm = kvm_create_vm(kvm, &made);
    if (vm < 0)
        return fail_errno(failure, errno, "KVM_CREATE_VM");
    atomic_store(&kvm->spare->vm, vm);
    int vcpu = kvm_create_vcpu(kvm, vm, 0, made);
    atomic_store(&kvm->spare->vcpu, vcpu);
    if (vcpu < 0 || probe_vcpu(kvm, vcpu) < 0)
        return fail_errno(failure, errno, "KVM_CREATE_VCPU");
    show_hypervisor(kvm);
    return 0;
}

static int read_capabilities(struct kvm *kvm, struct cleave_failure *failure)
{
    kvm->api_version = ioctl(kvm->fd, KVM_GET_API_VERSION, 0);
    if (kvm->api_version != KVM_API_VERSION)
        return fail(failure, CLEAVE_UNSUPPORTED, "/dev/kvm: API version %d, want %d", kvm->api_version,
                    KVM_API_VERSION);
    static const struct {
        int capability;
        const char *name;
    } needed[] = {
        {KVM_CAP_USER_MEMORY, "user memory"},
        {KVM_CAP_SYNC_MMU, "sync MMU"},
        {KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
        {KVM_CAP_EXT_CPUID, "CPUID"},
        {KVM_CAP_MP_STATE, "MP state"},
        {KVM_CAP_VCPU_EVENTS, "vCPU events"},
        {KVM_CAP_XSAVE, "XSAVE"},
        {KVM_CAP_ADJUST_CLOCK, "clock"},
    };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (ioctl(kvm->fd, KVM_CHECK_EXTENSION, needed[i].capability) <= 0)
            return fail(failure, CLEAVE_UNSUPPORTED, "/dev/kvm: this kernel's KVM lacks %s; use Linux 5.10 or newer",
                        needed[i].name);
    int run_size = ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_size < (int)sizeof(struct kvm_run))
        return fail_errno(failure, errno, "KVM_GET_VCPU_MMAP_SIZE");
    kvm->run_size = (size_t)run_size;
    kvm->xsave_size = sizeof(struct kvm_xsave);
    int xsave2 = ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
    kvm->has_xsave2 = xsave2 > 0;
    if (xsave2 > (int)kvm->xsave_size)
        kvm->xsave_size = (size_t)xsave2;
    kvm->has_xcrs = ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XCRS) > 0;
    kvm->has_debugregs = ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_DEBUGREGS) > 0;
    int manual = ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
    kvm->has_manual_log = manual > 0 && manual & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
    int sync = ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);
    kvm->has_sync_regs = sync > 0 && ((unsigned)sync & SYNCED) == SYNCED;
    return 0;
}

/* Who may open it, where this process may not. */
static void say_who_may(char *remedy, size_t room)
{
    struct stat status;
    struct group entry, *group = NULL;
    char names[1024];
    if (stat("/dev/kvm", &status) < 0)
        return;
    const unsigned mode = status.st_mode & 0777;
    if ((mode & 060) != 060 || status.st_gid == 0)
        snprintf(remedy, room,
                 "; its mode is %03o and its owner %u:%u, so only root can let others in (chgrp, chmod g+rw)", mode,
                 status.st_uid, status.st_gid);
    else if (getgrgid_r(status.st_gid, &entry, names, sizeof names, &group) == 0 && group)
        snprintf(remedy, room, "; join the group %.32s, which may open it", group->gr_name);
    else
        snprintf(remedy, room, "; join the group with the number %u, which may open it", status.st_gid);
}

/* What to do about the error of opening /dev/kvm. */
static void find_remedy(int error, char *remedy, size_t room)
{
    remedy[0] = '\0';
    if (error == ENOENT || error == ENODEV || error == ENXIO)
        snprintf(remedy, room, "; load the kernel module kvm_intel or kvm_amd");
    else if (error == EPERM)
        snprintf(remedy, room, "; the container that this runs in forbids it");
    else if (error == EMFILE)
        snprintf(remedy, room, " (see ulimit -n)");
    else if (error == EACCES)
        say_who_may(remedy, room);
}

int kvm_open(struct kvm *kvm, struct cleave_failure *failure)
{
    *kvm = (struct kvm){.fd = open("/dev/kvm", O_RDWR | O_CLOEXEC)};
    if (kvm->fd < 0) {
        char reason[128], remedy[128];
        const int error = errno;
        find_remedy(error, remedy, sizeof remedy);
        return fail(failure, CLEAVE_UNSUPPORTED, "cannot open /dev/kvm: %s%s", strerror_r(error, reason, sizeof reason),
                    remedy);
    }
    kvm->spare = malloc(sizeof *kvm->spare);
    if (kvm->spare)
        *kvm->spare = (struct kvm_spare){-1, -1};
    if (!kvm->spare)
        fail(failure, CLEAVE_NO_MEMORY, "out of memory for KVM");
    else if (ioctl(kvm->fd, KVM_GET_API_VERSION, 0) < 0)
        fail(failure, CLEAVE_UNSUPPORTED, "/dev/kvm is not KVM's device");
    else if (read_capabilities(kvm, failure) == 0 && read_msr_list(kvm, failure) == 0 &&
             read_cpuid(kvm, failure) == 0 && probe(kvm, failure) == 0)
        return 0;
    kvm_close(kvm);
    return -1;
}

void kvm_close(struct kvm *kvm)
{
    close_spare(kvm);
    free(kvm->spare);
    free(kvm->cpuid);
    close(kvm->fd);
    *kvm = (struct kvm){.fd = -1};
}

/* Which MSRs there are depends on it. */
int kvm_show_cpuid(struct kvm *kvm, const void *entries, unsigned count, struct cleave_failure *failure)
{
    kvm->cpuid->nent = count;
    memcpy(kvm->cpuid->entries, entries, count * sizeof(struct kvm_cpuid_entry2));
    kvm->msr_count = 0;
    return read_msr_list(kvm, failure) < 0 || probe(kvm, failure) < 0 ? -1 : 0;
}

/* CPUID leaf 7, subleaf 0, EBX bit 0: SDM volume 2, CPUID. */
bool kvm_has_fsgsbase(const struct kvm *kvm)
{
    const struct kvm_cpuid_entry2 *features = find_leaf(kvm, 7);
    return features && features->ebx & 1;
}

int kvm_create_vm(const struct kvm *kvm, int *vcpu)
{
    int vm = atomic_exchange(&kvm->spare->vm, -1);
    *vcpu = vm < 0 ? -1 : atomic_exchange(&kvm->spare->vcpu, -1);
    if (vm >= 0)
        return vm;
    vm = ioctl(kvm->fd, KVM_CREATE_VM, 0);
    struct kvm_enable_cap manual = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
                                    .args[0] = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE};
    if (vm >= 0 && kvm->has_manual_log && ioctl(vm, KVM_ENABLE_CAP, &manual) < 0) {
        int error = errno;
        close(vm);
        errno = error;
        return -1;
    }
    return vm;
}

int kvm_set_memory(int vm, uint64_t window, uint64_t size, bool log_dirty)
{
    struct kvm_userspace_memory_region slot = {
        .flags = log_dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0,
        .memory_size = size,
        .userspace_addr = window,
    };
    return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot);
}

int kvm_set_region(int vm, unsigned slot, uint64_t gpa, uint64_t bytes, void *memory, bool read_only)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot,
        .flags = read_only ? KVM_MEM_READONLY : 0,
        .guest_phys_addr = gpa,
        .memory_size = bytes,
        .userspace_addr = (uintptr_t)memory,
    };
    return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
}

int kvm_get_dirty_log(int vm, uint64_t *bitmap)
{
    struct kvm_dirty_log log = {.dirty_bitmap = bitmap};
    return ioctl(vm, KVM_GET_DIRTY_LOG, &log);
}

int kvm_clear_dirty_log(const struct kvm *kvm, int vm, const uint64_t *bitmap, uint64_t pages)
{
    size_t first = 0, end = (pages + 63) / 64;
    while (first < end && !bitmap[first])
        first++;
    while (end > first && !bitmap[end - 1])
        end--;
    if (!kvm->has_manual_log || first == end)
        return 0;
    struct kvm_clear_dirty_log log = {
        .first_page = first * 64,
        .num_pages = (uint32_t)((end * 64 < pages ? end * 64 : pages) - first * 64),
        .dirty_bitmap = (void *)(uintptr_t)(bitmap + first),
    };
    return ioctl(vm, KVM_CLEAR_DIRTY_LOG, &log);
}

int kvm_get_clock(int vm, struct kvm_clock_data *clock)
{
    return ioctl(vm, KVM_GET_CLOCK, clock);
}

int kvm_set_clock(int vm, const struct kvm_clock_data *clock)
{
    /* The flags describe what KVM_GET_CLOCK returned; on the way in only the value counts. */
    struct kvm_clock_data value = {.clock = clock->clock};
    return ioctl(vm, KVM_SET_CLOCK, &value);
}

int kvm_create_vcpu(const struct kvm *kvm, int vm, unsigned index, int made)
{
    int vcpu = made >= 0 ? made : ioctl(vm, KVM_CREATE_VCPU, (unsigned long)index);
    if (vcpu < 0)
        return -1;
    /* CPUID first: KVM checks the long-mode bits of KVM_SET_SREGS against it. */
    if (ioctl(vcpu, KVM_SET_CPUID2, kvm->cpuid) < 0) {
        int error = errno;
        close(vcpu);
        errno = error;
        return -1;
    }
    return vcpu;
}

struct kvm_run *kvm_map_run(const struct kvm *kvm, int vcpu)
{
    void *run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    return run == MAP_FAILED ? NULL : run;
}

void kvm_unmap_run(const struct kvm *kvm, struct kvm_run *run)
{
    munmap(run, kvm->run_size);
}

/* The kernel's set has a bit for each of its 64 signals. */
int kvm_set_signal_mask(int vcpu, const sigset_t *blocked)
{
    union {
        struct kvm_signal_mask head;
        uint8_t room[sizeof(struct kvm_signal_mask) + sizeof(uint64_t)];
    } mask = {.head.len = sizeof(uint64_t)};
    memcpy(mask.head.sigset, blocked, sizeof(uint64_t));
    return ioctl(vcpu, KVM_SET_SIGNAL_MASK, &mask);
}

int kvm_run_vcpu(int vcpu)
{
    return ioctl(vcpu, KVM_RUN, 0);
}

int kvm_get_regs(int vcpu, struct kvm_regs *regs)
{
    return ioctl(vcpu, KVM_GET_REGS, regs);
}

int kvm_set_regs(int vcpu, const struct kvm_regs *regs)
{
    return ioctl(vcpu, KVM_SET_REGS, regs);
}

int kvm_get_sregs(int vcpu, struct kvm_sregs *sregs)
{
    return ioctl(vcpu, KVM_GET_SREGS, sregs);
}

int kvm_set_sregs(int vcpu, const struct kvm_sregs *sregs)
{
    return ioctl(vcpu, KVM_SET_SREGS, sregs);
}

int vcpu_get_registers(int vcpu, const struct kvm_run *run, struct kvm_regs *regs, struct kvm_sregs *sregs)
{
    if (run->kvm_dirty_regs) {
        *regs = run->s.regs.regs;
        *sregs = run->s.regs.sregs;
        return 0;
    }
    return kvm_get_regs(vcpu, regs) < 0 ? -1 : kvm_get_sregs(vcpu, sregs);
}

/* Finds `name` among the vCPU's binary statistics and reads it; false where the kernel (before 5.14) has none. */
static bool read_stat(int fd, const char *name, uint64_t *value)
{
    struct kvm_stats_header header;
    if (pread(fd, &header, sizeof header, 0) != sizeof header || header.name_size > 256)
        return false;
    size_t size = sizeof(struct kvm_stats_desc) + header.name_size;
    union {
        struct kvm_stats_desc desc;
        char bytes[sizeof(struct kvm_stats_desc) + 256];
    } one;
    for (uint32_t i = 0; i < header.num_desc; i++) {
        if (pread(fd, &one, size, (off_t)(header.desc_offset + i * size)) != (ssize_t)size)
            return false;
        if (strncmp(one.bytes + sizeof(struct kvm_stats_desc), name, header.name_size) == 0)
            return pread(fd, value, sizeof *value, (off_t)(header.data_offset + one.desc.offset)) == sizeof *value;
    }
    return false;
}

int kvm_open_stats(int vcpu)
{
    return ioctl(vcpu, KVM_GET_STATS_FD, NULL);
}

uint64_t kvm_page_faults(int stats)
{
    uint64_t faults = 0;
    return stats >= 0 && read_stat(stats, "pf_fixed", &faults) ? faults : 0;
}
