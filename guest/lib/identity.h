/* Who this guest is, and noticing that it has become another: a fork's child goes on where its parent was. */
#ifndef GUEST_LIB_IDENTITY_H
#define GUEST_LIB_IDENTITY_H

#include "guest/lib/guest.h"
#include "guest/lib/probe.h"

/* The probe, in guest memory. */
#define PROBE ((volatile struct probe *)(uintptr_t)PROBE_GPA)

/* Fills in the probe: name, nonce from the entropy and RDTSC, identity; the rest zero. */
void probe_start(boot_info *info, const char *name);

/* True once after each fork or restore that made this guest; the probe then holds the new identity. */
bool identity_changed(boot_info *info);

/* " guest G generation E" */
void print_identity(boot_info *info);

#endif
