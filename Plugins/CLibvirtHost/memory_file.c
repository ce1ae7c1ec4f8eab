#define _GNU_SOURCE
#include "clibvirt_host.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

int clibvirt_memory_file(const char *name)
{
    return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

int clibvirt_seal_size(int file)
{
    return fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
}

int clibvirt_seal_contents(int file)
{
    return fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL);
}

int clibvirt_is_sealable(int file)
{
    int seals = fcntl(file, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SEAL) == 0;
}

int clibvirt_file_system(const char *path)
{
    struct statfs status;

    if (statfs(path, &status) != 0)
        return -1;
    switch (status.f_type) {
    case HUGETLBFS_MAGIC:
        return CLIBVIRT_HUGE_PAGES;
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
        return CLIBVIRT_IN_MEMORY;
    default:
        return CLIBVIRT_ON_DISK;
    }
}
