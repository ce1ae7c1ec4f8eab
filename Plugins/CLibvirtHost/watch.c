#define _GNU_SOURCE
#include "clibvirt_host.h"

#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

int clibvirt_watch_open(void)
{
    return inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
}

int clibvirt_watch_add(int watch, int file)
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    return inotify_add_watch(watch, path, IN_CLOSE);
}

int clibvirt_watch_next(int watch, int *numbers, int capacity)
{
    struct inotify_event events[64];
    ssize_t size = read(watch, events, sizeof events);
    int count = 0;

    /* The events are about files themselves: none has a name, and all are of one size. */
    for (ssize_t at = 0; size > 0 && at < size && count < capacity; at += sizeof events[0])
        numbers[count++] = events[at / (ssize_t)sizeof events[0]].wd;
    return size < 0 ? -1 : count;
}
