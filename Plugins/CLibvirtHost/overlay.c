#define _GNU_SOURCE
#include "clibvirt_host.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID 0x200 /* linux/fcntl.h */
#endif

int clibvirt_has_number(uint64_t one, uint64_t other)
{
    /* xino (fs/overlayfs/inode.c, ovl_map_ino) takes eleven bits at most: two and those of the number of layers, 500. */
    return ((one ^ other) & 0xffffffffffffULL) == 0;
}

int clibvirt_mentions(const char *list, size_t count, uint64_t inode)
{
    const char *end = list + count, *line = list;

    while (line < end) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        const char *field = line;
        uint64_t number = 0;

        if (next == NULL)
            next = end;
        /* What is before the number: addresses, permissions, offset, device. */
        for (int skipped = 0; field != NULL && skipped < 4; skipped++) {
            field = memchr(field, ' ', (size_t)(next - field));
            field = field == NULL ? NULL : field + 1;
        }
        for (; field != NULL && field < next && *field >= '0' && *field <= '9'; field++)
            number = number * 10 + (uint64_t)(*field - '0');
        if (clibvirt_has_number(number, inode))
            return 1;
        line = next + 1;
    }
    return 0;
}

struct handle {
    _Alignas(struct file_handle) unsigned char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

static struct file_handle *handle(const char *path, struct handle *room, int flags)
{
    struct file_handle *result = (void *)room->bytes;
    int mount;

    memset(room, 0, sizeof *room);
    result->handle_bytes = MAX_HANDLE_SZ;
    return name_to_handle_at(AT_FDCWD, path, result, &mount, AT_SYMLINK_FOLLOW | flags) == 0 ? result : NULL;
}

int clibvirt_overlay_shows(const char *path, int file)
{
    /* struct ovl_fh (fs/overlayfs/overlayfs.h): padding, version, magic, length, flags, type, the layer's UUID, its handle. */
    enum { overlay = 0xf8, flags_at = 6, type_at = 7, handle_at = 24, of_upper = 4 };
    struct statfs status;
    struct handle rooms[2];
    struct file_handle *shown, *ours;
    char name[32];

    if (statfs(path, &status) != 0)
        return -1;
    if (status.f_type != OVERLAYFS_SUPER_MAGIC)
        return CLIBVIRT_NOT_SHOWN;
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    shown = handle(path, &rooms[0], AT_HANDLE_FID);
    ours = handle(name, &rooms[1], 0);
    /* Of a file that was copied up since it was opened the handle is another one's, and of an overlay on another one that one's. */
    if (shown == NULL || ours == NULL || shown->handle_type != overlay || shown->handle_bytes < handle_at ||
        (shown->f_handle[flags_at] & of_upper) != 0 || shown->f_handle[type_at] >= overlay - 1)
        return CLIBVIRT_PERHAPS_SHOWN;
    return shown->f_handle[type_at] == ours->handle_type && shown->handle_bytes >= handle_at + ours->handle_bytes &&
                   memcmp(shown->f_handle + handle_at, ours->f_handle, ours->handle_bytes) == 0
               ? CLIBVIRT_SHOWN
               : CLIBVIRT_NOT_SHOWN;
}
