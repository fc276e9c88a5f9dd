/* Lowers the VMM's vCPU threads, and the one that makes more of them: see kvm_priority.h. */
#include "tests/support/kvm_priority.h"

#include "tests/support/rounds.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define LOW_PRIORITY 10

static bool runs_guests(pid_t vmm, const char *thread)
{
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/comm", (int)vmm, thread);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    if (!fgets(name, sizeof name, file))
        name[0] = 0;
    fclose(file);
    return strncmp(name, "vcpu", 4) == 0 || strcmp(name, "pool\n") == 0;
}

void kvm_lower_guests(const struct vmm_process *process)
{
    if (!on_slow_machine())
        return;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)vmm_process_pid(process));
    DIR *threads = opendir(path);
    ck_assert_ptr_nonnull(threads);
    for (struct dirent *thread; (thread = readdir(threads));) /* one that has ended meanwhile needs none */
        if (runs_guests(vmm_process_pid(process), thread->d_name))
            setpriority(PRIO_PROCESS, (id_t)strtoul(thread->d_name, NULL, 10), LOW_PRIORITY);
    closedir(threads);
}
