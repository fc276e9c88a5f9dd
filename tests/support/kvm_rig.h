/*
 * A VMM under test with a client of its control socket: what the KVM tests share. Every function here ends the test
 * with a message where what it does goes wrong, so tests say only what they are about.
 */
#ifndef TESTS_SUPPORT_KVM_RIG_H
#define TESTS_SUPPORT_KVM_RIG_H

#include "guest/lib/probe.h"
#include "tools/client/client.h"
#include "tools/client/vmm_process.h"

#include <check.h>
#include <cleave/guest_abi.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define RIG_PATIENCE_MS 60000 /* how long anything that must happen is waited for */
#define RIG_TIMEOUT_S   180   /* for tcase_set_timeout */

#define EXIT_VMM_QUIT    124
#define EXIT_VMM_REFUSED 125
#define EXIT_VMM_CRASHED 126

struct rig {
    struct vmm_process *process;
    struct client *client;
};

/*
 * Starts the built vmm with a control socket and these words, and connects to it. A word "@NAME" becomes the path of
 * the guest of that name: "@counter" is build/guest/counter.bin and "@counter.elf" build/guest/counter.elf.
 */
struct rig rig_start(const char *const words[]);
#define RIG(...) rig_start((const char *const[]){__VA_ARGS__, NULL})

/* Ends the VMM by `quit`, which must give its exit status 124, and removes what it left. */
void rig_quit(struct rig *rig);

/* Waits for the VMM's own end, and removes what it left. Its exit status. */
int rig_wait_exit(struct rig *rig);

/* The reply to a command that must succeed, a new reference. The arguments are in json_pack's notation; NULL = none. */
json_t *rig_call(struct rig *rig, const char *command, const char *format, ...);

/* The command with one argument, `guest`, must succeed: pause, resume, kill. */
void rig_do(struct rig *rig, const char *command, uint64_t guest);

/* The command must be refused with this error class and a text that has `word` in it. */
void rig_refused(struct rig *rig, const char *class, const char *word, const char *command, const char *format, ...);

/* Forks; the children's ids go to children[count] (NULL is allowed). The first child's id. */
uint64_t rig_fork(struct rig *rig, uint64_t guest, unsigned count, bool paused, uint64_t *children);

/* Of guest memory; of the probe and of boot_info, which are at fixed places. */
void rig_read(struct rig *rig, uint64_t guest, uint64_t gpa, size_t length, void *buffer);
struct probe rig_probe(struct rig *rig, uint64_t guest);
struct boot_info rig_boot_info(struct rig *rig, uint64_t guest); /* without the arguments */

/* Waits until the guest's own counter is beyond `count`, or it has ended before: false. */
bool rig_counts_beyond(struct rig *rig, uint64_t guest, uint64_t count);

/* Waits until the guest's own counter has grown by so much; the guest runs, and has found nothing wrong. */
void rig_run_on(struct rig *rig, uint64_t guest, uint64_t counts);

/* What the vCPUs of a paused guest have counted together. Each adds to its own counter and then to the shared one, so
 * between the two there may be one a vCPU, and no more. */
uint64_t rig_count_of_vcpus(struct rig *rig, uint64_t guest, unsigned vcpus);

/* One counter of query-stats. */
uint64_t rig_stat(struct rig *rig, uint64_t guest, const char *name);

/* What query-guests says of one guest, and how many guests it says are running or paused. */
struct rig_guest {
    uint64_t id, generation, children;
    int64_t parent;    /* -1: none */
    int64_t exit_code; /* -1: none */
    char state[16];
};
struct rig_guest rig_guest(struct rig *rig, uint64_t guest);
size_t rig_live(struct rig *rig);

/* How often the guest has made this mark. */
unsigned rig_marks(struct rig *rig, uint64_t guest, uint32_t value);

/* What the guest has written to its console; for the caller to free. */
char *rig_console(struct rig *rig, uint64_t guest);

bool rig_state_is(struct rig *rig, uint64_t guest, const char *state);

/* Looks again and again until `condition` holds. */
#define RIG_UNTIL(condition)                                                                                           \
    for (uint64_t rig_until_ = rig_now_ms() + RIG_PATIENCE_MS; !(condition);)                                          \
    rig_wait(rig_until_, __FILE__, __LINE__, #condition)
uint64_t rig_now_ms(void);
void rig_wait(uint64_t until_ms, const char *file, int line, const char *condition);
void rig_sleep_ms(unsigned ms);

/* The guest has ended by itself with this exit code; waits for it. Needs a VMM that lives longer (--linger). */
void rig_wait_exited(struct rig *rig, uint64_t guest, int64_t exit_code);

/* A VMM that ran to its end without a control socket. */
struct outcome {
    int status; /* exit status, or 128 + the signal */
    char *output, *errors;
};
struct outcome rig_run(const char *const words[]);
#define RUN(...) rig_run((const char *const[]){__VA_ARGS__, NULL})
void outcome_free(struct outcome *outcome);

/* It ended with 125, wrote nothing to stdout and one line to stderr, which has every one of the words in it. */
void outcome_refused(struct outcome outcome, const char *const words[]);
#define REFUSED(outcome, ...) outcome_refused(outcome, (const char *const[]){__VA_ARGS__, NULL})

/* The words with "@NAME" made into paths, NULL-ended; for rig_free_words. */
char **rig_words(const char *first, const char *const words[]);
void rig_free_words(char **words);

/* Runs the suite with a temporary folder of its own and removes that. Shows what the VMMs of failed tests wrote to
 * stderr. EXIT_SUCCESS or EXIT_FAILURE. */
int rig_main(Suite *suite);

#endif
