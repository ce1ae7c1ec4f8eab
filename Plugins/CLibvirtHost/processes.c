#include "clibvirt_host.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

int clibvirt_processes(struct clibvirt_process *list, int capacity)
{
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    int count = 0, error;

    if (folder == NULL)
        return -1;
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
