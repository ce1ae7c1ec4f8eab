#include "ckvm_guest.h"

#if defined(__x86_64__)
extern const unsigned char ckvm_guest_program_begin[] __attribute__((visibility("hidden")));
extern const unsigned char ckvm_guest_program_end[] __attribute__((visibility("hidden")));

const void *ckvm_guest_program(void) { return ckvm_guest_program_begin; }

size_t ckvm_guest_program_size(void) { return (size_t)(ckvm_guest_program_end - ckvm_guest_program_begin); }
#else
const void *ckvm_guest_program(void) { return (const void *)0; }

size_t ckvm_guest_program_size(void) { return 0; }
#endif
