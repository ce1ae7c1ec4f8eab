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

int clibvirt_is_of_huge_pages(const char *path)
{
    struct statfs status;

    return statfs(path, &status) == 0 && status.f_type == HUGETLBFS_MAGIC;
}
