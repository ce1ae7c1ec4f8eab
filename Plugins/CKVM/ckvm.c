#define _GNU_SOURCE
#include "ckvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Layouts newer than the oldest supported header, by their numbers. */
#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type)
#define OFFSET(type, field, bytes) _Static_assert(offsetof(struct type, field) == (bytes), #type "." #field)
SIZE(ckvm_userspace_memory_region2, 160);
OFFSET(ckvm_userspace_memory_region2, guest_phys_addr, 8);
OFFSET(ckvm_userspace_memory_region2, memory_size, 16);
OFFSET(ckvm_userspace_memory_region2, userspace_addr, 24);
OFFSET(ckvm_userspace_memory_region2, guest_memfd_offset, 32);
OFFSET(ckvm_userspace_memory_region2, guest_memfd, 40);
OFFSET(ckvm_userspace_memory_region2, pad2, 48);
SIZE(ckvm_create_guest_memfd, 64);
OFFSET(ckvm_create_guest_memfd, flags, 8);
SIZE(ckvm_memory_attributes, 32);
OFFSET(ckvm_memory_attributes, attributes, 16);
SIZE(ckvm_memory_attributes2, 128);
OFFSET(ckvm_memory_attributes2, error_offset, 32);
OFFSET(ckvm_memory_attributes2, reserved, 40);
SIZE(ckvm_pre_fault_memory, 64);
OFFSET(ckvm_pre_fault_memory, flags, 16);

/* Layouts the header has: against the header. */
#define SAME(ours, theirs) _Static_assert(sizeof(struct ours) == sizeof(struct theirs), #ours)
SAME(ckvm_userspace_memory_region, kvm_userspace_memory_region);
#if defined(__x86_64__)
SAME(ckvm_regs, kvm_regs);
OFFSET(ckvm_regs, rip, offsetof(struct kvm_regs, rip));
OFFSET(ckvm_regs, rdi, offsetof(struct kvm_regs, rdi));
SAME(ckvm_segment, kvm_segment);
OFFSET(ckvm_segment, type, offsetof(struct kvm_segment, type));
OFFSET(ckvm_segment, unusable, offsetof(struct kvm_segment, unusable));
SAME(ckvm_dtable, kvm_dtable);
SAME(ckvm_sregs, kvm_sregs);
OFFSET(ckvm_sregs, cr0, offsetof(struct kvm_sregs, cr0));
OFFSET(ckvm_sregs, efer, offsetof(struct kvm_sregs, efer));
OFFSET(ckvm_sregs, interrupt_bitmap, offsetof(struct kvm_sregs, interrupt_bitmap));
SAME(ckvm_cpuid2, kvm_cpuid2);
SAME(ckvm_cpuid_entry2, kvm_cpuid_entry2);
#endif

/* Request numbers: from our own structures, so that they do not depend on the header's age. */
const unsigned long ckvm_request_get_api_version = _IO(0xAE, 0x00);
const unsigned long ckvm_request_create_vm = _IO(0xAE, 0x01);
const unsigned long ckvm_request_check_extension = _IO(0xAE, 0x03);
const unsigned long ckvm_request_get_vcpu_mmap_size = _IO(0xAE, 0x04);
const unsigned long ckvm_request_get_supported_cpuid = _IOWR(0xAE, 0x05, struct ckvm_cpuid2);
const unsigned long ckvm_request_create_vcpu = _IO(0xAE, 0x41);
const unsigned long ckvm_request_set_user_memory_region = _IOW(0xAE, 0x46, struct ckvm_userspace_memory_region);
const unsigned long ckvm_request_set_tss_addr = _IO(0xAE, 0x47);
const unsigned long ckvm_request_set_user_memory_region2 = _IOW(0xAE, 0x49, struct ckvm_userspace_memory_region2);
const unsigned long ckvm_request_run = _IO(0xAE, 0x80);
const unsigned long ckvm_request_get_regs = _IOR(0xAE, 0x81, struct ckvm_regs);
const unsigned long ckvm_request_set_regs = _IOW(0xAE, 0x82, struct ckvm_regs);
const unsigned long ckvm_request_get_sregs = _IOR(0xAE, 0x83, struct ckvm_sregs);
const unsigned long ckvm_request_set_sregs = _IOW(0xAE, 0x84, struct ckvm_sregs);
const unsigned long ckvm_request_set_cpuid2 = _IOW(0xAE, 0x90, struct ckvm_cpuid2);
const unsigned long ckvm_request_set_memory_attributes = _IOW(0xAE, 0xd2, struct ckvm_memory_attributes);
const unsigned long ckvm_request_set_memory_attributes2 = _IOWR(0xAE, 0xd2, struct ckvm_memory_attributes2);
const unsigned long ckvm_request_create_guest_memfd = _IOWR(0xAE, 0xd4, struct ckvm_create_guest_memfd);
const unsigned long ckvm_request_pre_fault_memory = _IOWR(0xAE, 0xd5, struct ckvm_pre_fault_memory);
#if defined(__x86_64__)
_Static_assert(_IOR(0xAE, 0x83, struct ckvm_sregs) == KVM_GET_SREGS, "KVM_GET_SREGS");
_Static_assert(_IOW(0xAE, 0x82, struct ckvm_regs) == KVM_SET_REGS, "KVM_SET_REGS");
_Static_assert(_IOW(0xAE, 0x90, struct ckvm_cpuid2) == KVM_SET_CPUID2, "KVM_SET_CPUID2");
_Static_assert(_IOWR(0xAE, 0x05, struct ckvm_cpuid2) == KVM_GET_SUPPORTED_CPUID, "KVM_GET_SUPPORTED_CPUID");
#endif
_Static_assert(_IOW(0xAE, 0x46, struct ckvm_userspace_memory_region) == KVM_SET_USER_MEMORY_REGION, "v1 slots");

#define RETURN_OR_ERRNO(expression)                                                                                    \
    do {                                                                                                               \
        long result_ = (long)(expression);                                                                             \
        return result_ == -1 ? -(long)errno : result_;                                                                 \
    } while (0)

long ckvm_open(const char *path, int flags) { RETURN_OR_ERRNO(open(path, flags | O_CLOEXEC)); }
long ckvm_close(int fd) { RETURN_OR_ERRNO(close(fd)); }
long ckvm_ioctl(int fd, unsigned long request, uintptr_t argument) { RETURN_OR_ERRNO(ioctl(fd, request, argument)); }
long ckvm_memfd_create(const char *name) { RETURN_OR_ERRNO(memfd_create(name, MFD_CLOEXEC)); }

long ckvm_duplicate(int fd) { RETURN_OR_ERRNO(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

long ckvm_ftruncate(int fd, uint64_t size) {
    /* Beyond RLIMIT_FSIZE the kernel sends SIGXFSZ to this thread beside EFBIG. The error is enough. */
    sigset_t limit, before, pending;
    sigemptyset(&limit);
    sigaddset(&limit, SIGXFSZ);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &limit, &before);
    long result = ftruncate(fd, (off_t)size) == -1 ? -(long)errno : 0;
    if (result == -EFBIG && !sigismember(&pending, SIGXFSZ)) {
        struct timespec none = {0};
        while (sigtimedwait(&limit, NULL, &none) == -1 && errno == EINTR) continue;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

static long map(uint64_t length, int protection, int flags, int fd, uint64_t offset) {
    const uint64_t large = 2 << 20;
    flags |= MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);
    if (length < large || length > UINT64_MAX - large) {
        void *address = mmap(NULL, length, protection, flags, fd, (off_t)offset);
        return address == MAP_FAILED ? -(long)errno : (long)address;
    }
    /* A reserved place that is too long; what lies beside the aligned part of it goes again. */
    char *place = mmap(NULL, length + large, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) return -(long)errno;
    uint64_t head = -(uintptr_t)place % large;
    uint64_t used = (length + 4095) & ~(uint64_t)4095;
    if (mmap(place + head, length, protection, flags | MAP_FIXED, fd, (off_t)offset) == MAP_FAILED) {
        long error = -(long)errno;
        munmap(place, length + large);
        return error;
    }
    if (head > 0) munmap(place, head);
    if (head < large) munmap(place + head + used, large - head);
    return (long)(place + head);
}

long ckvm_mmap(uint64_t length, int protection, int fd, uint64_t offset) {
    return map(length, protection, MAP_SHARED, fd, offset);
}

long ckvm_mmap_private(uint64_t length) { return map(length, PROT_READ | PROT_WRITE, MAP_PRIVATE, -1, 0); }

long ckvm_munmap(uintptr_t address, uint64_t length) { RETURN_OR_ERRNO(munmap((void *)address, length)); }

long ckvm_mprotect(uintptr_t address, uint64_t length, int protection) {
    RETURN_OR_ERRNO(mprotect((void *)address, length, protection));
}

long ckvm_punch_hole(int fd, uint64_t offset, uint64_t length) {
    RETURN_OR_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length));
}

long ckvm_allocate(int fd, uint64_t offset, uint64_t length) {
    RETURN_OR_ERRNO(fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length));
}

long ckvm_read(int fd, uintptr_t address, uint64_t length) {
    RETURN_OR_ERRNO(read(fd, (void *)address, length));
}

long ckvm_seek_data(int fd, uint64_t offset) { RETURN_OR_ERRNO(lseek(fd, (off_t)offset, SEEK_DATA)); }

long ckvm_populate(uintptr_t address, uint64_t length) {
    /* MADV_POPULATE_WRITE, Linux 5.14: newer than the oldest supported header. */
    RETURN_OR_ERRNO(madvise((void *)address, length, 23));
}

long ckvm_discard(uintptr_t address, uint64_t length) {
    RETURN_OR_ERRNO(madvise((void *)address, length, MADV_DONTNEED));
}

long ckvm_advise(uintptr_t address, uint64_t length, int advice) {
    RETURN_OR_ERRNO(madvise((void *)address, length, advice));
}

long ckvm_resident_pages(uintptr_t address, uint64_t length) {
    unsigned char pages[4096];
    long count = 0;
    for (uint64_t done = 0; done < length;) {
        uint64_t part = length - done < sizeof pages * 4096 ? length - done : sizeof pages * 4096;
        if (mincore((void *)(address + done), part, pages) != 0) return -(long)errno;
        for (uint64_t page = 0; page < (part + 4095) / 4096; page++) count += pages[page] & 1;
        done += part;
    }
    return count;
}

int ckvm_signals_block(sigset_t *before) {
    sigset_t all;
    sigfillset(&all);
    return -pthread_sigmask(SIG_SETMASK, &all, before);
}

int ckvm_signals_restore(const sigset_t *before) { return -pthread_sigmask(SIG_SETMASK, before, NULL); }

static void kicked(int signal) { (void)signal; }

static int is_kick(const struct sigaction *action) {
    return !(action->sa_flags & SA_SIGINFO) && action->sa_handler == kicked;
}

/* Whether nobody has said what is to happen. */
static int is_default(const struct sigaction *action) {
    return !(action->sa_flags & SA_SIGINFO) && action->sa_handler == SIG_DFL;
}

static int is_ignored(const struct sigaction *action) {
    return !(action->sa_flags & SA_SIGINFO) && action->sa_handler == SIG_IGN;
}

/* Puts our handler in place, and says what was there: in one exchange, so that nobody's handler gets lost in between. */
static int install_kick(int signal, struct sigaction *before) {
    struct sigaction ours = {.sa_handler = kicked, .sa_flags = SA_RESTART};
    sigemptyset(&ours.sa_mask);
    return sigaction(signal, &ours, before) == 0 ? 0 : -errno;
}

static int claim_kick(int signal) {
    struct sigaction before;
    if (sigaction(signal, NULL, &before) != 0) return -errno;
    if (is_kick(&before)) return signal;
    /* One that is ignored, as a parent may have left it, has no handler either. */
    if (!is_default(&before) && !is_ignored(&before)) return -EBUSY;
    int result = install_kick(signal, &before);
    if (result != 0) return result;
    if (is_kick(&before) || is_default(&before) || is_ignored(&before)) return signal;
    /* Somebody was faster: the signal is theirs. */
    sigaction(signal, &before, NULL);
    return -EBUSY;
}

int ckvm_kick_claim(int wanted) {
    if (wanted != 0) return wanted < SIGRTMIN || wanted > SIGRTMAX ? -EINVAL : claim_kick(wanted);
    for (int candidate = SIGRTMAX - 1; candidate > SIGRTMIN; candidate--) {
        int result = claim_kick(candidate);
        if (result != -EBUSY) return result;
    }
    return -EBUSY;
}

int ckvm_kick_restore(int signal, int by_force) {
    struct sigaction before;
    if (sigaction(signal, NULL, &before) != 0) return -errno;
    if (is_kick(&before)) return 0;
    if (!by_force && !is_default(&before) && !is_ignored(&before)) return -EBUSY;
    int result = install_kick(signal, &before);
    if (result != 0 || by_force || is_kick(&before) || is_default(&before) || is_ignored(&before)) return result;
    sigaction(signal, &before, NULL);
    return -EBUSY;
}

int ckvm_kick_admit(int signal) {
    sigset_t kicks;
    sigemptyset(&kicks);
    sigaddset(&kicks, signal);
    return -pthread_sigmask(SIG_UNBLOCK, &kicks, NULL);
}

int ckvm_kick(pthread_t thread, int signal) { return -pthread_kill(thread, signal); }
