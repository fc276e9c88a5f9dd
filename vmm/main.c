/* vmm: launches a guest and serves its control socket until the last guest has ended. See vmm(1). */
#include "vmm/control/control.h"
#include "vmm/family/family.h"
#include "vmm/base/log.h"
#include "vmm/options.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define EXIT_REFUSED 125

struct vmm {
    uv_loop_t loop;
    uv_signal_t interrupt, terminate;
    struct host *host;
    struct control *control; /* NULL without --control */
};

/* SIGINT and SIGTERM end the VMM as `quit` does, with nothing left behind. */
static void on_signal(uv_signal_t *handle, int number)
{
    struct vmm *vmm = handle->data;
    log_info("signal %d: ending every guest", number);
    host_quit(vmm->host);
}

/* Closing these and the control socket, which first tells its clients, leaves the loop without work: it returns. */
static void on_done(void *context)
{
    struct vmm *vmm = context;
    uv_close((uv_handle_t *)&vmm->interrupt, NULL);
    uv_close((uv_handle_t *)&vmm->terminate, NULL);
    if (vmm->control)
        control_close(vmm->control);
}

static void watch_signal(struct vmm *vmm, uv_signal_t *handle, int number)
{
    uv_signal_init(&vmm->loop, handle);
    handle->data = vmm;
    uv_signal_start(handle, on_signal, number);
}

/* Every guest, layer and client needs descriptors; the soft limit is low for the sake of select(2), not used here. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Where a standard descriptor is closed, the next file opened would take its number and be mistaken for it. */
static void fill_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* What is large goes back to the kernel when it is freed. By itself malloc learns to keep it, for each thread that has
 * ever saved a guest. */
static void give_large_memory_back(void)
{
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
}

static int run(struct vmm *vmm, const struct options *options, struct failure *failure)
{
    vmm->host = host_new(&vmm->loop, options, failure);
    if (!vmm->host)
        return -1;
    watch_signal(vmm, &vmm->interrupt, SIGINT);
    watch_signal(vmm, &vmm->terminate, SIGTERM);
    host_on_done(vmm->host, on_done, vmm);
    if (options->control) {
        vmm->control = control_listen(&vmm->loop, vmm->host, options->control, failure);
        if (!vmm->control)
            return -1;
    }
    if (host_launch(vmm->host, failure) < 0)
        return -1;
    uv_run(&vmm->loop, UV_RUN_DEFAULT);
    return 0;
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    struct options options;
    options_parse(&options, argc, argv);
    log_set_level(options.log);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of what writes it */
    raise_file_limit();
    give_large_memory_back();

    struct vmm vmm = {0};
    struct failure failure;
    int status = EXIT_REFUSED;
    uv_loop_init(&vmm.loop);
    if (run(&vmm, &options, &failure) == 0) {
        status = host_exit_status(vmm.host);
    } else {
        log_error("%s", failure.text);
        if (vmm.host)
            on_done(&vmm);
    }
    if (vmm.host)
        host_free(vmm.host);
    uv_run(&vmm.loop, UV_RUN_DEFAULT);
    uv_loop_close(&vmm.loop);
    free(options.args);
    return status;
}
