/* Where the programs are that ptstat starts. */
#ifndef PTSTAT_FIND_PROGRAM_H
#define PTSTAT_FIND_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/* The path of the first program of this name in $PATH; false where there is none. */
bool find_in_path(const char *name, char *path, size_t size);

/*
 * The path of vmm: in the folder above ptstat's own, as the Makefile leaves them, or else the first of $PATH. Prints
 * one line and exits with EXIT_RUNTIME where there is none.
 */
void find_vmm(char *path, size_t size);

#endif
