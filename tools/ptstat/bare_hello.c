/* See bare_hello.h. */
#include "tools/ptstat/bare_hello.h"
#include "cleave/guest_abi.h"
#include "tools/ptstat/bare_boot.h"
#include "tools/ptstat/bare_vm.h"
#include "tools/ptstat/terminal.h"
#include "tools/ptstat/workload.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct console {
    int fd;
    char bytes[256]; /* those behind the first; what does not fit is dropped */
    size_t count, passed;
};

static void pass_on(const struct console *console, const void *bytes, size_t length)
{
    if (write(console->fd, bytes, length) != (ssize_t)length)
        bare_failed("cannot write the guest's console");
}

static void take(struct console *console, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (console->passed++ == 0)
            pass_on(console, bytes, 1);
        else if (console->count < sizeof(console->bytes))
            console->bytes[console->count++] = bytes[i];
    }
}

/* Until its exit code is there. */
static uint32_t run(struct bare_vm *vm, struct console *console)
{
    const struct kvm_run *run = vm->run;
    const char *data;
    uint32_t code;

    for (;;) {
        if (ioctl(vm->vcpu, KVM_RUN, 0) < 0 && errno != EINTR && errno != EAGAIN)
            bare_failed("KVM_RUN");
        if (run->exit_reason == KVM_EXIT_INTR)
            continue;
        if (run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT)
            die(EXIT_RUNTIME, "bare KVM: the guest crashed (exit reason %u)", run->exit_reason);
        data = (const char *)run + run->io.data_offset;
        if (run->io.port == PORT_CONSOLE)
            take(console, data, (size_t)run->io.size * run->io.count);
        if (run->io.port == PORT_EXIT) {
            memcpy(&code, data, sizeof(code));
            return code;
        }
    }
}

int bare_hello(int image, uint64_t memory, int console_fd)
{
    const struct workload no_words = {.count = 0};
    struct bare *bare = bare_open(memory);
    struct console console = {.fd = console_fd};
    struct bare_state state = {0};
    struct bare_vm vm;
    uint32_t code;

    bare_vm_open(bare, &vm, MAP_SHARED, 0);
    KVM_CALL(vm.vcpu, KVM_GET_SREGS, &state.sregs);
    bare_boot(vm.window, memory, &no_words, &state.regs, &state.sregs);
    if (pread(image, vm.window + GUEST_LOAD_ADDRESS, memory - GUEST_LOAD_ADDRESS, 0) <= 0)
        bare_failed("cannot read the guest's file");
    bare_vm_set(&vm, &state);
    code = run(&vm, &console);
    if (console.count)
        pass_on(&console, console.bytes, console.count);
    return (int)(code & 0xff);
}
