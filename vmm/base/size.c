/* Sizes as people write them: see size.h. */
#include "vmm/base/size.h"

#include <errno.h>
#include <stdlib.h>

bool size_parse(const char *text, uint64_t *bytes)
{
    if (text[0] < '0' || text[0] > '9')
        return false;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno)
        return false;
    unsigned shift = 0;
    switch (*end) {
    case 'K':
        shift = 10;
        break;
    case 'M':
        shift = 20;
        break;
    case 'G':
        shift = 30;
        break;
    case '\0':
        break;
    default:
        return false;
    }
    if (shift && end[1])
        return false;
    if (number > (UINT64_MAX >> shift))
        return false;
    *bytes = (uint64_t)number << shift;
    return true;
}
