/* vmctl's command line: the options, in one list for argp, for help and for whoever checks what a command takes. */
#ifndef VMCTL_COMMAND_LINE_H
#define VMCTL_COMMAND_LINE_H

#include "tools/vmctl/vmctl.h"

#include <argp.h>

/* Ends with an entry of zeros; those with a key that option_of() knows belong to some commands only. */
extern const struct argp_option vmctl_options[];

/* The OPTION_ of one that not every command takes; 0: all take it. */
unsigned option_of(int key);

/* Reads it. What makes no sense is a line that says what to do, and ends the program with EXIT_USAGE; asked for help
 * or version, it prints that and ends the program with 0. What is in *arguments lasts. */
const struct subcommand *command_line_read(struct arguments *arguments, int argc, char **argv);

/* help.c: what `vmctl help` says of the command. */
void print_subcommand_help(const struct subcommand *subcommand);

/* help.c: an argp help filter that puts in the list of commands, and of each option who takes it. */
char *vmctl_help_filter(int key, const char *text, void *input);

/* help.c: all of that, to stdout. */
void print_help(void);

/* suggest.c: the command whose name is most like that; NULL: none is. */
const char *suggest_subcommand(const char *name);

#endif
