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
    return inotify_add_watch(watch, path, IN_OPEN | IN_CLOSE);
}

int clibvirt_watch_next(int watch, struct clibvirt_event *result, int capacity)
{
    struct inotify_event events[64];
    size_t room = (size_t)capacity * sizeof events[0];
    ssize_t size = read(watch, events, room < sizeof events ? room : sizeof events);
    int count = 0;

    /* The events are about files themselves: none has a name, and all are of one size. */
    for (; size > 0 && count < size / (ssize_t)sizeof events[0]; count++)
        result[count] = (struct clibvirt_event){
            events[count].mask & IN_Q_OVERFLOW ? -1 : events[count].wd,
            (events[count].mask & IN_OPEN) != 0,
            (events[count].mask & IN_CLOSE) != 0,
        };
    return size < 0 ? -1 : count;
}
