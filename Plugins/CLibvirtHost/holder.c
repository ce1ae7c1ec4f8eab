#define _GNU_SOURCE
#include "clibvirt_host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int clibvirt_share_files(pid_t one, pid_t other)
{
    long order = syscall(SYS_kcmp, one, other, KCMP_FILES, 0, 0);

    return order < 0 ? -1 : order == 0;
}

int clibvirt_is_backed_by(const char *device, dev_t file_device, ino_t file_inode)
{
    struct loop_info64 info;
    int loop = open(device, O_RDONLY | O_CLOEXEC);
    int status, error;

    if (loop < 0)
        return -1;
    status = ioctl(loop, LOOP_GET_STATUS64, &info);
    error = errno;
    close(loop);
    errno = error;
    if (status < 0)
        /* One that has been taken down meanwhile has nothing. */
        return error == ENXIO ? 0 : -1;
    return info.lo_device == file_device && info.lo_inode == file_inode;
}
