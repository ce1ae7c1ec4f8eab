#define _GNU_SOURCE
#include "clibvirt_host.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/fanotify.h>
#include <unistd.h>

int clibvirt_guard_open(void)
{
    /* A queue that is full would let everybody in. */
    int guard = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE,
                              O_RDONLY | O_CLOEXEC | O_LARGEFILE);
    int error;

    /* Whether this kernel asks at all is said with the first mark; opens of a directory are not asked about. */
    if (guard < 0 || (fanotify_mark(guard, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, "/") == 0 &&
                      fanotify_mark(guard, FAN_MARK_REMOVE, FAN_OPEN_PERM, AT_FDCWD, "/") == 0))
        return guard;
    error = errno;
    close(guard);
    errno = error;
    return -1;
}

int clibvirt_guard_mark(int guard, int file, int marked)
{
    return fanotify_mark(guard, marked ? FAN_MARK_ADD : FAN_MARK_REMOVE, FAN_OPEN_PERM, file, NULL);
}

void clibvirt_guard_flush(int guard)
{
    fanotify_mark(guard, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL);
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
