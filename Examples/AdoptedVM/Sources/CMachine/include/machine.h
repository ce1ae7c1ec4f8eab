/*
 * A virtual machine monitor in C, as there are many: it owns /dev/kvm, the machine, the processors with their threads and loop, a
 * device, and the memory of its guest, in slots of its own. It knows nothing of Custody.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdint.h>

enum {
    MACHINE_PROCESSORS = 2,
    MACHINE_BANK = 16 << 20,      /* where the bank is in the guest, in bytes */
    MACHINE_BANK_SIZE = 64 << 20, /* in bytes */
};

/* Makes the machine and starts its processors; a negative errno where that fails. One for a process. */
int machine_start(void);
/* The descriptor of the virtual machine. */
int machine_descriptor(void);
/* Stops the processors, and closes everything. */
void machine_end(void);

/* Takes all processors out of the guest, and keeps them out; 0 where one does not come out in so many milliseconds. */
int machine_pause(int milliseconds);
void machine_resume(void);

/* How often a processor has been through its program, which counts in the machine's own memory. */
uint32_t machine_rounds(int processor);
/* How often a guest has written to the device. */
uint64_t machine_device_writes(void);
/* Why a processor's loop has ended, as an exit reason of KVM's; 0 while it goes on. */
uint32_t machine_failure(void);

/* Takes the slot of the bank away, or puts it back, with what is to be in it. The processors are out. */
int machine_take_bank(uint8_t *copy);
int machine_put_bank(const uint8_t *copy);

#endif
