/* The protocol's commands, in the order query-commands lists them. */
#ifndef VMM_CONTROL_COMMANDS_H
#define VMM_CONTROL_COMMANDS_H

#include "vmm/control/command.h"

extern const struct command_table control_commands;

#endif
