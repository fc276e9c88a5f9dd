/* x86-64 long-mode page tables, 4 or 5 levels: a guest's own, a host's, and AMD NPT (set PT_U on every leaf there).
 * See <ept/api.h> for every function, with the prefix x86_. Addresses are the low 48 (57) bits: pass a canonical
 * address of the upper half with its sign extension cut off. */
#ifndef EPT_X86_H
#define EPT_X86_H

#include <ept/types.h>

#define PT_FORMAT x86
PT_START
#include <ept/api.h>
PT_FINISH
#undef PT_FORMAT

#endif
