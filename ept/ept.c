/* The Intel EPT instance of the generic code: every ept_ function of <ept/ept.h>. */
#include <ept/ept.h>

#include "ept/format_ept.h"
#include "ept/lock.h"
#include "ept/text.h"

#define PT_FORMAT ept
#include "ept/generic/all.h"
