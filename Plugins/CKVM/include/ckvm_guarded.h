/*
 * Host access that survives a fault: a copy routine and a handler for SIGSEGV and SIGBUS that recognises a fault inside it
 * by the program counter and lets it return the fault instead. Faults elsewhere go to the handler that was there before.
 */
#ifndef CKVM_GUARDED_H
#define CKVM_GUARDED_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

/* The signals, for Swift. */
enum { CKVM_SIGNAL_BUS = SIGBUS, CKVM_SIGNAL_SEGV = SIGSEGV };

/*
 * Installs the handlers. Idempotent; safe on any thread. Call it again after other code has replaced the handlers: it then
 * takes the front place again and passes foreign faults on to that code (which may itself pass them on to us).
 * Returns 0, or -errno; -ENOSPC when the handlers were displaced more often than can be followed (16 times).
 */
int ckvm_guarded_install(void);

/*
 * Copies `count` bytes from `source` to `destination` (they must not overlap). 1, 2, 4 and 8 bytes are one access each.
 * Returns 0, or the number of the signal (SIGSEGV, SIGBUS) that stopped it, with the address that faulted in
 * `*fault_address`; some bytes may then have been copied.
 *
 * A thread may block SIGSEGV and SIGBUS: they are let through for the copy. That is looked at when a thread first copies; one
 * that blocks them later must use ckvm_guarded_copy_closed where a fault is to be expected.
 */
int ckvm_guarded_copy(void *destination, const void *source, size_t count, uintptr_t *fault_address);

/*
 * The same for bytes that are known to be out of reach: takes the handlers back first, and looks at the thread's mask each
 * time. Returns also what ckvm_guarded_install returns.
 */
int ckvm_guarded_copy_closed(void *destination, const void *source, size_t count, uintptr_t *fault_address);

/* Sets `count` bytes at `destination` to zero; otherwise like ckvm_guarded_copy. */
int ckvm_guarded_zero(void *destination, size_t count, uintptr_t *fault_address);

#endif
