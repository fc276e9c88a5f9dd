/* Rates: see rate.h. */
#include "vmm/base/rate.h"

#define EVERY_NS UINT64_C(1000000000)

bool rate_allows(struct rate *rate, uint64_t now_ns, uint64_t *left_out)
{
    const uint64_t full_ns = rate->full_ns > now_ns ? rate->full_ns : now_ns;
    if (full_ns - now_ns > (RATE_BURST - 1) * EVERY_NS) {
        rate->left_out++;
        return false;
    }
    rate->full_ns = full_ns + EVERY_NS;
    *left_out = rate_take_left_out(rate);
    return true;
}

uint64_t rate_take_left_out(struct rate *rate)
{
    const uint64_t left_out = rate->left_out;
    rate->left_out = 0;
    return left_out;
}
