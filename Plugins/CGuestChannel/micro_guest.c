#include "micro_guest.h"

#include <stddef.h>

#if defined(__x86_64__)
extern const unsigned char micro_guest_begin[] __attribute__((visibility("hidden")));

const void *micro_guest_image(void) { return micro_guest_begin; }
#else
const void *micro_guest_image(void) { return NULL; }
#endif
