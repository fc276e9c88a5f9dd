/* See environment.h. */
#include "tools/ptstat/environment.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void read_cpu(char *text, size_t size)
{
    static const char key[] = "model name";
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];

    snprintf(text, size, "unknown");
    while (file && fgets(line, sizeof(line), file)) {
        char *value = strchr(line, ':');

        if (strncmp(line, key, sizeof(key) - 1) != 0 || !value)
            continue;
        value += 1 + strspn(value + 1, " \t");
        value[strcspn(value, "\n")] = '\0';
        snprintf(text, size, "%s", value);
        break;
    }
    if (file)
        fclose(file);
}

static void read_kvm(char *text, size_t size)
{
    static const char *const modules[] = {"kvm_intel", "kvm_amd", "kvm_pvm"};

    snprintf(text, size, "unknown");
    for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
        char path[64];

        snprintf(path, sizeof(path), "/sys/module/%s", modules[i]);
        if (!access(path, F_OK))
            snprintf(text, size, "%s", modules[i]);
    }
}

void environment_read(struct environment *environment)
{
    struct utsname host;

    if (uname(&host))
        snprintf(environment->kernel, sizeof(environment->kernel), "unknown");
    else
        snprintf(environment->kernel, sizeof(environment->kernel), "%s %s", host.sysname, host.release);
    read_cpu(environment->cpu, sizeof(environment->cpu));
    read_kvm(environment->kvm, sizeof(environment->kvm));
    environment->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
}
