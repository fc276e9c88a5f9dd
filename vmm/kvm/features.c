/* CPU features by name: see features.h. Bits and names: SDM volume 2, CPUID; AMD64 APM volume 3, appendix E. */
#include "vmm/kvm/features.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KVM_FEATURES_LEAF 0x40000001 /* the Linux kernel's Documentation/virt/kvm/x86/cpuid.rst */

enum { EAX, EBX, ECX, EDX };

/* A word of CPUID of which each bit is a feature that a guest may use once it has seen it. */
struct word {
    uint32_t function, index;
    unsigned reg;
    const char *names[32]; /* by bit; NULL: not a feature, or without a common name */
    uint32_t ignored;      /* bits that are the vCPU's own state or the host's matter */
};

static const struct word words[] = {
    {1,
     0,
     ECX,
     {"sse3",  "pclmulqdq", "dtes64",       "monitor", "ds_cpl", "vmx", "smx",  "est",  "tm2",    "ssse3",     NULL,
      "sdbg",  "fma",       "cx16",         "xtpr",    "pdcm",   NULL,  "pcid", "dca",  "sse4_1", "sse4_2",    "x2apic",
      "movbe", "popcnt",    "tsc_deadline", "aes",     "xsave",  NULL,  "avx",  "f16c", "rdrand", "hypervisor"},
     1u << 27 /* OSXSAVE: CR4's */},
    {1,
     0,
     EDX,
     {"fpu",  "vme",  "de",   "pse", "tsc",  "msr", "pae",   "mce", "cx8",     "apic", NULL,
      "sep",  "mtrr", "pge",  "mca", "cmov", "pat", "pse36", "pn",  "clflush", NULL,   "dts",
      "acpi", "mmx",  "fxsr", "sse", "sse2", "ss",  "ht",    "tm",  "ia64",    "pbe"},
     0},
    {7,
     0,
     EBX,
     {"fsgsbase", "tsc_adjust", "sgx",      "bmi1",     "hle",      "avx2",       NULL,       "smep",
      "bmi2",     "erms",       "invpcid",  "rtm",      "cqm",      NULL,         "mpx",      "rdt_a",
      "avx512f",  "avx512dq",   "rdseed",   "adx",      "smap",     "avx512ifma", NULL,       "clflushopt",
      "clwb",     "intel_pt",   "avx512pf", "avx512er", "avx512cd", "sha_ni",     "avx512bw", "avx512vl"},
     0},
    {7,
     0,
     ECX,
     {NULL,
      "avx512vbmi",
      "umip",
      "pku",
      "ospke",
      "waitpkg",
      "avx512_vbmi2",
      "shstk",
      "gfni",
      "vaes",
      "vpclmulqdq",
      "avx512_vnni",
      "avx512_bitalg",
      "tme",
      "avx512_vpopcntdq",
      NULL,
      "la57",
      NULL,
      NULL,
      NULL,
      NULL,
      NULL,
      "rdpid",
      NULL,
      "bus_lock_detect",
      "cldemote",
      NULL,
      "movdiri",
      "movdir64b",
      "enqcmd",
      "sgx_lc",
      "pks"},
     1u << 4 /* OSPKE: CR4's */},
    {7,
     0,
     EDX,
     {NULL,
      NULL,
      "avx512_4vnniw",
      "avx512_4fmaps",
      "fsrm",
      "uintr",
      NULL,
      NULL,
      "avx512_vp2intersect",
      NULL,
      "md_clear",
      NULL,
      NULL,
      NULL,
      "serialize",
      NULL,
      "tsxldtrk",
      NULL,
      "pconfig",
      NULL,
      "ibt",
      NULL,
      "amx_bf16",
      "avx512_fp16",
      "amx_tile",
      "amx_int8",
      "spec_ctrl",
      "stibp",
      "flush_l1d",
      "arch_capabilities",
      NULL,
      "ssbd"},
     0},
    {7,
     1,
     EAX,
     {"sha512", "sm3",  "sm4",  NULL,       "avx_vnni", "avx512_bf16", NULL, "cmpccxadd", NULL,
      NULL,     "fzrm", "fsrs", "fsrc",     NULL,       NULL,          NULL, NULL,        "fred",
      "lkgs",   NULL,   NULL,   "amx_fp16", NULL,       "avx_ifma",    NULL, NULL,        "lam"},
     0},
    {0xd,
     0,
     EAX,
     {"xsave_x87", "xsave_sse", "xsave_avx", "xsave_bndregs", "xsave_bndcsr", "xsave_opmask", "xsave_zmm_hi256",
      "xsave_hi16_zmm", NULL, "xsave_pkru", NULL, NULL, NULL, NULL, NULL, NULL, NULL, "xsave_tilecfg",
      "xsave_tiledata"},
     0},
    {0xd, 1, EAX, {"xsaveopt", "xsavec", "xgetbv1", "xsaves", "xfd"}, 0},
    {0x80000001,
     0,
     ECX,
     {"lahf_lm",       "cmp_legacy", "svm",   "extapic", "cr8_legacy",  "abm",   "sse4a",   "misalignsse",
      "3dnowprefetch", "osvw",       "ibs",   "xop",     "skinit",      "wdt",   NULL,      "lwp",
      "fma4",          "tce",        NULL,    NULL,      NULL,          "tbm",   "topoext", "perfctr_core",
      "perfctr_nb",    NULL,         "bpext", "ptsc",    "perfctr_llc", "mwaitx"},
     0},
    {0x80000001,
     0,
     EDX,
     {[11] = "syscall",
      [19] = "mp",
      [20] = "nx",
      [22] = "mmxext",
      [25] = "fxsr_opt",
      [26] = "pdpe1gb",
      [27] = "rdtscp",
      [29] = "lm",
      [30] = "3dnowext",
      [31] = "3dnow"},
     0},
    {0x80000007, 0, EDX, {[8] = "constant_tsc"}, ~(1u << 8)},
    {0x80000008,
     0,
     EBX,
     {[0] = "clzero",
      [2] = "xsaveerptr",
      [4] = "rdpru",
      [9] = "wbnoinvd",
      [12] = "ibpb",
      [14] = "ibrs",
      [15] = "stibp",
      [24] = "ssbd",
      [25] = "virt_ssbd",
      [26] = "ssb_no"},
     0},
    {KVM_FEATURES_LEAF,
     0,
     EAX,
     {"kvmclock_old", "kvm_nopiodelay", NULL, "kvmclock", "kvm_asyncpf", "kvm_steal_time", "kvm_pv_eoi",
      "kvm_pv_unhalt", NULL, "kvm_pv_tlb_flush", "kvm_asyncpf_vmexit", "kvm_pv_ipi", "kvm_poll_control",
      "kvm_pv_sched_yield", "kvm_asyncpf_int", "kvm_msi_ext_dest_id", "kvm_hc_map_gpa_range",
      "kvm_migration_control", [24] = "kvmclock_stable"},
     0},
};

#define WORDS (sizeof words / sizeof *words)

static const char *const reg_names[] = {"eax", "ebx", "ecx", "edx"};

static uint32_t reg_of(unsigned reg, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    return reg == EAX ? eax : reg == EBX ? ebx : reg == ECX ? ecx : edx;
}

static uint32_t seen_word(const struct kvm_cpuid_entry2 *seen, unsigned count, const struct word *word)
{
    for (unsigned i = 0; i < count; i++)
        if (seen[i].function == word->function && seen[i].index == word->index)
            return reg_of(word->reg, seen[i].eax, seen[i].ebx, seen[i].ecx, seen[i].edx);
    return 0;
}

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *here, uint32_t function, uint32_t index)
{
    for (uint32_t i = 0; i < here->nent; i++)
        if (here->entries[i].function == function && here->entries[i].index == index)
            return &here->entries[i];
    return NULL;
}

static uint32_t here_word(const struct kvm_cpuid2 *here, const struct word *word)
{
    const struct kvm_cpuid_entry2 *entry = find(here, word->function, word->index);
    return entry ? reg_of(word->reg, entry->eax, entry->ebx, entry->ecx, entry->edx) : 0;
}

static int refuse(const struct word *word, unsigned bit, const char *path, struct cleave_failure *failure)
{
    if (word->names[bit])
        return fail(failure, CLEAVE_UNSUPPORTED, "%s: the guest has seen the CPU feature %s, which this host lacks",
                    path, word->names[bit]);
    return fail(failure, CLEAVE_UNSUPPORTED,
                "%s: the guest has seen a CPU feature (CPUID leaf %#x.%u, %s bit %u) that this host lacks", path,
                word->function, word->index, reg_names[word->reg], bit);
}

/* The vector state's parts lie where CPUID says, which differs between makers: leaf 0xd, subleaves from 2. */
static int check_layout(const struct kvm_cpuid_entry2 *seen, unsigned count, const struct kvm_cpuid2 *here,
                        const char *path, struct cleave_failure *failure)
{
    for (unsigned i = 0; i < count; i++) {
        if (seen[i].function != 0xd || seen[i].index < 2 || seen[i].index > 62 || !seen[i].eax || seen[i].ecx & 1)
            continue;
        const struct kvm_cpuid_entry2 *entry = find(here, 0xd, seen[i].index);
        if (!entry || entry->eax != seen[i].eax || entry->ebx != seen[i].ebx)
            return fail(failure, CLEAVE_UNSUPPORTED,
                        "%s: this host keeps part %u of the vector state elsewhere than the guest has seen", path,
                        seen[i].index);
    }
    return 0;
}

int features_check(const struct kvm_cpuid_entry2 *seen, unsigned count, const struct kvm_cpuid2 *here, const char *path,
                   struct cleave_failure *failure)
{
    for (size_t i = 0; i < WORDS; i++) {
        uint32_t lacking = seen_word(seen, count, &words[i]) & ~here_word(here, &words[i]) & ~words[i].ignored;
        if (lacking)
            return refuse(&words[i], (unsigned)__builtin_ctz(lacking), path, failure);
    }
    return check_layout(seen, count, here, path, failure);
}
