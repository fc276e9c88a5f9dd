/* hello: says what machine it finds itself in, and exits with code 0. The smallest proof that a VMM works. */
#include "guest/lib/args.h"
#include "guest/lib/console.h"

unsigned guest_main(boot_info *info, unsigned cpu)
{
    (void)cpu;
    args_check(info, "code");
    print_text("hello from");
    print_field("guest", info->guest_id);
    print_field("generation", info->generation);
    print_field("vcpus", info->cpus);
    print_field("ram", info->ram_bytes);
    print_text("\n");
    return (unsigned)arg_number(info, "code", 0);
}
