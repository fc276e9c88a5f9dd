/* SVM with nested paging, as guest.h wants it (APM volume 2, "Secure Virtual Machine"). */
#ifndef TESTS_HW_ROM_SVM_H
#define TESTS_HW_ROM_SVM_H

#include "tests/hw/rom/guest.h"

/* Sets EFER.SVME, the host save area and one VMCB (APM "Enabling SVM", "VMRUN Instruction"). False: the processor has
 * no SVM, or no nested paging. Nested tables have as many levels as the host's own. */
bool svm_open(void);

/* VMRUN, and what came of it (APM "#VMEXIT", "Nested versus Guest Page Faults, Fault Ordering", "SVM Intercept Exit
 * Codes"). Flushes all translations before if guest->flush (APM "TLB Flush"). */
void svm_run(struct guest *guest, struct guest_exit *exit);

#endif
