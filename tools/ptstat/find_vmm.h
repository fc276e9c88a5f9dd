/* Where the VMM is that ptstat starts. */
#ifndef PTSTAT_FIND_VMM_H
#define PTSTAT_FIND_VMM_H

#include <stddef.h>

/*
 * The path of vmm: in the folder above ptstat's own, as the Makefile leaves them, or else the first of $PATH. Prints
 * one line and exits with EXIT_RUNTIME where there is none.
 */
void find_vmm(char *path, size_t size);

#endif
