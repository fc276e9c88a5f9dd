/* One exercise a format: builds, changes, looks at and destroys a tree of so many levels. For main.c. */
#ifndef TESTS_FREESTANDING_EXERCISE_H
#define TESTS_FREESTANDING_EXERCISE_H

void exercise_ept(unsigned levels);
void exercise_x86(unsigned levels);

#endif
