/* A function without call frame information that calls back: `around(function)`. The frame pointer is kept. */
    .text
    .globl around
    .type around, @function
around:
    push %rbp
    mov %rsp, %rbp
    sub $32, %rsp
    call *%rdi
    leave
    ret
    .size around, .-around

/* The same without a frame pointer: only a guess gets past it. */
    .globl across
    .type across, @function
across:
    sub $40, %rsp
    call *%rdi
    add $40, %rsp
    ret
    .size across, .-across
    .section .note.GNU-stack, "", @progbits
