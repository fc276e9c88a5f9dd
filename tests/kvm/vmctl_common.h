/* What the tests of vmctl share: running the built one on this test's VMM. */
#ifndef TESTS_KVM_VMCTL_COMMON_H
#define TESTS_KVM_VMCTL_COMMON_H

#include "tests/kvm/control_common.h"

#include <sys/wait.h>

static char output[1 << 20];

/* vmctl with the words and what follows, its errors going where its output goes, by the shell. */
static inline FILE *begin_vmctl(const char *words)
{
    char program[256], line[1024];
    vmm_build_path(program, sizeof program, "tools/vmctl");
    snprintf(line, sizeof line, "LC_ALL=C CLEAVE_SOCKET=%s exec %s %s 2>&1", vmm_process_socket(vmm), program, words);
    FILE *pipe = popen(line, "r");
    ck_assert_ptr_nonnull(pipe);
    return pipe;
}

/* Its exit status. What is still to be read of it goes to `output`. */
static inline int end_vmctl(FILE *pipe)
{
    size_t length = fread(output, 1, sizeof output - 1, pipe);
    output[length] = '\0';
    int status = pclose(pipe);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static inline int vmctl(const char *words)
{
    return end_vmctl(begin_vmctl(words));
}

static inline void expect_status(const char *words, int status, const char *phrase)
{
    ck_assert_msg(vmctl(words) == status, "vmctl %s: %s", words, output);
    ck_assert_msg(strstr(output, phrase) != NULL, "vmctl %s: %s", words, output);
}

static inline void expect_output(const char *words, const char *phrase)
{
    expect_status(words, 0, phrase);
}

#endif
