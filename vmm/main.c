/* vmm: launches a guest and serves its control socket until the last guest has ended. See vmm(1). */
#include "vmm/base/failure.h"
#include "vmm/base/log.h"
#include "vmm/control/control.h"
#include "vmm/crash_text.h"
#include "vmm/log_writer.h"
#include "vmm/loop_memory.h"
#include "vmm/options.h"
#include "vmm/process.h"

#include <cleave/cleave.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_QUIT    124
#define EXIT_REFUSED 125
#define EXIT_CRASHED 126

#define LOOK_MS 50 /* how often guests' overlays are looked at, where they are limited */

struct vmm {
    const struct options *options;
    uv_loop_t loop;
    uv_signal_t interrupt, terminate, hangup;
    uv_poll_t work; /* the family has something to dispatch */
    uv_timer_t look;
    struct cleave_family *family;
    struct control *control; /* NULL without --control */
    int console;             /* open for --console file:PATH, else -1 */
    int status;
    bool restored, failed; /* the guest of --restore could be made, or not: failure says why */
    bool done;             /* nothing is left to wait for but what is being saved and read */
    struct cleave_failure failure;
};

/* One that has been made and not been closed yet. */
static void close_handle(void *handle)
{
    if (((uv_handle_t *)handle)->type != UV_UNKNOWN_HANDLE && !uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Nobody waits for guests any more. What is being saved or read, which has been cancelled, is still waited for. */
static void close_work(struct vmm *vmm)
{
    if (vmm->done && !cleave_family_is_busy(vmm->family))
        close_handle(&vmm->work);
}

/* Closing these and the control socket, which first tells its clients, leaves the loop without work: it returns. */
static void finish(struct vmm *vmm)
{
    if (vmm->done)
        return;
    vmm->done = true;
    process_block_ends();
    close_handle(&vmm->interrupt);
    close_handle(&vmm->terminate);
    close_handle(&vmm->hangup);
    close_handle(&vmm->look);
    control_close(vmm->control);
    close_work(vmm);
}

static void on_idle(void *context)
{
    struct vmm *vmm = context;
    if (!vmm->options->linger || vmm->failed)
        finish(vmm);
}

static void quit(void *context)
{
    struct vmm *vmm = context;
    cleave_family_end(vmm->family);
    vmm->status = EXIT_QUIT;
    finish(vmm);
}

/* SIGINT, SIGTERM and SIGHUP end the VMM as `quit` does, with nothing left behind. */
static void on_signal(uv_signal_t *handle, int number)
{
    log_info("signal %d: ending every guest", number);
    quit(handle->data);
}

static void on_work(uv_poll_t *handle, int status, int events)
{
    (void)status, (void)events;
    struct vmm *vmm = handle->data;
    cleave_family_dispatch(vmm->family);
    close_work(vmm);
}

static void on_look(uv_timer_t *timer)
{
    struct vmm *vmm = timer->data;
    cleave_family_look(vmm->family);
}

/* The process's exit status follows the root; a root that was killed did not end by itself. */
static int status_of(const struct cleave_event *event)
{
    switch (event->end) {
    case CLEAVE_END_EXIT:
        return (int)(event->exit_code & 0xff);
    case CLEAVE_END_CRASH:
        return EXIT_CRASHED;
    default:
        return EXIT_QUIT;
    }
}

static void on_event(void *context, const struct cleave_event *event)
{
    struct vmm *vmm = context;
    bool ended = event->kind == CLEAVE_EVENT_EXITED || event->kind == CLEAVE_EVENT_CRASHED;
    if (ended && event->guest == 0)
        vmm->status = status_of(event);
    if (event->kind == CLEAVE_EVENT_CRASHED)
        crash_print(event->guest, event->timestamp_ns, event->crash);
    if (vmm->control)
        control_event(vmm->control, event);
}

static int fail_uv(struct vmm *vmm, int error, const char *what)
{
    return fail_errno(&vmm->failure, -error, "%s", what);
}

static int make_loop(struct vmm *vmm)
{
    if (process_check_room(&vmm->failure) < 0)
        return -1;
    int error = loop_memory_init();
    if (error == 0)
        error = uv_loop_init(&vmm->loop);
    return error < 0 ? fail_uv(vmm, error, "cannot make an event loop") : 0;
}

static int watch_signal(struct vmm *vmm, uv_signal_t *handle, int number)
{
    int error = uv_signal_init(&vmm->loop, handle);
    handle->data = vmm;
    if (error == 0)
        error = uv_signal_start(handle, on_signal, number);
    return error < 0 ? fail_uv(vmm, error, "cannot wait for signals") : 0;
}

static int watch_family(struct vmm *vmm)
{
    int error = uv_poll_init(&vmm->loop, &vmm->work, cleave_family_descriptor(vmm->family));
    vmm->work.data = vmm;
    if (error == 0)
        error = uv_poll_start(&vmm->work, UV_READABLE, on_work);
    if (error == 0)
        error = uv_timer_init(&vmm->loop, &vmm->look);
    vmm->look.data = vmm;
    if (error == 0 && vmm->options->limit_overlay)
        error = uv_timer_start(&vmm->look, on_look, LOOK_MS, LOOK_MS);
    return error < 0 ? fail_uv(vmm, error, "cannot wait for guests") : 0;
}

static int open_console(struct vmm *vmm, struct cleave_config *config)
{
    const struct options *options = vmm->options;
    if (options->console == CONSOLE_STDIO)
        config->console = STDOUT_FILENO;
    if (options->console != CONSOLE_FILE)
        return 0;
    /* Non-blocking, as a FIFO would be waited for until somebody reads it. Whoever writes waits by poll(2). */
    const int flags = O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    config->console = vmm->console = open(options->console_path, flags, 0666);
    if (vmm->console >= 0)
        return 0;
    struct stat status;
    const int error = errno;
    if (error == ENXIO && stat(options->console_path, &status) == 0 && S_ISFIFO(status.st_mode))
        return fail(&vmm->failure, CLEAVE_INVALID_ARGUMENT,
                    "--console file:%s: nobody reads this FIFO; start its reader first", options->console_path);
    return fail_errno(&vmm->failure, error, "--console file:%s", options->console_path);
}

static int make_family(struct vmm *vmm)
{
    const struct options *options = vmm->options;
    struct cleave_config config = {
        .memory = options->memory,
        .cpus = options->cpus,
        .snapshot = options->restore,
        .limit_guests = options->limit_guests,
        .limit_overlay = options->limit_overlay,
        .ready_vms = options->control != NULL,
    };
    if (open_console(vmm, &config) < 0)
        return -1;
    vmm->family = cleave_family_new(&config, &vmm->failure);
    if (!vmm->family)
        return -1;
    cleave_family_on_event(vmm->family, on_event, vmm);
    cleave_family_on_idle(vmm->family, on_idle, vmm);
    return 0;
}

static void on_restored(void *context, const struct cleave_restore_report *report, const struct cleave_failure *failure)
{
    struct vmm *vmm = context;
    vmm->failed = !report;
    vmm->restored = report != NULL;
    if (failure)
        vmm->failure = *failure;
}

/* One whose file is read whole takes its time: clients are served when there is a guest 0. */
static int wait_for_guest(struct vmm *vmm)
{
    struct pollfd work = {.fd = cleave_family_descriptor(vmm->family), .events = POLLIN};
    while (!vmm->restored && !vmm->failed) {
        poll(&work, 1, -1);
        cleave_family_dispatch(vmm->family);
    }
    return vmm->restored ? 0 : -1;
}

/* The guest of the command line. */
static int make_guest(struct vmm *vmm)
{
    const struct options *options = vmm->options;
    uint64_t guest;
    if (options->restore) {
        const struct cleave_restore_request request = {options->restore, options->paused, options->restore_eager};
        return cleave_guest_restore(vmm->family, &request, on_restored, vmm, &vmm->failure) < 0 ? -1
                                                                                                : wait_for_guest(vmm);
    }
    const struct cleave_launch launch = {options->guest, options->args, options->cpl, options->paused};
    return cleave_guest_launch(vmm->family, &launch, &guest, &vmm->failure);
}

static int listen_to_clients(struct vmm *vmm)
{
    const char *path = vmm->options->control;
    if (!path)
        return 0;
    vmm->control = control_listen(&vmm->loop, vmm->family, path, quit, vmm, &vmm->failure);
    return vmm->control ? 0 : -1;
}

/* One whom nohup(1) has made deaf to SIGHUP stays so. */
static int watch_signals(struct vmm *vmm)
{
    struct sigaction hangup;
    const bool deaf = sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler == SIG_IGN;
    if (watch_signal(vmm, &vmm->interrupt, SIGINT) < 0 || watch_signal(vmm, &vmm->terminate, SIGTERM) < 0)
        return -1;
    return deaf ? 0 : watch_signal(vmm, &vmm->hangup, SIGHUP);
}

/* Runs until all is over. False: vmm->failure says why not. */
static bool run(struct vmm *vmm)
{
    if (make_family(vmm) < 0)
        return false;
    bool begun =
        watch_family(vmm) == 0 && watch_signals(vmm) == 0 && listen_to_clients(vmm) == 0 && make_guest(vmm) == 0;
    if (begun)
        uv_run(&vmm->loop, UV_RUN_DEFAULT);
    return begun && !vmm->failed;
}

/* Whatever there is by now. */
static void take_down(struct vmm *vmm)
{
    if (vmm->family) {
        cleave_family_on_event(vmm->family, NULL, NULL);
        cleave_family_on_idle(vmm->family, NULL, NULL);
    }
    if (vmm->family)
        finish(vmm);
    close_handle(&vmm->work);
    uv_run(&vmm->loop, UV_RUN_DEFAULT);
    cleave_family_free(vmm->family);
    if (vmm->console >= 0)
        close(vmm->console);
}

/* From an event loop to its end. The exit status. */
static int serve(const struct options *options)
{
    struct vmm vmm = {.options = options, .console = -1};
    if (make_loop(&vmm) < 0) {
        log_error("%s", vmm.failure.text);
        return EXIT_REFUSED;
    }
    if (!run(&vmm)) {
        log_error("%s", vmm.failure.text);
        vmm.status = EXIT_REFUSED;
    }
    const int status = vmm.status;
    take_down(&vmm);
    uv_loop_close(&vmm.loop);
    crash_print_left_out();
    return status;
}

int main(int argc, char **argv)
{
    process_init();
    struct options options;
    options_parse(&options, argc, argv);
    log_writer_init(options.log);
    if (options.misplaced)
        log_warning("%s comes after the guest and so goes to the guest; options of vmm come before it",
                    options.misplaced);
    int status = EXIT_REFUSED;
    if (log_writer_start() < 0)
        log_error("cannot start a thread for messages (see ulimit -u and -v): %s", strerrordesc_np(errno));
    else
        status = serve(&options);
    log_writer_end();
    free(options.args);
    return status;
}
