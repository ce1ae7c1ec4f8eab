#define _GNU_SOURCE
#include "clibvirt_host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

static int name(const struct file_handle *handle, struct clibvirt_name *name)
{
    memset(name, 0, sizeof *name);
    if (handle->handle_bytes > sizeof name->bytes - sizeof handle->handle_type)
        return -1;
    memcpy(name->bytes, &handle->handle_type, sizeof handle->handle_type);
    memcpy(name->bytes + sizeof handle->handle_type, handle->f_handle, handle->handle_bytes);
    return 0;
}

int clibvirt_name_of(int file, struct clibvirt_name *result)
{
    _Alignas(struct file_handle) char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ] = {0};
    struct file_handle *handle = (void *)bytes;
    char path[32];
    int mount;

    handle->handle_bytes = MAX_HANDLE_SZ;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (name_to_handle_at(AT_FDCWD, path, handle, &mount, AT_SYMLINK_FOLLOW) != 0)
        return -1;
    if (name(handle, result) == 0)
        return 0;
    errno = EOVERFLOW;
    return -1;
}

int clibvirt_changes_open(void)
{
    return fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE,
                         O_RDONLY | O_CLOEXEC);
}

int clibvirt_changes_mark(int group, int file, int marked)
{
    return fanotify_mark(group, marked ? FAN_MARK_ADD : FAN_MARK_REMOVE, FAN_MODIFY, file, NULL);
}

int clibvirt_changes_mark_opens(int group, int file)
{
    return fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN, file, NULL);
}

int clibvirt_changes_next(int group, pid_t exempt, struct clibvirt_change *changes, int capacity)
{
    /* No event is smaller than its metadata: more than `capacity` of them are not read at a time. */
    _Alignas(struct fanotify_event_metadata) char bytes[8192];
    size_t room = (size_t)capacity * sizeof(struct fanotify_event_metadata);
    ssize_t size = read(group, bytes, room < sizeof bytes ? room : sizeof bytes);
    struct fanotify_event_metadata *event = (void *)bytes;
    int count = 0;

    for (; FAN_EVENT_OK(event, size); event = FAN_EVENT_NEXT(event, size)) {
        struct fanotify_event_info_fid *info = (void *)(event + 1);
        struct clibvirt_change *change = &changes[count];

        *change = (struct clibvirt_change){0};
        if (event->mask & FAN_Q_OVERFLOW) {
            change->lost = 1;
            count++;
            continue;
        }
        if (event->event_len < sizeof *event + sizeof *info || info->hdr.info_type != FAN_EVENT_INFO_TYPE_FID)
            continue;
        if (event->pid == exempt || event->pid == getpid() || name((void *)info->handle, &change->name) != 0)
            continue;
        change->opened = (event->mask & FAN_OPEN) != 0;
        change->changed = (event->mask & FAN_MODIFY) != 0;
        count++;
    }
    return size < 0 ? -1 : count;
}
