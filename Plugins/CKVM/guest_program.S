/*
 * The guest program: a command interpreter that runs in 64-bit mode at CPL 3 on a virtual processor. Its only surroundings
 * are identity-mapped memory, its mailbox (address in RDI at the start) and three ports. It keeps nothing on a stack and
 * nothing in registers from one command to the next, so the host may restart it at its first byte at any time.
 * Accesses are plain moves of eight bytes or one, never string instructions: an access that leaves the guest because no
 * memory slot is there is then one access, and the host can end it cleanly.
 */
#if defined(__x86_64__)
#include "ckvm_guest.h"

    .section .rodata.ckvm_guest_program, "a", @progbits
    .p2align 4
    .globl ckvm_guest_program_begin
    .hidden ckvm_guest_program_begin
    .globl ckvm_guest_program_end
    .hidden ckvm_guest_program_end
ckvm_guest_program_begin:
.Ldoorbell:
    movl $CKVM_PORT_DOORBELL, %edx
    xorl %eax, %eax
    outb %al, %dx
    movl CKVM_MAILBOX_COMMAND(%rdi), %eax
    movq CKVM_MAILBOX_ADDRESS(%rdi), %rsi
    movq CKVM_MAILBOX_COUNT(%rdi), %rcx
    movq CKVM_MAILBOX_VALUE(%rdi), %r8
    cmpl $CKVM_COMMAND_WRITE, %eax
    je .Lwrite
    cmpl $CKVM_COMMAND_READ, %eax
    je .Lread
    cmpl $CKVM_COMMAND_FILL, %eax
    je .Lfill
    cmpl $CKVM_COMMAND_CHECKSUM, %eax
    je .Lchecksum
    cmpl $CKVM_COMMAND_COMPARE, %eax
    je .Lcompare
    cmpl $CKVM_COMMAND_REQUEST, %eax
    je .Lrequest
    cmpl $CKVM_COMMAND_HAMMER, %eax
    je .Lhammer
    cmpl $CKVM_COMMAND_END, %eax
    je .Lend
    cmpl $CKVM_COMMAND_HYPERCALL, %eax
    je .Lhypercall
    cmpl $CKVM_COMMAND_REQUESTS, %eax
    je .Lrequests
    movl $CKVM_STATUS_UNKNOWN_COMMAND, CKVM_MAILBOX_STATUS(%rdi)
    jmp .Ldoorbell

.Ldone:
    movl $CKVM_STATUS_DONE, CKVM_MAILBOX_STATUS(%rdi)
    jmp .Ldoorbell

.Lwrite:
    leaq CKVM_MAILBOX_DATA(%rdi), %r10
    movq %rsi, %r11
    jmp .Lcopy
.Lread:
    movq %rsi, %r10
    leaq CKVM_MAILBOX_DATA(%rdi), %r11
.Lcopy: /* r10 -> r11, rcx bytes */
    cmpq $8, %rcx
    jb .Lcopy_bytes
    movq (%r10), %rax
    movq %rax, (%r11)
    addq $8, %r10
    addq $8, %r11
    subq $8, %rcx
    jmp .Lcopy
.Lcopy_bytes:
    testq %rcx, %rcx
    jz .Ldone
    movb (%r10), %al
    movb %al, (%r11)
    incq %r10
    incq %r11
    decq %rcx
    jmp .Lcopy_bytes

.Lfill:
    cmpq $8, %rcx
    jb .Lfill_bytes
    movq %r8, (%rsi)
    addq $8, %rsi
    subq $8, %rcx
    jmp .Lfill
.Lfill_bytes:
    testq %rcx, %rcx
    jz .Ldone
    movb %r8b, (%rsi)
    shrq $8, %r8
    incq %rsi
    decq %rcx
    jmp .Lfill_bytes

.Lchecksum:
    movabsq $0xcbf29ce484222325, %rax
    movabsq $0x00000100000001b3, %r9
.Lchecksum_next:
    testq %rcx, %rcx
    jz .Lchecksum_done
    movzbl (%rsi), %edx
    xorq %rdx, %rax
    imulq %r9, %rax
    incq %rsi
    decq %rcx
    jmp .Lchecksum_next
.Lchecksum_done:
    movq %rax, CKVM_MAILBOX_RESULT(%rdi)
    jmp .Ldone

.Lcompare:
    xorl %eax, %eax
.Lcompare_next:
    cmpq %rcx, %rax
    jae .Lcompare_done
    movb (%rsi,%rax), %dl
    cmpb %r8b, %dl
    jne .Lcompare_done
    incq %rax
    jmp .Lcompare_next
.Lcompare_done:
    movq %rax, CKVM_MAILBOX_RESULT(%rdi)
    jmp .Ldone

.Lrequest:
    movq %rsi, CKVM_MAILBOX_REQUEST_ADDRESS(%rdi)
    movq %rcx, CKVM_MAILBOX_REQUEST_COUNT(%rdi)
    movq %r8, CKVM_MAILBOX_REQUEST_TARGET(%rdi)
    movl $CKVM_PORT_REQUEST, %edx
    xorl %eax, %eax
    outb %al, %dx
    movq CKVM_MAILBOX_REPLY(%rdi), %rax
    movq %rax, CKVM_MAILBOX_RESULT(%rdi)
    movq CKVM_MAILBOX_REPLY_ADDRESS(%rdi), %rax
    movq %rax, CKVM_MAILBOX_RESULT_ADDRESS(%rdi)
    jmp .Ldone

.Lrequests: /* rcx entries */
    leaq CKVM_MAILBOX_DATA(%rdi), %r10
.Lrequests_next:
    testq %rcx, %rcx
    jz .Ldone
    movq CKVM_ENTRY_ADDRESS(%r10), %rax
    movq %rax, CKVM_MAILBOX_REQUEST_ADDRESS(%rdi)
    movq CKVM_ENTRY_COUNT(%r10), %rax
    movq %rax, CKVM_MAILBOX_REQUEST_COUNT(%rdi)
    movq CKVM_ENTRY_TARGET(%r10), %rax
    movq %rax, CKVM_MAILBOX_REQUEST_TARGET(%rdi)
    movl $CKVM_PORT_REQUEST, %edx
    xorl %eax, %eax
    outb %al, %dx
    movq CKVM_MAILBOX_REPLY(%rdi), %rax
    movq %rax, CKVM_ENTRY_REPLY(%r10)
    movq CKVM_MAILBOX_REPLY_ADDRESS(%rdi), %rax
    movq %rax, CKVM_ENTRY_REPLY_ADDRESS(%r10)
    addq $CKVM_ENTRY_SIZE, %r10
    decq %rcx
    jmp .Lrequests_next

.Lhypercall: /* RAX: the number; RBX, RCX, RDX: the arguments */
    movl $CKVM_HC_MAP_GPA_RANGE, %eax
    movq %rsi, %rbx
    movq %r8, %rdx
    vmcall
    movq %rax, CKVM_MAILBOX_RESULT(%rdi)
    jmp .Ldone

.Lhammer: /* r8 passes over (rsi, rcx) */
    addq %rsi, %rcx
.Lhammer_pass:
    testq %r8, %r8
    jz .Ldone
    movq %rsi, %rax
.Lhammer_next:
    cmpq %rcx, %rax
    jae .Lhammer_passed
    incq (%rax)
    addq $64, %rax
    jmp .Lhammer_next
.Lhammer_passed:
    decq %r8
    jmp .Lhammer_pass

.Lend:
    movl $CKVM_STATUS_DONE, CKVM_MAILBOX_STATUS(%rdi)
    movl $CKVM_PORT_END, %edx
    xorl %eax, %eax
    outb %al, %dx
    jmp .Ldoorbell
ckvm_guest_program_end:
#endif

    .section .note.GNU-stack, "", @progbits
