/* Intel EPT: page tables for VMX guests, 4 or 5 levels. See <ept/api.h> for every function, with the prefix ept_. */
#ifndef EPT_EPT_H
#define EPT_EPT_H

#include <ept/types.h>

#define PT_FORMAT ept
PT_START
#include <ept/api.h>
PT_FINISH
#undef PT_FORMAT

#endif
