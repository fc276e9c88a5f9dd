/* Software MMUs: what hardware would do with one access through raw tables. They share no code with the library that
 * builds tables, so that one can prove the other right; the VMM's `translate` uses them too. */
#ifndef EPT_WALK_H
#define EPT_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where tables may be: [pa, pa + length) is readable at pa + offset (modulo 2^64). */
struct walk_memory {
    uint64_t pa, length, offset;
};

enum walk_result {
    WALK_OK,
    WALK_VIOLATION,  /* EPT violation: `qualification` */
    WALK_MISCONFIG,  /* EPT misconfiguration */
    WALK_PAGE_FAULT, /* x86: `error_code` */
    WALK_NO_MEMORY,  /* a table lies outside walk_memory */
};

enum walk_access { WALK_READ, WALK_WRITE, WALK_FETCH };

struct walk_step {
    unsigned level;
    uint64_t pa;    /* of the entry */
    uint64_t entry; /* raw, before A and D were set */
};

struct walk_answer {
    enum walk_result result;
    uint64_t pa;            /* WALK_OK: the translation */
    unsigned level;         /* WALK_OK: of the leaf */
    bool r, w, x, u;        /* WALK_OK: what the whole path permits (u: x86 user mode) */
    unsigned memory_type;   /* EPT, WALK_OK: 0 UC, 1 WC, 4 WT, 5 WP, 6 WB */
    unsigned pat_index;     /* x86, WALK_OK: PAT * 4 + PCD * 2 + PWT */
    bool ipat;              /* EPT, WALK_OK */
    uint64_t qualification; /* WALK_VIOLATION: exit qualification bits 0 to 8 */
    uint32_t error_code;    /* WALK_PAGE_FAULT: bits 0 to 4 */
    unsigned nsteps;        /* entries read, from the top */
    struct walk_step steps[5];
};

/* How the EPT is set up in VMX. */
struct walk_ept_mode {
    uint64_t root;       /* pa of the top table */
    unsigned levels;     /* 4 or 5 */
    unsigned maxphyaddr; /* bits */
    bool exec_only, pages_1g;
    bool ad;            /* EPTP bit 6: set A and D */
    bool paging_access; /* the access is to a guest paging-structure entry (a write access when `ad`) */
};

/* One guest-physical access. */
void walk_ept(const struct walk_memory *memory, const struct walk_ept_mode *mode, uint64_t gpa, enum walk_access access,
              struct walk_answer *answer);

/* How long mode (or NPT: user, nxe) is set up. */
struct walk_x86_mode {
    uint64_t root; /* pa of the top table */
    unsigned levels;
    unsigned maxphyaddr;
    bool pages_1g;
    bool user; /* CPL 3 */
    bool wp;   /* CR0.WP */
    bool nxe;  /* EFER.NXE */
    bool smep, smap;
    bool set_ad; /* set A and D in the tables as hardware does; false: look only */
};

/* One linear access. A non-canonical address is answered with WALK_PAGE_FAULT and error code 0 steps 0; hardware would
 * raise #GP. */
void walk_x86(const struct walk_memory *memory, const struct walk_x86_mode *mode, uint64_t address,
              enum walk_access access, struct walk_answer *answer);

#ifdef __cplusplus
}
#endif

#endif
