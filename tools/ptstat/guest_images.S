/* The guests that ptstat measures, carried inside it so that it measures without any file beside it: guest_image.h. */
    .section .rodata

    .macro image name, file
    .globl \name\()_start, \name\()_end
    .balign 16
\name\()_start:
    .incbin "\file"
\name\()_end:
    .endm

    image workload, WORKLOAD_BIN
    image target, TARGET_BIN
    image hello, HELLO_BIN
    .section .note.GNU-stack, "", @progbits
