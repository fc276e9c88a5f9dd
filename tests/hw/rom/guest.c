/* See guest.h. */
#include "tests/hw/rom/guest.h"

#include "tests/hw/rom/machine.h"
#include "tests/hw/rom/svm.h"
#include "tests/hw/rom/vmx.h"

static enum guest_kind kind;

enum guest_kind guest_open(void)
{
    kind = vmx_open() ? GUEST_VMX : svm_open() ? GUEST_SVM : GUEST_NONE;
    return kind;
}

void guest_init(struct guest *guest)
{
    *guest = (struct guest){
        .registers.rflags = RFLAGS_SET,
        .cr0 = CR0_PG | CR0_WP | CR0_NE | CR0_PE,
        .cr4 = CR4_PAE,
        .efer = EFER_LME | EFER_LMA | EFER_NXE,
    };
}

void guest_run(struct guest *guest, struct guest_exit *exit)
{
    *exit = (struct guest_exit){0};
    if (kind == GUEST_VMX)
        vmx_run(guest, exit);
    else
        svm_run(guest, exit);
}

void guest_flush(struct guest *guest)
{
    if (kind == GUEST_VMX)
        vmx_flush(guest);
    else
        guest->flush = true;
}
