/*
 * What can be said of a guest: its state, how it ended, its registers, marks, page table. Plain data, which the
 * functions of <cleave/cleave.h> fill in. Addresses and lengths are in bytes, times in nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef CLEAVE_GUEST_H
#define CLEAVE_GUEST_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum cleave_state {
    CLEAVE_RUNNING,
    CLEAVE_PAUSED,
    CLEAVE_EXITED, /* or killed; end says which */
    CLEAVE_CRASHED,
};

/* How a guest ended; meaningful in CLEAVE_EXITED and CLEAVE_CRASHED. */
enum cleave_end {
    CLEAVE_END_NONE,
    CLEAVE_END_EXIT,   /* by the exit port, or every vCPU halted (exit code 0) */
    CLEAVE_END_KILLED, /* by cleave_guest_kill() or cleave_family_end() */
    CLEAVE_END_CRASH,  /* triple fault, unhandled exception, internal error */
};

/* What a reset returns a guest to. */
enum cleave_reset_target {
    CLEAVE_RESET_NOWHERE,
    CLEAVE_RESET_TO_FORK, /* the one that made it */
    CLEAVE_RESET_TO_CHECKPOINT,
    CLEAVE_RESET_TO_RESTORE, /* the snapshot it was restored from */
};

/* One guest. */
struct cleave_guest_info {
    uint64_t id;
    uint64_t parent; /* valid where has_parent */
    bool has_parent; /* false for one that was launched or restored */
    enum cleave_state state;
    enum cleave_end end;
    uint64_t generation; /* 0 for one that was launched; one more than what it was forked or restored from */
    unsigned vcpus;
    uint64_t memory;    /* bytes of RAM */
    size_t children;    /* made so far, ended ones included */
    uint32_t exit_code; /* valid where end == CLEAVE_END_EXIT */
    enum cleave_reset_target reset_to;
};

/* The signal that takes threads out of guests. It is never delivered to a handler, and is the library's alone. */
#define CLEAVE_KICK_SIGNAL (SIGRTMIN + 7)

/* Children that one fork makes at most. */
#define CLEAVE_FORK_MAX 1024

/*
 * Memory of the embedder's that every guest of a family sees at `gpa`: a coverage map, an input. It is outside RAM,
 * dirty log, views, resets and snapshots, and shared by all guests. Launched guests find it mapped there, as RAM is
 * (one that is restored has the page tables of its snapshot). What a guest writes to a read-only one is lost.
 */
struct cleave_region {
    uint64_t gpa;   /* a multiple of 4 KiB, no less than a guest's RAM */
    uint64_t bytes; /* a multiple of 4 KiB; all of it below 512 GiB */
    void *memory;   /* page-aligned; it must outlive the family */
    bool read_only;
};

#define CLEAVE_REGIONS_MAX 8

/* A value that the guest wrote to its mark port. */
struct cleave_mark {
    uint32_t value;
    uint64_t timestamp_ns;
};

/* A segment register. */
struct cleave_segment {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint8_t type, dpl; /* Intel SDM volume 3, 3.4.5: Segment Descriptors */
    bool present, system, long_mode, big, granular;
};

/* Of one vCPU. */
struct cleave_registers {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer;
    struct cleave_segment cs, ds, es, fs, gs, ss, tr, ldt;
    uint64_t gdt_base, idt_base;
    uint16_t gdt_limit, idt_limit;
};

#define CLEAVE_REASON 256

/* Why and where a guest crashed. The registers are those of the instruction that failed. */
struct cleave_crash {
    char reason[CLEAVE_REASON]; /* one line */
    unsigned vcpu;
    bool has_exception; /* of the guest's, which it did not handle */
    uint8_t vector;
    bool has_error_code;
    uint64_t error_code;
    bool has_registers;
    struct cleave_registers registers;
};

/* Why a guest that was told to run came back. */
enum cleave_stop_reason {
    CLEAVE_STOP_EXIT,      /* it has ended by the exit port; value is its exit code */
    CLEAVE_STOP_CRASH,     /* it has crashed: crash */
    CLEAVE_STOP_HALT,      /* it has ended: every vCPU has halted, and nothing can wake one */
    CLEAVE_STOP_MARK,      /* it has written value to the mark port */
    CLEAVE_STOP_READY,     /* it has written value to the ready port */
    CLEAVE_STOP_TIME,      /* the deadline has passed */
    CLEAVE_STOP_INTERRUPT, /* somebody wanted it back */
    CLEAVE_STOP_KILLED,    /* it was ended from outside */
};

/* Which of them a run is to end at; the others but marks and ready, which are events then, always end it. */
#define CLEAVE_UNTIL_MARK  (1u << CLEAVE_STOP_MARK)
#define CLEAVE_UNTIL_READY (1u << CLEAVE_STOP_READY)

/* How a run has ended. Fields that the reason does not name are zero. */
struct cleave_stop {
    enum cleave_stop_reason reason;
    unsigned vcpu;             /* that stopped it; 0 for TIME, INTERRUPT, KILLED */
    uint32_t value;            /* EXIT, MARK, READY */
    struct cleave_crash crash; /* CRASH */
};

/* What became of a run; *stop is valid during the call. Called once for each that was begun. */
typedef void cleave_stop_fn(void *context, const struct cleave_stop *stop);

/* One level of a walk, from the top. */
struct cleave_translation_step {
    unsigned level; /* 4 or 5 at the top, 1 for 4 KiB pages */
    uint64_t entry; /* raw, in the format of Intel's EPT */
};

/* Where the guest's page table leads. */
struct cleave_translation {
    struct cleave_translation_step steps[5];
    unsigned step_count;
    bool mapped;
    uint64_t hpa;        /* of the byte asked for; valid where mapped, as are the following */
    uint64_t page_start; /* the GPA range of the leaf that holds it */
    uint64_t page_size;
    bool read, write, execute, accessed, dirty;
    const char *memory_type; /* "WB" and so on; lives as long as the program, as does the following */
    const char *backing;     /* where the page's bytes are: "overlay" or "layer" */
};

/* A run of a guest's pages that are adjacent in GPA and HPA, of one size, and alike. */
struct cleave_mapping {
    uint64_t gpa, bytes;
    uint64_t hpa;       /* of its first byte */
    uint64_t page_size; /* bytes */
    bool read, write, execute, accessed, dirty;
    const char *memory_type; /* as in a translation */
};

#ifdef __cplusplus
}
#endif

#endif
