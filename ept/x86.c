/* The x86-64 and AMD NPT instance of the generic code: every x86_ function of <ept/x86.h>. */
#include <ept/x86.h>

#include "ept/format_x86.h"
#include "ept/lock.h"
#include "ept/text.h"

#define PT_FORMAT x86
#include "ept/generic/all.h"
