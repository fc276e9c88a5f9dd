/* Random operations on x86-64 tables of 4 levels against the reference. */
#include "tests/support/model_driver.h"

int main(void)
{
    return model_main(&model_x86);
}
