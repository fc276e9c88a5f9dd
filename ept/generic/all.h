/* The generic code, in order of dependence. Included once by the .c file of each format, which has included its format
 * header and defined PT_FORMAT; so everything but the functions of <ept/api.h> is static. */
#define PT_JOIN_(a, b) a##_##b
#define PT_JOIN(a, b)  PT_JOIN_(a, b)
#define PT_FN(name)    PT_JOIN(PT_FORMAT, name)

/* The order matters. */
/* clang-format off */
#include "ept/generic/gather.h"
#include "ept/generic/position.h"
#include "ept/generic/claim.h"
#include "ept/generic/leaf.h"
#include "ept/generic/prepare.h"
#include "ept/generic/own.h"
#include "ept/generic/split.h"
#include "ept/generic/map.h"
#include "ept/generic/protect.h"
#include "ept/generic/take.h"
#include "ept/generic/copy.h"
#include "ept/generic/resolve.h"
#include "ept/generic/collapse.h"
#include "ept/generic/harvest.h"
#include "ept/generic/lookup.h"
#include "ept/generic/tree.h"
#include "ept/generic/check.h"
#include "ept/generic/dump.h"
#include "ept/generic/image.h"
/* clang-format on */
