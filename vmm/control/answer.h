/*
 * The place of a reply that takes its time. Whoever does the work gives the answer, once, in any case; the client who
 * waits for it may go before.
 */
#ifndef VMM_CONTROL_ANSWER_H
#define VMM_CONTROL_ANSWER_H

#include "vmm/base/failure.h"

#include <jansson.h>

struct answer {
    /* Its connection's. */
    void (*give)(struct answer *answer, json_t *value, const struct cleave_failure *failure);

    /* For the worker to set: nobody waits for the answer any more. It is still to be given, then or later. NULL: the
     * work goes on all the same. */
    void (*gone)(void *context);
    void *context;
};

/* Sends the reply's "return", which it takes over, or where `value` is NULL *failure (NULL: NoMemory). The answer is
 * freed. The memory for it has been there from the start. */
static inline void answer_give(struct answer *answer, json_t *value, const struct cleave_failure *failure)
{
    answer->give(answer, value, failure);
}

#endif
