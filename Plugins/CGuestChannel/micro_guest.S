/*
 * The micro guest: firmware that is a whole guest, for a QEMU machine "pc" (i440fx) that is up in a few milliseconds.
 *
 * COM1 is its console. It takes single letters and prints single letters:
 *     U                 it is up
 *     a, r, i -> A R I  accept, refuse or ignore (the default) the removal of memory and PCI devices from now on
 *     m  p              it let a memory device, or a PCI device, go
 *     f                 it refused to let a memory device go
 *     X                 a processor exception: it halts
 * COM2, where there is one, is the request channel (guest_channel.h): it takes the commands GREET, ASK, WRITE, READ and
 * REMOVAL, and makes the requests that it is told to make.
 *
 * It runs in 64-bit mode with the first MICRO_GUEST_REACH GiB mapped one to one, so that WRITE and READ reach any memory
 * that is plugged in. It polls; a timer wakes it a thousand times a second when it has been idle for a while.
 *
 * Ports and registers: QEMU docs/specs/acpi_mem_hotplug.rst and acpi_pci_hotplug.rst; the PIIX4's GPE block at 0xafe0.
 */
#if defined(__x86_64__)
#include "guest_channel.h"
#include "micro_guest.h"

#define AT(label) (MICRO_GUEST_ADDRESS + label - micro_guest_begin)

#define COM1 0x3f8
#define COM2 0x2f8
#define LINE_STATUS 5 /* bit 0: a byte is there; bit 5: a byte can be sent; all ones: no port */
#define LOCAL_APIC 0xfee00000
#define LOCAL_APIC_SPURIOUS 0xf0 /* bit 8: enabled */
#define LOCAL_APIC_LINT0 0x350   /* delivery mode 7: from the legacy controllers */
#define GPE_STATUS 0xafe0 /* bit 1: PCI, bit 3: memory devices */
#define PCI_DOWN 0xae04
#define PCI_EJECT 0xae08
#define PCI_BUS 0xae10
#define MEMORY_SLOT 0xa00
#define MEMORY_OST_EVENT 0xa04
#define MEMORY_OST_STATUS 0xa08
#define MEMORY_FLAGS 0xa14 /* bit 2: is to be removed (write: noted); bit 3 (write): eject */
#define MEMORY_SLOTS 256
#define OST_EJECT_REQUEST 3
#define OST_DEVICE_IN_USE 0x80

#define CODE32 0x08
#define DATA 0x10
#define CODE64 0x18

/* Variables. */
#define RESCAN 0x1000       /* u8: there may be devices to be removed */
#define ASKING 0x1001       /* u8: a request is not answered yet */
#define ASKED_BY 0x1004     /* u32: the id of the command that it was made for */
#define REQUEST_ID 0x1008   /* u32: its own id */
#define RECEIVED 0x100c     /* u32: bytes in RECEIVE */
#define RECEIVE 0x2000      /* one frame and what follows */
#define SEND 0x3000         /* one frame */
#define PAYLOAD GUEST_CHANNEL_HEADER_SIZE
#define FEATURES (GUEST_CHANNEL_FEATURE_COMMANDS | GUEST_CHANNEL_FEATURE_MEMORY | GUEST_CHANNEL_FEATURE_REMOVAL)
#define SPINS 20000         /* polls with nothing to do before it halts */
/* R15: GUEST_CHANNEL_REMOVAL_...; R14: idle polls in a row. */

    .section .rodata.micro_guest, "a", @progbits
    .p2align 4
    .globl micro_guest_begin
    .hidden micro_guest_begin
micro_guest_begin:

    .code16
.Lreset:
    cli
    cld
    lgdtl %cs:(.Lgdt_pointer - micro_guest_begin)
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $CODE32, $AT(.Lprotected)

    .code32
.Lprotected:
    movw $DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax /* variables, buffers and the two upper levels of the page tables */
    movl $RESCAN, %edi
    movl $(MICRO_GUEST_PAGE_TABLES + 0x2000 - RESCAN) / 4, %ecx
    rep stosl
    movl $MICRO_GUEST_PAGE_TABLES + 0x1003, MICRO_GUEST_PAGE_TABLES
    movl $MICRO_GUEST_PAGE_TABLES + 0x2003, %eax
    movl $MICRO_GUEST_PAGE_TABLES + 0x1000, %edi
    movl $MICRO_GUEST_REACH, %ecx
1:  movl %eax, (%edi)
    addl $0x1000, %eax
    addl $8, %edi
    decl %ecx
    jnz 1b
    xorl %ebx, %ebx /* 2 MiB pages: present, writable, accessed, dirty */
    movl $MICRO_GUEST_PAGE_TABLES + 0x2000, %edi
1:  movl %ebx, %eax
    shll $21, %eax
    orl $0xe3, %eax
    movl %eax, (%edi)
    movl %ebx, %eax
    shrl $11, %eax
    movl %eax, 4(%edi)
    addl $8, %edi
    incl %ebx
    cmpl $MICRO_GUEST_REACH * 512, %ebx
    jb 1b
    movl %cr4, %eax
    orl $0x20, %eax /* PAE */
    movl %eax, %cr4
    movl $MICRO_GUEST_PAGE_TABLES, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx /* EFER.LME */
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000001, %eax
    movl %eax, %cr0
    ljmpl $CODE64, $AT(.Llong)

    .code64
.Llong:
    movl $MICRO_GUEST_STACK, %esp
    lidt .Lidt_pointer(%rip)
    movb $0x11, %al /* interrupt controllers: vectors 0x20 to 0x2f, the timer alone */
    outb %al, $0x20
    outb %al, $0xa0
    movb $0x20, %al
    outb %al, $0x21
    movb $0x28, %al
    outb %al, $0xa1
    movb $4, %al
    outb %al, $0x21
    movb $2, %al
    outb %al, $0xa1
    movb $1, %al
    outb %al, $0x21
    outb %al, $0xa1
    movb $0xfe, %al
    outb %al, $0x21
    movb $0xff, %al
    outb %al, $0xa1
    movl $LOCAL_APIC, %edi /* the local one lets the others' interrupts through */
    movl $0x1ff, LOCAL_APIC_SPURIOUS(%rdi)
    movl $0x700, LOCAL_APIC_LINT0(%rdi)
    movb $0x34, %al /* timer: 1 193 182 Hz / 1193 */
    outb %al, $0x43
    movb $1193 & 0xff, %al
    outb %al, $0x40
    movb $1193 >> 8, %al
    outb %al, $0x40
    movw $COM2 + 2, %dx /* COM2 with its FIFOs */
    movb $1, %al
    outb %al, %dx
    xorl %r15d, %r15d
    xorl %r14d, %r14d
    movb $'U', %al
    call .Lprint

.Lloop:
    call .Lconsole
    call .Lchannel
    call .Lremoval
    incl %r14d
    cmpl $SPINS, %r14d
    jb 1f
    sti
    hlt
    cli
    jmp .Lloop
1:  pause
    jmp .Lloop

/* AL -> COM1 */
.Lprint:
    movw $COM1, %dx
    outb %al, %dx
    ret

/* One letter from COM1. */
.Lconsole:
    movw $COM1 + LINE_STATUS, %dx
    inb %dx, %al
    cmpb $0xff, %al
    je 1f
    testb $1, %al
    jz 1f
    xorl %r14d, %r14d
    movw $COM1, %dx
    inb %dx, %al
    movl $GUEST_CHANNEL_REMOVAL_ACCEPT, %ecx
    cmpb $'a', %al
    je .Lset_removal
    movl $GUEST_CHANNEL_REMOVAL_REFUSE, %ecx
    cmpb $'r', %al
    je .Lset_removal
    movl $GUEST_CHANNEL_REMOVAL_IGNORE, %ecx
    cmpb $'i', %al
    je .Lset_removal
1:  ret

/* ECX: GUEST_CHANNEL_REMOVAL_...; says so on COM1. */
.Lset_removal:
    movl %ecx, %r15d
    movb $1, RESCAN
    leaq .Lremoval_letters(%rip), %rdx
    movb (%rdx,%rcx), %al
    jmp .Lprint
.Lremoval_letters:
    .ascii "IAR"

/* Devices that are to be removed. While it ignores them they stay noted. */
.Lremoval:
    movw $GPE_STATUS, %dx
    inb %dx, %al
    andb $0x0a, %al
    jz 1f
    outb %al, %dx /* write one to clear */
    movb $1, RESCAN
    xorl %r14d, %r14d
1:  cmpb $0, RESCAN
    je 9f
    cmpl $GUEST_CHANNEL_REMOVAL_IGNORE, %r15d
    je 9f
    movb $0, RESCAN
    cmpl $GUEST_CHANNEL_REMOVAL_ACCEPT, %r15d
    jne 3f
    movw $PCI_BUS, %dx
    xorl %eax, %eax
    outl %eax, %dx
    movl $32, %ecx
2:  movw $PCI_DOWN, %dx /* one slot at a time, the lowest first */
    inl %dx, %eax
    movl %eax, %ebx
    negl %ebx
    andl %ebx, %eax
    jz 3f
    movw $PCI_EJECT, %dx
    outl %eax, %dx
    movb $'p', %al
    call .Lprint
    decl %ecx
    jnz 2b
3:  xorl %ecx, %ecx
4:  movw $MEMORY_SLOT, %dx
    movl %ecx, %eax
    outl %eax, %dx
    movw $MEMORY_FLAGS, %dx
    inb %dx, %al
    testb $4, %al
    jz 8f
    movb $4, %al
    outb %al, %dx
    cmpl $GUEST_CHANNEL_REMOVAL_ACCEPT, %r15d
    jne 5f
    movb $8, %al
    outb %al, %dx
    movb $'m', %al
    call .Lprint
    jmp 8f
5:  movw $MEMORY_OST_EVENT, %dx
    movl $OST_EJECT_REQUEST, %eax
    outl %eax, %dx
    movw $MEMORY_OST_STATUS, %dx
    movl $OST_DEVICE_IN_USE, %eax
    outl %eax, %dx
    movb $'f', %al
    call .Lprint
8:  incl %ecx
    cmpl $MEMORY_SLOTS, %ecx
    jb 4b
9:  ret

/* Bytes from COM2, as many as are there and have room, and the frames in them. */
.Lchannel:
    movl RECEIVED, %ebx
1:  cmpl $GUEST_CHANNEL_MAXIMUM_FRAME, %ebx
    jae 2f
    movw $COM2 + LINE_STATUS, %dx
    inb %dx, %al
    cmpb $0xff, %al
    je 2f
    testb $1, %al
    jz 2f
    xorl %r14d, %r14d
    movw $COM2, %dx
    inb %dx, %al
    movb %al, RECEIVE(%rbx)
    incl %ebx
    jmp 1b
2:  cmpl $GUEST_CHANNEL_HEADER_SIZE, %ebx
    jb 9f
    cmpl $GUEST_CHANNEL_MAGIC, RECEIVE
    jne 4f
    cmpb $0, RECEIVE + GUEST_CHANNEL_FRAME_ZERO
    jne 4f
    movzwl RECEIVE + GUEST_CHANNEL_FRAME_LENGTH, %ebp /* EBP: the payload's length */
    cmpl $GUEST_CHANNEL_MAXIMUM_PAYLOAD, %ebp
    ja 4f
    leal GUEST_CHANNEL_HEADER_SIZE(%rbp), %r13d
    cmpl %r13d, %ebx
    jb 9f
    movl $RECEIVE, %edi
    call .Lcrc
    cmpl %eax, RECEIVE + GUEST_CHANNEL_FRAME_CRC
    jne 4f
    pushq %rbx
    call .Ldispatch
    popq %rbx
    jmp 5f
4:  movl $1, %r13d /* no frame: its first byte is skipped */
5:  subl %r13d, %ebx
    movl %ebx, %ecx
    movl $RECEIVE, %edi
    leal RECEIVE(%r13), %esi
    rep movsb
    jmp 2b
9:  movl %ebx, RECEIVED
    ret

/* EDI: a frame with EBP bytes of payload -> EAX: its checksum */
.Lcrc:
    movl $-1, %eax
    movl %edi, %esi
    movl $GUEST_CHANNEL_FRAME_CRC, %ecx
    call 1f
    leal PAYLOAD(%rdi), %esi
    movl %ebp, %ecx
    call 1f
    notl %eax
    ret
1:  jecxz 9f
2:  xorb (%rsi), %al
    incl %esi
    movl $8, %edx
3:  shrl $1, %eax
    jnc 4f
    xorl $0xedb88320, %eax
4:  decl %edx
    jnz 3b
    decl %ecx
    jnz 2b
9:  ret

/* The frame in RECEIVE, with EBP bytes of payload. RBX may be changed, R13 not. */
.Ldispatch:
    movzbl RECEIVE + GUEST_CHANNEL_FRAME_TYPE, %eax
    cmpl $GUEST_CHANNEL_REPLY, %eax
    je .Lreply
    cmpl $0x40, %eax
    jb 9f
    cmpl $0x80, %eax
    jae 9f
    cmpl $GUEST_CHANNEL_GREET, %eax
    je .Lgreet
    movl $GUEST_CHANNEL_RESULT_MALFORMED, %ebx
    cmpl $GUEST_CHANNEL_COMMAND_SIZE, %ebp
    jb .Lresult
    movq RECEIVE + PAYLOAD + GUEST_CHANNEL_RANGE_ADDRESS, %r8
    movq RECEIVE + PAYLOAD + GUEST_CHANNEL_RANGE_COUNT, %r9
    movl RECEIVE + PAYLOAD + GUEST_CHANNEL_RANGE_VALUE, %r10d
    cmpl $GUEST_CHANNEL_ASK, %eax
    je .Lask
    cmpl $GUEST_CHANNEL_WRITE, %eax
    je .Lwrite
    cmpl $GUEST_CHANNEL_READ, %eax
    je .Lread
    cmpl $GUEST_CHANNEL_REMOVAL, %eax
    je .Lremoval_command
    movl $GUEST_CHANNEL_RESULT_UNKNOWN_TYPE, %ebx
    jmp .Lresult
9:  ret

/* EBX: a status; the result of the command in RECEIVE, without data. */
.Lresult:
    xorl %ebp, %ebp
    xorl %r8d, %r8d
/* The same with the address R8 and with EBP bytes of data that are in SEND already. */
.Lresult_with_data:
    movl RECEIVE + GUEST_CHANNEL_FRAME_ID, %eax
/* The same for the command EAX. */
.Lresult_of:
    movl %ebx, SEND + PAYLOAD + GUEST_CHANNEL_RESULT_STATUS
    movl $0, SEND + PAYLOAD + GUEST_CHANNEL_RESULT_ERROR
    movq %r8, SEND + PAYLOAD + GUEST_CHANNEL_RESULT_ADDRESS
    addl $GUEST_CHANNEL_RESULT_SIZE, %ebp
    movl $GUEST_CHANNEL_RESULT, %ecx
/* Type ECX, id EAX, EBP bytes of payload in SEND. */
.Lsend:
    movl $GUEST_CHANNEL_MAGIC, SEND
    movl %ecx, SEND + GUEST_CHANNEL_FRAME_TYPE
    movw %bp, SEND + GUEST_CHANNEL_FRAME_LENGTH
    movl %eax, SEND + GUEST_CHANNEL_FRAME_ID
    movl $SEND, %edi
    call .Lcrc
    movl %eax, SEND + GUEST_CHANNEL_FRAME_CRC
    movl $SEND, %esi
    leal GUEST_CHANNEL_HEADER_SIZE(%rbp), %ecx
1:  movl $1000000, %edi /* so long for a host that does not read; then its bytes are lost */
2:  movw $COM2 + LINE_STATUS, %dx
    inb %dx, %al
    testb $0x20, %al
    jnz 3f
    decl %edi
    jnz 2b
3:  movb (%rsi), %al
    movw $COM2, %dx
    outb %al, %dx
    incl %esi
    decl %ecx
    jnz 1b
    ret

.Lgreet:
    movl $GUEST_CHANNEL_VERSION | GUEST_CHANNEL_VERSION << 16, SEND + PAYLOAD
    movl $FEATURES, SEND + PAYLOAD + GUEST_CHANNEL_HELLO_FEATURES
    movl $GUEST_CHANNEL_HELLO_SIZE, %ebp
    incl REQUEST_ID
    movl REQUEST_ID, %eax
    movb $0, ASKING
    movl $GUEST_CHANNEL_HELLO, %ecx
    call .Lsend
    xorl %ebx, %ebx
    jmp .Lresult

/* The value is taken as a request's type, whether there is one or not: the host shall meet unknown ones, too. */
.Lask:
    cmpl $0x40, %r10d
    jae .Lresult
    movl $GUEST_CHANNEL_RESULT_BUSY, %ebx
    cmpb $0, ASKING
    jne .Lresult
    movb $1, ASKING
    movl RECEIVE + GUEST_CHANNEL_FRAME_ID, %eax
    movl %eax, ASKED_BY
    incl REQUEST_ID
    movl REQUEST_ID, %eax
    movq %r8, SEND + PAYLOAD + GUEST_CHANNEL_RANGE_ADDRESS
    movq %r9, SEND + PAYLOAD + GUEST_CHANNEL_RANGE_COUNT
    movl $GUEST_CHANNEL_REQUEST_SIZE, %ebp
    movl %r10d, %ecx
    jmp .Lsend

/* The reply to its request is the result of the command that had it ask. */
.Lreply:
    cmpb $0, ASKING
    je 9f
    movl RECEIVE + GUEST_CHANNEL_FRAME_ID, %eax
    cmpl %eax, REQUEST_ID
    jne 9f
    cmpl $GUEST_CHANNEL_REPLY_SIZE, %ebp
    jne 9f
    movb $0, ASKING
    movl $RECEIVE + PAYLOAD, %esi
    movl $SEND + PAYLOAD + GUEST_CHANNEL_RESULT_SIZE, %edi
    movl %ebp, %ecx
    rep movsb
    xorl %ebx, %ebx
    xorl %r8d, %r8d
    movl ASKED_BY, %eax
    jmp .Lresult_of
9:  ret

.Lremoval_command:
    cmpl $GUEST_CHANNEL_REMOVAL_REFUSE, %r10d
    ja .Lresult
    movl %r10d, %ecx
    call .Lset_removal
    xorl %ebx, %ebx
    jmp .Lresult

/* Whether R9 bytes at R8 are mapped; does not come back where they are not. */
.Lcheck_reach:
    movabsq $MICRO_GUEST_REACH << 30, %rcx
    movq %r8, %rax
    addq %r9, %rax
    jc 1f
    cmpq %rcx, %rax
    ja 1f
    ret
1:  popq %rax
    movl $GUEST_CHANNEL_RESULT_FAULT, %ebx
    xorl %ebp, %ebp
    jmp .Lresult_with_data

.Lwrite:
    leal -GUEST_CHANNEL_COMMAND_SIZE(%rbp), %ecx
    cmpq %rcx, %r9
    jne .Lresult
    call .Lcheck_reach
    movl $RECEIVE + PAYLOAD + GUEST_CHANNEL_COMMAND_SIZE, %esi
    movq %r8, %rdi
    movl %r9d, %ecx
    rep movsb
    xorl %ebx, %ebx
    jmp .Lresult

.Lread:
    cmpq $GUEST_CHANNEL_MAXIMUM_DATA, %r9
    ja .Lresult
    call .Lcheck_reach
    movq %r8, %rsi
    movl $SEND + PAYLOAD + GUEST_CHANNEL_RESULT_SIZE, %edi
    movl %r9d, %ecx
    rep movsb
    movl %r9d, %ebp
    xorl %ebx, %ebx
    jmp .Lresult_with_data

.Ltimer:
    pushq %rax
    movb $0x20, %al
    outb %al, $0x20
    popq %rax
    iretq

.Lexception:
    movb $'X', %al
    call .Lprint
1:  cli
    hlt
    jmp 1b

    .p2align 3
.Lgdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00af9b000000ffff
.Lgdt_pointer:
    .word 4 * 8 - 1
    .long AT(.Lgdt)

    /* Interrupt gates. The image's address has no bits in the low half, and its size none in the high one. */
    .macro gate handler
    .word \handler - micro_guest_begin
    .word CODE64
    .byte 0, 0x8e
    .word MICRO_GUEST_ADDRESS >> 16
    .quad 0
    .endm
    .p2align 3
.Lidt:
    .rept 32
    gate .Lexception
    .endr
    .rept 8
    gate .Ltimer
    .endr
.Lidt_pointer:
    .word 40 * 16 - 1
    .quad AT(.Lidt)

    .org micro_guest_begin + MICRO_GUEST_SIZE - 16
    .byte 0xe9 /* jmp, near */
    .word .Lreset - micro_guest_begin + 16 - 3 /* the instruction pointer has 16 bits */
    .org micro_guest_begin + MICRO_GUEST_SIZE
    .size micro_guest_begin, MICRO_GUEST_SIZE
#endif

#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", @progbits
#endif
