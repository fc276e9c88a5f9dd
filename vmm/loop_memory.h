/* Memory for libuv, which aborts, and with it every guest, where it gets none for the table of its descriptors: there
 * is a reserve for when malloc(3) has nothing left. */
#ifndef VMM_LOOP_MEMORY_H
#define VMM_LOOP_MEMORY_H

#define LOOP_MEMORY_RESERVE (256u << 10) /* bytes: tables for some ten thousand descriptors; untouched until needed */

/* Before anything of libuv is called. What is allocated is the event-loop thread's alone. 0, or a libuv error. */
int loop_memory_init(void);

#endif
