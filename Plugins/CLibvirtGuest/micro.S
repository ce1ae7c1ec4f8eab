/*
 * A guest of sixty lines: it boots nothing, and answers what QEMU's i440fx machine asks of an operating system when a
 * device is to go, by the ports of docs/specs/acpi_mem_hotplug.rst and acpi_pci_hotplug.rst of QEMU. What it answers is
 * told to it on the serial port; see clibvirt_guest.h.
 */
#if defined(__x86_64__)
#include "clibvirt_guest.h"

    .section .rodata.clibvirt_guest, "a", @progbits
    .p2align 4
    .globl clibvirt_guest_begin
    .hidden clibvirt_guest_begin
    .globl clibvirt_guest_end
    .hidden clibvirt_guest_end
    .code16
clibvirt_guest_begin:
    cli
    xorw %bp, %bp                       /* the mode: 0 ignores, 1 accepts, 2 refuses */
    movb $CLIBVIRT_GUEST_READY, %al
    call .Lsay
.Lloop:
    pause
    movw $0x3fd, %dx                    /* line status: is there a command? */
    inb %dx, %al
    testb $1, %al
    jz .Ldevices
    movw $0x3f8, %dx
    inb %dx, %al
    cmpb $CLIBVIRT_GUEST_ACCEPT, %al
    jne 1f
    movw $1, %bp
    jmp .Lacknowledge
1:  cmpb $CLIBVIRT_GUEST_REFUSE, %al
    jne 2f
    movw $2, %bp
    jmp .Lacknowledge
2:  cmpb $CLIBVIRT_GUEST_IGNORE, %al
    jne .Ldevices
    xorw %bp, %bp
.Lacknowledge:
    andb $0xdf, %al                     /* the command in upper case */
    call .Lsay
.Ldevices:
    testw %bp, %bp
    jz .Lloop
    movw $0xae10, %dx                   /* PCI: the root bus; which slots are to go? */
    xorl %eax, %eax
    outl %eax, %dx
    movw $0xae04, %dx
    inl %dx, %eax
    testl %eax, %eax
    jz .Lmemory
    cmpw $1, %bp
    jne .Lmemory
    movw $0xae08, %dx                   /* eject them */
    outl %eax, %dx
    movb $CLIBVIRT_GUEST_EJECTED_PCI, %al
    call .Lsay
.Lmemory:
    xorl %ecx, %ecx
3:  movw $0xa00, %dx                    /* memory: select a slot */
    movl %ecx, %eax
    outl %eax, %dx
    movw $0xa14, %dx                    /* its flags: is it to go? */
    inb %dx, %al
    testb $4, %al
    jz 5f
    cmpw $1, %bp
    jne 4f
    movb $4, %al                        /* the request is seen */
    outb %al, %dx
    movb $8, %al                        /* eject */
    outb %al, %dx
    movb $CLIBVIRT_GUEST_EJECTED_MEMORY, %al
    call .Lsay
    jmp 5f
4:  movb $4, %al
    outb %al, %dx
    movw $0xa04, %dx                    /* _OST: the event is an eject request … */
    movl $3, %eax
    outl %eax, %dx
    movw $0xa08, %dx                    /* … and its outcome that the device is in use */
    movl $0x80, %eax
    outl %eax, %dx
    movb $CLIBVIRT_GUEST_REFUSED, %al
    call .Lsay
5:  incl %ecx
    cmpl $256, %ecx
    jb 3b
    jmp .Lloop
.Lsay:
    movw $0x3f8, %dx
    outb %al, %dx
    ret

    .org 0xfff0
    .byte 0xe9                          /* the reset vector: a near jump to the first byte */
    .word (0 - 0xfff3) & 0xffff
    .org 0xffff
    .byte 0
clibvirt_guest_end:
    .code64
#endif

    .section .note.GNU-stack, "", @progbits
