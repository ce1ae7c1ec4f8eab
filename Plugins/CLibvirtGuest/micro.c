#include "clibvirt_guest.h"

#if defined(__x86_64__)
extern const unsigned char clibvirt_guest_begin[] __attribute__((visibility("hidden")));
extern const unsigned char clibvirt_guest_end[] __attribute__((visibility("hidden")));

const void *clibvirt_guest_image(void) { return clibvirt_guest_begin; }

size_t clibvirt_guest_image_size(void) { return (size_t)(clibvirt_guest_end - clibvirt_guest_begin); }
#else
const void *clibvirt_guest_image(void) { return (const void *)0; }

size_t clibvirt_guest_image_size(void) { return 0; }
#endif
