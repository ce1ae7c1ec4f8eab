#define _GNU_SOURCE
#include "clibvirt_host.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

int clibvirt_allocate(int file, off_t offset, off_t length)
{
    return fallocate(file, 0, offset, length);
}

int clibvirt_discard(int file, off_t offset, off_t length)
{
    return fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

off_t clibvirt_seek(int file, off_t offset, int data)
{
    return lseek(file, offset, data ? SEEK_DATA : SEEK_HOLE);
}

int clibvirt_bell_open(void)
{
    return eventfd(0, EFD_CLOEXEC);
}

int clibvirt_bell_ring(int bell)
{
    return eventfd_write(bell, 1);
}
