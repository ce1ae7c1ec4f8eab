#define _GNU_SOURCE
#include "ckvm_guarded.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#if defined(__x86_64__)

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <ucontext.h>

extern const char ckvm_guarded_begin[] __attribute__((visibility("hidden")));
extern const char ckvm_guarded_end[] __attribute__((visibility("hidden")));
extern const char ckvm_guarded_fixup[] __attribute__((visibility("hidden")));

extern int ckvm_guarded_move(void *, const void *, size_t, uintptr_t *) __attribute__((visibility("hidden")));
extern int ckvm_guarded_clear(void *, size_t, uintptr_t *) __attribute__((visibility("hidden")));

/*
 * Each installation has an entry function and a predecessor of its own, which is there before the entry can be called. It is
 * exchanged once at most: where somebody's handler came in between the look at it and our own. So a foreign handler that was put in front of us and passes faults on to us reaches what was there before
 * *that* installation: a chain may contain us several times, but it always ends.
 */
enum { installations = 16 };

struct installation {
    struct sigaction seen, displaced;
    _Atomic(const struct sigaction *) previous; /* one of the two */
    atomic_bool previous_was_reset; /* its SA_RESETHAND has taken effect */
};

static struct installation bus[installations], segv[installations];
static int bus_used, segv_used;
static pthread_mutex_t installing = PTHREAD_MUTEX_INITIALIZER;

/* Lets the kernel's default action happen to this signal. */
static void default_action(int signal, const siginfo_t *info) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(signal, &action, NULL);
    /* A fault happens again when the instruction is restarted; a signal that somebody sent has to be sent again. */
    if (info->si_code <= 0) syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), signal);
}

static void chain(struct installation *installation, int signal, siginfo_t *info, void *context) {
    const struct sigaction *previous = atomic_load(&installation->previous);
    if (!(previous->sa_flags & SA_SIGINFO)) {
        /* The kernel does not let a fault be ignored: it takes the default action instead. */
        if (previous->sa_handler == SIG_IGN && info->si_code <= 0) return;
        if (previous->sa_handler == SIG_IGN || previous->sa_handler == SIG_DFL) return default_action(signal, info);
    }
    if (previous->sa_flags & SA_RESETHAND && atomic_exchange(&installation->previous_was_reset, 1))
        return default_action(signal, info);

    sigset_t mask = previous->sa_mask, before;
    if (!(previous->sa_flags & SA_NODEFER)) sigaddset(&mask, signal);
    pthread_sigmask(SIG_BLOCK, &mask, &before);
    if (previous->sa_flags & SA_SIGINFO)
        previous->sa_sigaction(signal, info, context);
    else
        previous->sa_handler(signal);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void handle(struct installation *installation, int signal, siginfo_t *info, void *context) {
    ucontext_t *frame = context;
    uintptr_t at = (uintptr_t)frame->uc_mcontext.gregs[REG_RIP];
    if (info->si_code > 0 && at >= (uintptr_t)ckvm_guarded_begin && at < (uintptr_t)ckvm_guarded_end) {
        frame->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)ckvm_guarded_fixup;
        frame->uc_mcontext.gregs[REG_RAX] = signal;
        frame->uc_mcontext.gregs[REG_RDX] = (greg_t)(uintptr_t)info->si_addr;
        return;
    }
    int saved = errno;
    chain(installation, signal, info, context);
    errno = saved;
}

#define ENTRY(n)                                                                                                       \
    static void bus_##n(int s, siginfo_t *i, void *c) { handle(&bus[n], s, i, c); }                                    \
    static void segv_##n(int s, siginfo_t *i, void *c) { handle(&segv[n], s, i, c); }
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
EACH(ENTRY)

typedef void entry_function(int, siginfo_t *, void *);
#define BUS_ADDRESS(n) bus_##n,
#define SEGV_ADDRESS(n) segv_##n,
static entry_function *const bus_entries[installations] = {EACH(BUS_ADDRESS)};
static entry_function *const segv_entries[installations] = {EACH(SEGV_ADDRESS)};

static int install(int signal, struct installation *table, entry_function *const *entries, int *used) {
    struct sigaction current;
    if (sigaction(signal, NULL, &current) != 0) return -errno;
    if (current.sa_flags & SA_SIGINFO)
        for (int n = 0; n < *used; n++)
            if (current.sa_sigaction == entries[n]) return 0;
    if (*used == installations) return -ENOSPC;
    struct installation *next = &table[*used];
    next->seen = current;
    atomic_store(&next->previous, &next->seen);
    struct sigaction ours = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | (current.sa_flags & SA_RESTART)};
    ours.sa_sigaction = entries[*used];
    sigemptyset(&ours.sa_mask);
    /* One exchange: what was there comes back, also where it is not what was seen. */
    if (sigaction(signal, &ours, &next->displaced) != 0) return -errno;
    atomic_store(&next->previous, &next->displaced);
    *used += 1;
    return 0;
}

int ckvm_guarded_install(void) {
    pthread_mutex_lock(&installing);
    int result = install(SIGSEGV, segv, segv_entries, &segv_used);
    if (result == 0) result = install(SIGBUS, bus, bus_entries, &bus_used);
    pthread_mutex_unlock(&installing);
    return result;
}

/*
 * A fault of a thread that blocks its signal ends the process, whatever handlers there are. Whether a thread lets them through
 * is looked at when it first copies; one that blocks them is let out of that for each copy.
 */
static __thread int lets_faults_through __attribute__((tls_model("initial-exec")));

static void admit(sigset_t *before) {
    sigset_t faults;
    sigemptyset(&faults);
    sigaddset(&faults, SIGBUS);
    sigaddset(&faults, SIGSEGV);
    pthread_sigmask(SIG_UNBLOCK, &faults, before);
}

static void leave(const sigset_t *before) {
    lets_faults_through = !sigismember(before, SIGBUS) && !sigismember(before, SIGSEGV);
    if (!lets_faults_through) pthread_sigmask(SIG_SETMASK, before, NULL);
}

static __attribute__((noinline)) int move_admitted(void *to, const void *from, size_t count, uintptr_t *fault) {
    sigset_t before;
    admit(&before);
    int result = ckvm_guarded_move(to, from, count, fault);
    leave(&before);
    return result;
}

int ckvm_guarded_copy(void *destination, const void *source, size_t count, uintptr_t *fault_address) {
    if (__builtin_expect(lets_faults_through, 1)) return ckvm_guarded_move(destination, source, count, fault_address);
    return move_admitted(destination, source, count, fault_address);
}

int ckvm_guarded_copy_closed(void *destination, const void *source, size_t count, uintptr_t *fault_address) {
    int result = ckvm_guarded_install();
    return result != 0 ? result : move_admitted(destination, source, count, fault_address);
}

int ckvm_guarded_zero(void *destination, size_t count, uintptr_t *fault_address) {
    sigset_t before;
    admit(&before);
    int result = ckvm_guarded_clear(destination, count, fault_address);
    leave(&before);
    return result;
}

#else /* Portable: the kernel copies, and reports what it cannot reach. */

int ckvm_guarded_install(void) { return 0; }

int ckvm_guarded_copy(void *destination, const void *source, size_t count, uintptr_t *fault_address) {
    size_t done = 0;
    while (done < count) {
        struct iovec to = {(char *)destination + done, count - done};
        struct iovec from = {(char *)(uintptr_t)source + done, count - done};
        ssize_t copied = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
        if (copied <= 0) {
            *fault_address = (uintptr_t)source + done;
            return SIGSEGV;
        }
        done += (size_t)copied;
    }
    return 0;
}

int ckvm_guarded_copy_closed(void *destination, const void *source, size_t count, uintptr_t *fault_address) {
    return ckvm_guarded_copy(destination, source, count, fault_address);
}

int ckvm_guarded_zero(void *destination, size_t count, uintptr_t *fault_address) {
    static const char zeroes[4096];
    for (size_t done = 0; done < count;) {
        size_t part = count - done < sizeof zeroes ? count - done : sizeof zeroes;
        int result = ckvm_guarded_copy((char *)destination + done, zeroes, part, fault_address);
        if (result != 0) return result;
        done += part;
    }
    return 0;
}

#endif
