/* What the microvisor plays through, by name: the agreement between rom.c, which says `ok NAME` over the console, and
 * tests/hw/microvisor.c, which expects that of each. A scenario starts and ends with nothing mapped. */
#ifndef TESTS_HW_MICROVISOR_SCENARIOS_H
#define TESTS_HW_MICROVISOR_SCENARIOS_H

#define MICROVISOR_SCENARIOS(S)                                                                                        \
    S(a_guest_runs_on_what_was_built)                                                                                  \
    S(parent_writes_first)                                                                                             \
    S(child_writes_first)                                                                                              \
    S(both_write)                                                                                                      \
    S(last_owner_takes_back)

#define MICROVISOR_DECLARE(name) void name(void);
MICROVISOR_SCENARIOS(MICROVISOR_DECLARE)

#endif
