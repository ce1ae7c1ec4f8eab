/*
 * The micro guest: a firmware image of 64 KiB that is a whole guest. micro_guest.S says what it does.
 */
#ifndef MICRO_GUEST_H
#define MICRO_GUEST_H

/* The firmware's size in bytes: the last 64 KiB below 1 MiB and, at reset, below 4 GiB. */
#define MICRO_GUEST_SIZE 0x10000
#define MICRO_GUEST_ADDRESS 0xf0000

/* Its memory below 1 MiB; the rest of the guest's memory it leaves alone. */
#define MICRO_GUEST_STACK 0x8000
#define MICRO_GUEST_PAGE_TABLES 0x10000
/* How far its page tables reach, in GiB. */
#define MICRO_GUEST_REACH 64

#ifndef __ASSEMBLER__
/* The image: MICRO_GUEST_SIZE bytes, or NULL on a machine that is not x86-64. */
const void *micro_guest_image(void);
#endif
#endif
