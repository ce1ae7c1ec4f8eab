#define _GNU_SOURCE
#include "clibvirt_host.h"

#include <fcntl.h>
#include <signal.h>

int clibvirt_lease(int file)
{
    /*
     * Who opens the file between the two calls breaks the lease, and the kernel tells its holder by a signal: SIGIO, which
     * ends a process, unless another one is named. Giving the lease back forgets the name, so it is said each time. SIGURG
     * is ignored where nobody asked for it.
     */
    if (fcntl(file, F_SETSIG, SIGURG) != 0)
        return -1;
    if (fcntl(file, F_SETLEASE, F_WRLCK) != 0)
        return -1;
    return fcntl(file, F_SETLEASE, F_UNLCK);
}
