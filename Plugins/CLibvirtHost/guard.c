#define _GNU_SOURCE
#include "clibvirt_host.h"

#include <fcntl.h>
#include <sys/fanotify.h>
#include <unistd.h>

int clibvirt_guard_open(void)
{
    return fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC | O_LARGEFILE);
}

int clibvirt_guard_mark(int guard, int file, int marked)
{
    return fanotify_mark(guard, marked ? FAN_MARK_ADD : FAN_MARK_REMOVE, FAN_OPEN_PERM, file, NULL);
}

int clibvirt_guard_answer(int guard, pid_t exempt)
{
    _Alignas(struct fanotify_event_metadata) char bytes[4096];
    ssize_t size = read(guard, bytes, sizeof bytes);
    struct fanotify_event_metadata *event = (void *)bytes;
    int count = 0;

    for (; FAN_EVENT_OK(event, size); event = FAN_EVENT_NEXT(event, size)) {
        struct fanotify_response response = {event->fd, event->pid == exempt ? FAN_ALLOW : FAN_DENY};

        if (event->fd < 0)
            continue;
        count += write(guard, &response, sizeof response) == sizeof response;
        close(event->fd);
    }
    return size < 0 ? -1 : count;
}
