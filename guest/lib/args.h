/*
 * A guest's arguments: words of the form key=value in boot_info, with K, M and G after numbers. A bad one ends the
 * guest with a line that names it and exit code ARGS_EXIT, so that a misspelt test setup cannot pass for a working one.
 */
#ifndef GUEST_LIB_ARGS_H
#define GUEST_LIB_ARGS_H

#include "guest/lib/guest.h"

#define ARGS_EXIT 2

/* Ends the guest where its arguments hold anything but the keys of `known`, a list of words joined by spaces. */
void args_check(boot_info *info, const char *known);

/* The number given as key=value, or `otherwise`. */
uint64_t arg_number(boot_info *info, const char *key, uint64_t otherwise);

/* Is key=value given with exactly this value? */
bool arg_is(boot_info *info, const char *key, const char *value);

/* The index in `choices`, words joined by spaces, of the value of key; 0 where the key is not given. */
unsigned arg_choice(boot_info *info, const char *key, const char *choices);

#endif
