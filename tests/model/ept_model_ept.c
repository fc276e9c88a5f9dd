/* Random operations on EPT of 4 levels against the reference. */
#include "tests/support/model_driver.h"

int main(void)
{
    return model_main(&model_ept);
}
