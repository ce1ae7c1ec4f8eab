#define _GNU_SOURCE
#include "cholders.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
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
