#define _GNU_SOURCE
#include "cholders.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A copy of one of many threads makes system calls and nothing else: its second thread is made without the library. */
struct life {
    int lifeline;
    int ready;
    int file;
    int kind;
};

static _Alignas(16) char stack[1 << 16];
static struct life life;

static void wait_for_end(void)
{
    char byte;

    while (read(life.lifeline, &byte, 1) == -1 && errno == EINTR)
        ;
    _exit(0);
}

static int second(void *unused)
{
    (void)unused;
    if (life.kind == CHOLDERS_OWN_TABLE && unshare(CLONE_FILES) != 0)
        _exit(1);
    write(life.ready, "", 1);
    wait_for_end();
    return 0;
}

/* Puts a file with an inode number into a new tmpfs, which counts them up. Returns its directory. */
static const char *other(ino_t number, const char *name)
{
    struct stat status;

    if (chdir("/mnt/other") != 0)
        _exit(1);
    for (unsigned long count = 0; count < (1UL << 24); count++) {
        int file = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        if (file < 0 || fstat(file, &status) != 0 || status.st_ino > number)
            _exit(1);
        if (status.st_ino == number)
            return ftruncate(file, 4096) == 0 ? "/mnt/other" : NULL;
        close(file);
        unlink(name);
    }
    _exit(1);
}

static int set(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t count = file < 0 ? -1 : write(file, text, strlen(text));

    if (file >= 0)
        close(file);
    return count < 0 ? -1 : 0;
}

/* A table of mounts of this process's own, in which it may mount: anybody's who is root in a user namespace. */
static int own_mounts(void)
{
    char user[32], group[32];

    snprintf(user, sizeof user, "0 %u 1", geteuid());
    snprintf(group, sizeof group, "0 %u 1", getegid());
    if (unshare(CLONE_NEWNS) != 0 &&
        (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 || set("/proc/self/setgroups", "deny") != 0 ||
         set("/proc/self/uid_map", user) != 0 || set("/proc/self/gid_map", group) != 0))
        return -1;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || mount("none", "/mnt", "tmpfs", 0, NULL) != 0 ? -1 : 0;
}

/* Takes the file by an overlay, and the overlay away. */
static void overlay(void)
{
    static char path[4096], link[32], options[8192], shown[4096];
    struct stat status;
    const char *folder = path;
    ssize_t length;
    char *name;
    int file;

    snprintf(link, sizeof link, "/proc/self/fd/%d", life.file);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0 || fstat(life.file, &status) != 0 || own_mounts() != 0)
        _exit(1);
    path[length] = '\0';
    name = strrchr(path, '/');
    *name++ = '\0';
    if (mkdir("/mnt/low", 0700) != 0 || mkdir("/mnt/at", 0700) != 0 || mkdir("/mnt/other", 0700) != 0 ||
        mount("none", "/mnt/other", "tmpfs", 0, NULL) != 0)
        _exit(1);
    if (life.kind == CHOLDERS_OVERLAY_OTHER)
        folder = other(status.st_ino, name);
    snprintf(options, sizeof options, "lowerdir=%s:/mnt/low%s", folder, life.kind == CHOLDERS_OVERLAY_XINO ? ",xino=on" : "");
    snprintf(shown, sizeof shown, "/mnt/at/%s", name);
    if (mount("none", "/mnt/at", "overlay", 0, options) != 0)
        _exit(1);
    file = open(shown, O_RDONLY | O_CLOEXEC);
    if (file < 0 || (life.kind != CHOLDERS_OVERLAY_OPEN && mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0) == MAP_FAILED))
        _exit(1);
    if (life.kind != CHOLDERS_OVERLAY_OPEN)
        close(file);
    close(life.file);
    if (umount2("/mnt/at", MNT_DETACH) != 0)
        _exit(1);
}

/* Registers a descriptor of its own: a copy of its parent's is none to the lease. */
static void ring(void)
{
    struct io_uring_params parameters = {0};
    int ring = (int)syscall(SYS_io_uring_setup, 1, &parameters);
    char link[32];
    int file;

    snprintf(link, sizeof link, "/proc/self/fd/%d", life.file);
    file = open(link, O_RDWR | O_CLOEXEC);
    if (ring < 0 || file < 0 || syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &file, 1) != 0)
        _exit(1);
    close(file);
    close(life.file);
}

static void live(void)
{
    const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    char byte;
    int ends[2];
    int answer = life.ready;

    if (life.kind == CHOLDERS_ENDED_LEADER) {
        if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, life.file, 0) == MAP_FAILED)
            _exit(1);
        close(life.file);
        if (clone(second, stack + sizeof stack, flags, NULL) < 0)
            _exit(1);
        syscall(SYS_exit, 0);
    }
    if (life.kind == CHOLDERS_OWN_TABLE) {
        if (pipe2(ends, O_CLOEXEC) != 0)
            _exit(1);
        life.ready = ends[1];
        if (clone(second, stack + sizeof stack, flags, NULL) < 0 || read(ends[0], &byte, 1) != 1)
            _exit(1);
        close(life.file);
        write(answer, "", 1);
        wait_for_end();
    }
    if (life.kind >= CHOLDERS_OVERLAY_MAPPED && life.kind <= CHOLDERS_OVERLAY_OTHER)
        overlay();
    if (life.kind == CHOLDERS_RING)
        ring();
    if (life.kind == CHOLDERS_PROTECTED && prctl(PR_SET_DUMPABLE, 0) != 0)
        _exit(1);
    if (life.kind == CHOLDERS_ZOMBIE)
        _exit(0);
    write(answer, "", 1);
    wait_for_end();
}

pid_t cholders_start(int kind, int file, const int lifeline[2])
{
    int ready[2];
    char byte;
    pid_t process;

    if (pipe2(ready, O_CLOEXEC) != 0)
        return -1;
    process = fork();
    if (process == 0) {
        prctl(PR_SET_NAME, "holder");
        for (int other = 3; other < 4096; other++)
            if (other != file && other != lifeline[0] && other != ready[1])
                close(other);
        life = (struct life){lifeline[0], ready[1], file, kind};
        live();
    }
    close(ready[1]);
    /* Of a zombie the end of the pipe is the sign. */
    if (process > 0 && read(ready[0], &byte, 1) != 1 && kind != CHOLDERS_ZOMBIE) {
        close(ready[0]);
        errno = ECHILD;
        return -1;
    }
    close(ready[0]);
    return process;
}

int cholders_pipe(int ends[2])
{
    return pipe2(ends, O_CLOEXEC);
}

ssize_t cholders_splice(int file, int pipe)
{
    off_t offset = 0;

    return splice(file, &offset, pipe, NULL, 4096, 0);
}

static int finish(pid_t process)
{
    int status;

    while (waitpid(process, &status, 0) == -1)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int cholders_can_overlay(void)
{
    pid_t process = fork();

    if (process == 0)
        _exit(own_mounts() == 0 && mkdir("/mnt/low", 0700) == 0 && mkdir("/mnt/high", 0700) == 0 &&
                      mkdir("/mnt/at", 0700) == 0 &&
                      mount("none", "/mnt/at", "overlay", 0, "lowerdir=/mnt/high:/mnt/low") == 0
                  ? 0
                  : 1);
    return process > 0 && finish(process) == 0;
}

int cholders_hide(const char *place, const char *by)
{
    return unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
                   mount(by, place, NULL, MS_BIND, NULL) != 0
               ? -1
               : 0;
}

int cholders_can_ring(void)
{
    struct io_uring_params parameters = {0};
    int ring = (int)syscall(SYS_io_uring_setup, 1, &parameters);

    if (ring >= 0)
        close(ring);
    return ring >= 0;
}

int cholders_truncate(const char *path, off_t less, off_t size)
{
    pid_t process = fork();

    if (process == 0)
        _exit(truncate(path, less) == 0 && truncate(path, size) == 0 ? 0 : errno);
    return process < 0 ? -1 : finish(process);
}

int cholders_write(const char *path, char byte)
{
    pid_t process = fork();

    if (process == 0) {
        int file = open(path, O_WRONLY | O_CLOEXEC);

        _exit(file >= 0 && pwrite(file, &byte, 1, 0) == 1 ? 0 : errno);
    }
    return process < 0 ? -1 : finish(process);
}
