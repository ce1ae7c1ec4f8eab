#define _GNU_SOURCE

#include "clibvirt_host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

static int is_proc(int folder)
{
    struct statfs status;

    if (fstatfs(folder, &status) != 0)
        return 0;
    if (status.f_type == PROC_SUPER_MAGIC)
        return 1;
    errno = EXDEV;
    return 0;
}

int clibvirt_open_process(const char *path, int flags)
{
    static const char proc[] = "/proc/";
    struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV};
    const char *name = strncmp(path, proc, sizeof proc - 1) == 0 ? path + sizeof proc - 1 : ".";
    int folder = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC), file, error;

    if (folder < 0)
        return -1;
    file = is_proc(folder) ? (int)syscall(SYS_openat2, folder, name, &how, sizeof how) : -1;
    error = errno;
    close(folder);
    errno = error;
    return file;
}

int clibvirt_processes(struct clibvirt_process *list, int capacity)
{
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    int count = 0, error;

    if (folder == NULL)
        return -1;
    if (!is_proc(dirfd(folder))) {
        error = errno;
        closedir(folder);
        errno = error;
        return -1;
    }
    while (errno = 0, (entry = readdir(folder)) != NULL) {
        char *end;
        long number = strtol(entry->d_name, &end, 10);

        if (end == entry->d_name || *end != '\0')
            continue;
        if (count < capacity)
            list[count] = (struct clibvirt_process){(int32_t)number, entry->d_ino};
        count++;
    }
    error = errno;
    closedir(folder);
    errno = error;
    return error == 0 ? count : -1;
}
