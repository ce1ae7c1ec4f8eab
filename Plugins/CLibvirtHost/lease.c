#define _GNU_SOURCE
#include "clibvirt_host.h"

#include <fcntl.h>

int clibvirt_lease(int file)
{
    if (fcntl(file, F_SETLEASE, F_WRLCK) != 0)
        return -1;
    return fcntl(file, F_SETLEASE, F_UNLCK);
}
