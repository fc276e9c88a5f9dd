/* The microvisor: plays its scenarios on whichever way to run guests the processor has. See scenarios.h. */
#include "tests/hw/microvisor/expect.h"
#include "tests/hw/microvisor/scenarios.h"
#include "tests/hw/microvisor/world.h"
#include "tests/hw/rom/console.h"
#include "tests/hw/rom/exceptions.h"

void main(void);

static const char *current = "start";

void expect_failed(const char *what)
{
    console_text("\nnot ok ");
    console_text(current);
    console_text(": ");
    console_text(what);
    machine_end();
}

static void play(const char *name, void (*scenario)(void))
{
    current = name;
    scenario();
    world_expect_empty();
    console_text("\nok ");
    console_text(name);
}

void main(void)
{
    exceptions_open();
    world_open();
#define PLAY(name) play(#name, name);
    MICROVISOR_SCENARIOS(PLAY)
    machine_end();
}
