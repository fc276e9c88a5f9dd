/* A crash as text: see crash_text.h. */
#include "vmm/crash_text.h"

#include "vmm/base/log.h"
#include "vmm/base/rate.h"

#include <inttypes.h>
#include <stdio.h>

static void format_registers(const struct cleave_crash *crash, char *text, size_t room)
{
    const struct cleave_registers *r = &crash->registers;
    snprintf(text, room,
             "vCPU %u: rip %016" PRIx64 "  rflags %08" PRIx64 "  cs %04x (CPL %u)\n"
             "rax %016" PRIx64 "  rbx %016" PRIx64 "  rcx %016" PRIx64 "  rdx %016" PRIx64 "\n"
             "rsi %016" PRIx64 "  rdi %016" PRIx64 "  rbp %016" PRIx64 "  rsp %016" PRIx64 "\n"
             "r8  %016" PRIx64 "  r9  %016" PRIx64 "  r10 %016" PRIx64 "  r11 %016" PRIx64 "\n"
             "r12 %016" PRIx64 "  r13 %016" PRIx64 "  r14 %016" PRIx64 "  r15 %016" PRIx64 "\n"
             "cr0 %016" PRIx64 "  cr2 %016" PRIx64 "  cr3 %016" PRIx64 "  cr4 %016" PRIx64 "  efer %" PRIx64,
             crash->vcpu, r->rip, r->rflags, r->cs.selector, r->cs.selector & 3u, r->rax, r->rbx, r->rcx, r->rdx,
             r->rsi, r->rdi, r->rbp, r->rsp, r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15, r->cr0,
             r->cr2, r->cr3, r->cr4, r->efer);
}

/* Of the first guest, and of all others together: children may be many, each of which crashes once. */
static struct rate of_first, of_others;

static void print_left_out(uint64_t left_out)
{
    if (left_out)
        log_error("%" PRIu64 " more crashes of guests were not reported here; control clients are told of all",
                  left_out);
}

void crash_print_left_out(void)
{
    print_left_out(rate_take_left_out(&of_first) + rate_take_left_out(&of_others));
}

void crash_print(uint64_t guest, uint64_t now_ns, const struct cleave_crash *crash)
{
    uint64_t left_out;
    if (!rate_allows(guest ? &of_others : &of_first, now_ns, &left_out))
        return;
    print_left_out(left_out);
    char registers[1024] = "its registers cannot be read";
    if (crash->has_registers)
        format_registers(crash, registers, sizeof registers);
    log_error("guest %" PRIu64 " crashed: %s\n%s", guest, crash->reason, registers);
}
