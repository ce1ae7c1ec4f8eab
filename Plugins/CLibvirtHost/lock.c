#define _GNU_SOURCE
#include "clibvirt_host.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

int clibvirt_lock(int file)
{
    return flock(file, LOCK_EX | LOCK_NB);
}

int clibvirt_link(int file, const char *name)
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    return linkat(AT_FDCWD, path, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}
