/* What the microvisor plays through, by name: the agreement between rom.c, which says `ok NAME` over the console, and
 * tests/hw/microvisor.c, which expects that of each. A scenario starts and ends with nothing mapped. */
#ifndef TESTS_HW_MICROVISOR_SCENARIOS_H
#define TESTS_HW_MICROVISOR_SCENARIOS_H

#define MICROVISOR_SCENARIOS(S)                                                                                        \
    S(a_guest_runs_on_what_was_built)                                                                                  \
    S(parent_writes_first)                                                                                             \
    S(child_writes_first)                                                                                              \
    S(both_write)                                                                                                      \
    S(last_owner_takes_back)                                                                                           \
    S(generations)                                                                                                     \
    S(a_chain_that_nobody_wrote_in)                                                                                    \
    S(a_child_goes_while_its_parent_runs)                                                                              \
    S(a_parent_goes_while_its_child_runs)                                                                              \
    S(written_pages_are_found_in_rounds)                                                                               \
    S(accessed_pages_are_found_in_rounds)                                                                              \
    S(forks_find_what_they_wrote)                                                                                      \
    S(split_protect_and_collapse)                                                                                      \
    S(dirty_bits_go_through_resizing)                                                                                  \
    S(resized_at_every_step)                                                                                           \
    S(a_huge_page_is_shared_and_resized)                                                                               \
    S(anything_in_any_order)

#define MICROVISOR_DECLARE(name) void name(void);
MICROVISOR_SCENARIOS(MICROVISOR_DECLARE)

#endif
