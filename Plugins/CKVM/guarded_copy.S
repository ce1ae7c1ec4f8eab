/*
 * ckvm_guarded_move and ckvm_guarded_clear for x86-64, System V ABI. Between the labels ckvm_guarded_begin and
 * ckvm_guarded_end nothing is pushed and no callee-saved register is touched, so that the fault handler can go to
 * ckvm_guarded_fixup from any instruction: it puts the signal number into EAX and the faulting address into RDX, and R8
 * holds the fourth argument all along.
 */
#if defined(__x86_64__)
    .text
    .globl ckvm_guarded_begin
    .hidden ckvm_guarded_begin
    .globl ckvm_guarded_end
    .hidden ckvm_guarded_end
    .globl ckvm_guarded_fixup
    .hidden ckvm_guarded_fixup

    .globl ckvm_guarded_move
    .hidden ckvm_guarded_move
    .type ckvm_guarded_move, @function
    .p2align 6
ckvm_guarded_move: /* rdi destination, rsi source, rdx count, rcx fault address out */
    .cfi_startproc
ckvm_guarded_begin:
    movq %rcx, %r8
    cmpq $8, %rdx
    jne 1f
    movq (%rsi), %rax
    movq %rax, (%rdi)
    xorl %eax, %eax
    ret
1:  ja 3f
    cmpq $4, %rdx
    jb 2f
    movl (%rsi), %eax            /* 4...7: two moves that overlap; exactly one for 4 */
    je 4f
    movl -4(%rsi,%rdx), %ecx
    movl %ecx, -4(%rdi,%rdx)
4:  movl %eax, (%rdi)
    xorl %eax, %eax
    ret
2:  cmpq $2, %rdx
    jb 5f
    movzwl (%rsi), %eax
    je 6f
    movzbl 2(%rsi), %ecx
    movb %cl, 2(%rdi)
6:  movw %ax, (%rdi)
    xorl %eax, %eax
    ret
5:  testq %rdx, %rdx
    je 7f
    movzbl (%rsi), %eax
    movb %al, (%rdi)
7:  xorl %eax, %eax
    ret
3:  cmpq $16, %rdx
    ja 8f
    movq (%rsi), %rax            /* 9...16 */
    movq -8(%rsi,%rdx), %rcx
    movq %rax, (%rdi)
    movq %rcx, -8(%rdi,%rdx)
    xorl %eax, %eax
    ret
8:  cmpq $32, %rdx
    ja 9f
    movups (%rsi), %xmm0         /* 17...32 */
    movups -16(%rsi,%rdx), %xmm1
    movups %xmm0, (%rdi)
    movups %xmm1, -16(%rdi,%rdx)
    xorl %eax, %eax
    ret
9:  cmpq $64, %rdx
    ja 10f
    movups (%rsi), %xmm0         /* 33...64 */
    movups 16(%rsi), %xmm1
    movups -32(%rsi,%rdx), %xmm2
    movups -16(%rsi,%rdx), %xmm3
    movups %xmm0, (%rdi)
    movups %xmm1, 16(%rdi)
    movups %xmm2, -32(%rdi,%rdx)
    movups %xmm3, -16(%rdi,%rdx)
    xorl %eax, %eax
    ret
10: cmpq $2048, %rdx
    jae 12f
11: movups (%rsi), %xmm0         /* 65...2047: 64 at a time, then the last 64 once more */
    movups 16(%rsi), %xmm1
    movups 32(%rsi), %xmm2
    movups 48(%rsi), %xmm3
    movups %xmm0, (%rdi)
    movups %xmm1, 16(%rdi)
    movups %xmm2, 32(%rdi)
    movups %xmm3, 48(%rdi)
    addq $64, %rsi
    addq $64, %rdi
    subq $64, %rdx
    cmpq $64, %rdx
    ja 11b
    movups -64(%rsi,%rdx), %xmm0
    movups -48(%rsi,%rdx), %xmm1
    movups -32(%rsi,%rdx), %xmm2
    movups -16(%rsi,%rdx), %xmm3
    movups %xmm0, -64(%rdi,%rdx)
    movups %xmm1, -48(%rdi,%rdx)
    movups %xmm2, -32(%rdi,%rdx)
    movups %xmm3, -16(%rdi,%rdx)
    xorl %eax, %eax
    ret
12: movq %rdx, %rcx
    rep movsb
    xorl %eax, %eax
    ret
    .cfi_endproc
    .size ckvm_guarded_move, . - ckvm_guarded_move

    .globl ckvm_guarded_clear
    .hidden ckvm_guarded_clear
    .type ckvm_guarded_clear, @function
    .p2align 4
ckvm_guarded_clear: /* rdi destination, rsi count, rdx fault address out */
    .cfi_startproc
    movq %rdx, %r8
    movq %rsi, %rcx
    xorl %eax, %eax
    rep stosb
    ret
    .cfi_endproc
    .size ckvm_guarded_clear, . - ckvm_guarded_clear
ckvm_guarded_end:

    .type ckvm_guarded_fixup, @function
ckvm_guarded_fixup: /* eax signal, rdx faulting address, r8 where to store it */
    .cfi_startproc
    movq %rdx, (%r8)
    ret
    .cfi_endproc
    .size ckvm_guarded_fixup, . - ckvm_guarded_fixup
#endif

    .section .note.GNU-stack, "", @progbits
