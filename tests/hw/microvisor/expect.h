/* Expectations of scenarios and of the microvisor itself. The first that fails ends the scenario and the machine. */
#ifndef TESTS_HW_MICROVISOR_EXPECT_H
#define TESTS_HW_MICROVISOR_EXPECT_H

#define EXPECT_TEXT_(line) #line
#define EXPECT_TEXT(line)  EXPECT_TEXT_(line)

#define EXPECT(condition) ((condition) ? (void)0 : expect_failed(__FILE__ ":" EXPECT_TEXT(__LINE__) ": " #condition))

/* Says `not ok SCENARIO: what` and turns the machine off. In rom.c. */
_Noreturn void expect_failed(const char *what);

#endif
