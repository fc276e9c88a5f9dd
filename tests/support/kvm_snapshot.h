/* Saving guests of a VMM under test to files, and restoring them: what the KVM tests of snapshots share. As in
 * kvm_rig.h, every function ends the test where what it does goes wrong. */
#ifndef TESTS_SUPPORT_KVM_SNAPSHOT_H
#define TESTS_SUPPORT_KVM_SNAPSHOT_H

#include "tests/support/kvm_rig.h"

#include <sys/types.h>

/* A path in this program's temporary folder. The last few that were asked for stay valid. */
const char *snapshot_place(const char *name);

/* Saves the guest and waits for it. */
void rig_snapshot(struct rig *rig, uint64_t guest, const char *path);
void rig_diff(struct rig *rig, uint64_t guest, const char *path);

/* How to restore. */
enum { RESTORE_PAUSED = 1, RESTORE_EAGER = 2 };

/* The new guest's id. */
uint64_t rig_restore(struct rig *rig, const char *path, unsigned how);

/* A VMM with a control socket that was started with --restore PATH --paused and these words. */
struct rig rig_start_restored(const char *path, const char *const words[]);
#define RESTORED(path, ...) rig_start_restored(path, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* Everything in the file is right, every checksum included. */
bool snapshot_is_whole(const char *path);
void snapshot_check_whole(const char *path);

off_t snapshot_size(const char *path);
void snapshot_copy(const char *from, const char *to);

/* How many files are in the folder, hidden ones included. */
size_t snapshot_count_files(const char *folder);

/* All RAM of a guest that stands still, for the caller to free; and that of another is the same but for boot_info. */
uint8_t *rig_ram(struct rig *rig, uint64_t guest, size_t bytes);
void rig_check_ram(struct rig *rig, uint64_t guest, const uint8_t *wanted, size_t bytes);

/* Of all RAM but what boot_info says about who the guest is. */
uint64_t rig_hash_ram(struct rig *rig, uint64_t guest, size_t bytes);

#endif
