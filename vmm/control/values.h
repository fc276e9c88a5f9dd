/* What the host and the command table say, as the JSON of the protocol. New references; NULL when out of memory. */
#ifndef VMM_CONTROL_VALUES_H
#define VMM_CONTROL_VALUES_H

#include "vmm/base/failure.h"
#include "vmm/control/command.h"
#include <cleave/cleave.h>

#include <jansson.h>

/* The greeting, the first line of every connection. */
json_t *greeting_json(void);

json_t *command_json(const struct command *command);
json_t *facts_json(const struct cleave_facts *facts);
json_t *guest_json(const struct cleave_guest_info *guest);
json_t *fork_json(const struct cleave_fork_report *report);
json_t *checkpoint_json(const struct cleave_checkpoint_report *report);
json_t *reset_json(const struct cleave_reset_report *report);
json_t *snapshot_json(const struct cleave_save_report *report);
json_t *restore_json(const struct cleave_restore_report *report);
json_t *stats_json(const struct cleave_stats *stats);
json_t *translation_json(const struct cleave_translation *translation);
json_t *mappings_json(const struct cleave_mapping *list, size_t count, uint64_t next);
json_t *mark_json(const struct cleave_mark *mark);
json_t *registers_json(const struct cleave_registers *registers);
json_t *stop_json(const struct cleave_stop *stop);

/* "exit" and so on, and the exit code; null where there is none. Then both, and what is known of a crash (NULL:
 * nothing). */
json_t *end_json(enum cleave_end end);
json_t *exit_code_json(enum cleave_end end, uint32_t code);
json_t *ending_json(enum cleave_end end, uint32_t exit_code, const struct cleave_crash *crash);

/* Adds to `object`, which is taken over, what is known of a crash but its reason. Either may be NULL. */
json_t *with_crash(json_t *object, const struct cleave_crash *crash);

json_t *event_json(const struct cleave_event *event);

#endif
