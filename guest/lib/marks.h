/* The values that test guests send to the mark port; tests and ptstat include this too. It needs nothing else. */
#ifndef GUEST_LIB_MARKS_H
#define GUEST_LIB_MARKS_H

#define MARK_RESIDENT     0x1   /* workload, pattern: all pages are written once; rounds begin */
#define MARK_ROUND        0x10  /* workload with marks=1, pattern, smp: the end of a round */
#define MARK_FIRST_OUTPUT 0x100 /* in a child: its first useful output */
#define MARK_DEBT_PAID    0x101 /* workload's child: its working set is rewritten */
#define MARK_VERIFIED     0x102 /* pattern's, state's and smp's child: it found what it checks to be right */
#define MARK_WRONG        0x103 /* the same: it did not */

#endif
