/* The workload guest, carried inside ptstat so that it measures without any file beside it. */
    .section .rodata
    .globl workload_start, workload_end
    .balign 16
workload_start:
    .incbin WORKLOAD_BIN
workload_end:
    .section .note.GNU-stack, "", @progbits
