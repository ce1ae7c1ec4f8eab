/* What the kernel offers to the owner of a memory file, where the C library's interface cannot be called from Swift. */
#ifndef CLIBVIRT_HOST_H
#define CLIBVIRT_HOST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* All functions return -1 and set errno where they fail. */

/*
 * Copies bytes of this process: `into` nonzero from `buffer` to `window`, else from `window` to `buffer`. The kernel does
 * it (process_vm_readv(2)), so that a page that may not be touched is a short count or EFAULT, never a signal.
 */
ssize_t clibvirt_copy(void *buffer, void *window, size_t count, int into);

/* Takes the memory of part of a file from the system, or gives it back (fallocate(2)); the next data or hole (lseek(2)). */
int clibvirt_allocate(int file, off_t offset, off_t length);
int clibvirt_discard(int file, off_t offset, off_t length);
off_t clibvirt_seek(int file, off_t offset, int data);

/*
 * Whether two files can be one by their inode numbers. An overlay (overlayfs) shows a file of a layer with that one's number, with
 * the layer's own above it where it is mounted with `xino`.
 */
int clibvirt_has_number(uint64_t one, uint64_t other);
/* Whether a list of mappings (proc_pid_maps(5)) has one that can be a file's by its inode number. */
int clibvirt_mentions(const char *list, size_t count, uint64_t inode);
/*
 * Whether a path, a link of /proc's to what a process has, leads to an overlay's view of an open file (name_to_handle_at(2)).
 * What was opened by that reaches the file, and has the overlay's device.
 */
#define CLIBVIRT_NOT_SHOWN 0
#define CLIBVIRT_SHOWN 1
#define CLIBVIRT_PERHAPS_SHOWN 2 /* an overlay, which does not say of what */
int clibvirt_overlay_shows(const char *path, int file);

/* A file in memory without a name (memfd_create(2)), and its seals: for good (fcntl(2), F_ADD_SEALS). */
int clibvirt_memory_file(const char *name);
int clibvirt_seal_size(int file);
int clibvirt_seal_contents(int file);
/* Whether seals can still be added: 1 or 0. */
int clibvirt_is_sealable(int file);

/* The kind of file system that a path is on (statfs(2)). */
int clibvirt_file_system(const char *path);
#define CLIBVIRT_ON_DISK 0 /* or elsewhere: what is written there leaves memory without swap */
#define CLIBVIRT_IN_MEMORY 1 /* tmpfs, ramfs */
#define CLIBVIRT_HUGE_PAGES 2 /* hugetlbfs */

/* What one thread wakes another one with that sleeps in poll(2) (eventfd(2)). */
int clibvirt_bell_open(void);
int clibvirt_bell_ring(int bell);

/* Whether processes whose parent has ended become children of this one: it is an init, or a subreaper (prctl(2)). */
int clibvirt_gets_orphans(void);
/* Whether a child has ended that nobody has collected. */
int clibvirt_has_ended_child(void);

/* Takes an exclusive lock on an open file (flock(2)), which is gone with its last descriptor; EWOULDBLOCK where it is taken. */
int clibvirt_lock(int file);

/* Gives an open file one more name, whatever the name that it was opened by stands for by now (linkat(2)). */
int clibvirt_link(int file, const char *name);

/* Whether two threads have one table of descriptors (kcmp(2)): 1 or 0. */
int clibvirt_share_files(pid_t one, pid_t other);

/* Whether a loop device is backed by a file (loop(4)): 1 or 0. */
int clibvirt_is_backed_by(const char *device, dev_t file_device, ino_t file_inode);

/* Whether nobody else has the file open: takes a write lease (fcntl(2), F_SETLEASE) and gives it back. EAGAIN if not. */
int clibvirt_lease(int file);

/* An inotify(7) descriptor; a watch for each open of a file, and the last close by somebody, by its descriptor. */
int clibvirt_watch_open(void);
int clibvirt_watch_add(int watch, int file);
/* What has happened since, at most `capacity` events: to a watch, or to any where events were lost (-1). */
struct clibvirt_event {
    int watch;
    int opened;
    int closed;
};
int clibvirt_watch_next(int watch, struct clibvirt_event *events, int capacity);

/*
 * The processes that /proc lists. An entry's inode number is the process's as long as it lives, and no later one's of the same
 * number. Returns how many there are, of which at most `capacity` are put into the list.
 */
struct clibvirt_process {
    int32_t number;
    uint64_t inode;
};
int clibvirt_processes(struct clibvirt_process *list, int capacity);
/*
 * Opens a file or folder under /proc by its path, or /proc, close-on-exec; EXDEV where something is mounted over part of it,
 * whatever it is: what is there is not what the kernel says.
 */
int clibvirt_open_process(const char *path, int flags);

/* A fanotify(7) group that is asked before a file is opened; EPERM without CAP_SYS_ADMIN. */
int clibvirt_guard_open(void);
int clibvirt_guard_mark(int guard, int file, int marked);
/* Removes every mark: no open that begins later is asked about. */
void clibvirt_guard_flush(int guard);
/* Answers what has been asked: `exempt` may open, nobody else may. Returns how many were asked. */
int clibvirt_guard_answer(int guard, pid_t exempt);

/* A file by what the kernel names it in events (name_to_handle_at(2)): type and bytes, the rest is zero. */
struct clibvirt_name {
    char bytes[136];
};
int clibvirt_name_of(int file, struct clibvirt_name *name);

/*
 * A fanotify(7) group that is told when a file is opened, or changed by a call, with who it was. A call that opens nothing is a
 * change, too (truncate(2)): that has no descriptor to go with it, so that the file is named. EPERM without CAP_SYS_ADMIN.
 */
int clibvirt_changes_open(void);
int clibvirt_changes_mark(int group, int file, int marked);
int clibvirt_changes_mark_opens(int group, int file);
/* What others than `exempt` and this process have done to files, at most `capacity`; where events were lost there is one
   without a name. */
struct clibvirt_change {
    struct clibvirt_name name;
    int opened;
    int changed;
    int lost;
};
int clibvirt_changes_next(int group, pid_t exempt, struct clibvirt_change *changes, int capacity);

/*
 * Another process that maps a file, for tests and demonstrations: it is told what to do over a socket, and ends with it.
 * It has the given name (prctl(2), PR_SET_NAME), and nothing of this process's files.
 */
struct clibvirt_order {
    uint32_t verb; /* CLIBVIRT_MAP, ... */
    uint32_t count;
    uint64_t offset;
    uint64_t length;
    char data[3072]; /* a path, or bytes */
};
struct clibvirt_answer {
    int32_t error; /* an errno */
    uint32_t count;
    char data[3072];
};
#define CLIBVIRT_MAP 1
#define CLIBVIRT_READ 2
#define CLIBVIRT_WRITE 3
#define CLIBVIRT_DATA 3072

/* Starts one; its socket is put into `connection`. */
pid_t clibvirt_neighbour_start(const char *name, int *connection);
/* Gives an order and sleeps for the answer. */
int clibvirt_neighbour_order(int connection, const struct clibvirt_order *order, struct clibvirt_answer *answer);

#endif
