/* The firmware image of the micro guest: 64 KiB that QEMU maps below 4 GiB and runs from its last sixteen bytes. */
#ifndef CLIBVIRT_GUEST_H
#define CLIBVIRT_GUEST_H

/* Commands, one byte each on the first serial port. */
#define CLIBVIRT_GUEST_ACCEPT 'a' /* let every device go that it is asked for */
#define CLIBVIRT_GUEST_REFUSE 'r' /* refuse to let a memory device go */
#define CLIBVIRT_GUEST_IGNORE 'i' /* do not answer; the mode that it begins in */

/* What it says, one byte each. */
#define CLIBVIRT_GUEST_READY 'U'
#define CLIBVIRT_GUEST_EJECTED_MEMORY 'm'
#define CLIBVIRT_GUEST_EJECTED_PCI 'p'
#define CLIBVIRT_GUEST_REFUSED 'f'

#ifndef __ASSEMBLER__
#include <stddef.h>

const void *clibvirt_guest_image(void);
size_t clibvirt_guest_image_size(void);
#endif

#endif
