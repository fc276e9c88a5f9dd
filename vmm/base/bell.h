/*
 * A bell: how threads call the one that owns a family. It is a descriptor that becomes readable (eventfd(2)), so that
 * any event loop, or poll(2), can wait for it.
 */
#ifndef VMM_BASE_BELL_H
#define VMM_BASE_BELL_H

/* A descriptor, or -1 with errno. To be closed with close(2). */
int bell_new(void);

/* Any thread, and signal handlers. Rung twice it is rung. */
void bell_ring(int bell);

/* Until it is rung again. */
void bell_clear(int bell);

#endif
