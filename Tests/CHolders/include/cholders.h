/* Processes that have a file in ways that are not seen at the first look. Each ends with the pipe that it is given. */
#ifndef CHOLDERS_H
#define CHOLDERS_H

#include <sys/types.h>

/* Its first thread has ended, and another one goes on: the file is mapped. */
#define CHOLDERS_ENDED_LEADER 1
/* A thread has a table of descriptors of its own (unshare(2)), with the file; the first one's has it not. */
#define CHOLDERS_OWN_TABLE 2
/* It may not be traced (PR_SET_DUMPABLE), and has the file open. */
#define CHOLDERS_PROTECTED 3
/* It has ended and is not collected. */
#define CHOLDERS_ZOMBIE 4
/* It has the file mapped, or open, by an overlay (overlayfs) that is mounted nowhere any more. For who can
   (`cholders_can_overlay`). */
#define CHOLDERS_OVERLAY_MAPPED 5
#define CHOLDERS_OVERLAY_OPEN 6
/* The same with `xino`, so that inode numbers have the layer's above them. */
#define CHOLDERS_OVERLAY_XINO 7
/* It has another file mapped by an overlay, which has the same inode number. For a file on a tmpfs. */
#define CHOLDERS_OVERLAY_OTHER 8
/* It has the file registered with an io_uring(7), and open nowhere. */
#define CHOLDERS_RING 9

/* Whether this process can have an overlay, as root here or in a user namespace of its own; whether it can have an io_uring. */
int cholders_can_overlay(void);
int cholders_can_ring(void);

/* Mounts one place over another, to the calling thread alone, for good. */
int cholders_hide(const char *place, const char *by);

/* pipe2(2) with O_CLOEXEC. */
int cholders_pipe(int ends[2]);

/* Puts the first page of a file into a pipe, as it is and is to be (splice(2)). */
ssize_t cholders_splice(int file, int pipe);

/* Forks one off that has `file`, and waits until it is as it is to be. It ends when all writing ends of `lifeline` are gone. */
pid_t cholders_start(int kind, int file, const int lifeline[2]);

/* Forks off a process that does no more than truncate(2), twice: to `less` bytes and to `size`. Returns its exit status. */
int cholders_truncate(const char *path, off_t less, off_t size);

/* Forks off a process that writes a byte at the beginning of a file, and ends. Returns its exit status. */
int cholders_write(const char *path, char byte);

#endif
