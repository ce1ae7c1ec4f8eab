/*
 * The KVM interface of the Linux kernel as Swift needs it: structures under names of our own (distributions ship headers
 * older than the running kernel), request numbers as constants (the macros do not import), and functions in place of what
 * Swift cannot call (variadic ioctl, anonymous unions). Layouts: Documentation/virt/kvm/api.rst of the kernel. The layouts
 * are checked in ckvm.c, against the kernel's header where that has them.
 *
 * Every wrapper returns -errno on failure.
 */
#ifndef CKVM_H
#define CKVM_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "ckvm_guarded.h"
#include "ckvm_guest.h"
#include "ckvm_processor.h"

/* Structures */

struct ckvm_userspace_memory_region2 {
    uint32_t slot;
    uint32_t flags;
    uint64_t guest_phys_addr;
    uint64_t memory_size;
    uint64_t userspace_addr;
    uint64_t guest_memfd_offset;
    uint32_t guest_memfd;
    uint32_t pad1;
    uint64_t pad2[14];
};

struct ckvm_userspace_memory_region {
    uint32_t slot;
    uint32_t flags;
    uint64_t guest_phys_addr;
    uint64_t memory_size;
    uint64_t userspace_addr;
};

struct ckvm_create_guest_memfd {
    uint64_t size;
    uint64_t flags;
    uint64_t reserved[6];
};

struct ckvm_memory_attributes {
    uint64_t address;
    uint64_t size;
    uint64_t attributes;
    uint64_t flags;
};

/* In-place conversion series, not merged: https://lore.kernel.org/ 20260618-gmem-inplace-conversion-v8. */
struct ckvm_memory_attributes2 {
    uint64_t offset;
    uint64_t size;
    uint64_t attributes;
    uint64_t flags;
    uint64_t error_offset;
    uint64_t reserved[11];
};

struct ckvm_pre_fault_memory {
    uint64_t gpa;
    uint64_t size;
    uint64_t flags;
    uint64_t padding[5];
};

struct ckvm_regs {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rip, rflags;
};

struct ckvm_segment {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint8_t type, present, dpl, db, s, l, g, avl, unusable, padding;
};

struct ckvm_dtable {
    uint64_t base;
    uint16_t limit;
    uint16_t padding[3];
};

struct ckvm_sregs {
    struct ckvm_segment cs, ds, es, fs, gs, ss, tr, ldt;
    struct ckvm_dtable gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base;
    uint64_t interrupt_bitmap[4];
};

/* The head of the variable-size cpuid table and its entries. */
struct ckvm_cpuid2 {
    uint32_t nent;
    uint32_t padding;
};

struct ckvm_cpuid_entry2 {
    uint32_t function, index, flags, eax, ebx, ecx, edx, padding[3];
};

/* Request numbers */

extern const unsigned long ckvm_request_get_api_version;
extern const unsigned long ckvm_request_create_vm;
extern const unsigned long ckvm_request_check_extension;
extern const unsigned long ckvm_request_get_vcpu_mmap_size;
extern const unsigned long ckvm_request_get_supported_cpuid;
extern const unsigned long ckvm_request_create_vcpu;
extern const unsigned long ckvm_request_set_user_memory_region;
extern const unsigned long ckvm_request_set_user_memory_region2;
extern const unsigned long ckvm_request_set_tss_addr;
extern const unsigned long ckvm_request_set_memory_attributes;
extern const unsigned long ckvm_request_set_memory_attributes2;
extern const unsigned long ckvm_request_create_guest_memfd;
extern const unsigned long ckvm_request_run;
extern const unsigned long ckvm_request_get_regs;
extern const unsigned long ckvm_request_set_regs;
extern const unsigned long ckvm_request_get_sregs;
extern const unsigned long ckvm_request_set_sregs;
extern const unsigned long ckvm_request_set_cpuid2;
extern const unsigned long ckvm_request_pre_fault_memory;

/* Memory slot and guest_memfd flags, memory attributes */

enum {
    CKVM_MEM_LOG_DIRTY_PAGES = 1 << 0,
    CKVM_MEM_READONLY = 1 << 1,
    CKVM_MEM_GUEST_MEMFD = 1 << 2,
    CKVM_GUEST_MEMFD_MMAP = 1 << 0,
    CKVM_GUEST_MEMFD_INIT_SHARED = 1 << 1,
    CKVM_MEMORY_ATTRIBUTE_PRIVATE = 1 << 3,
};

/* System calls; -errno on failure. */

long ckvm_open(const char *path, int flags);
long ckvm_close(int fd);
long ckvm_ioctl(int fd, unsigned long request, uintptr_t argument);
long ckvm_memfd_create(const char *name);
/* fcntl(2) with F_DUPFD_CLOEXEC. */
long ckvm_duplicate(int fd);
/* Beyond RLIMIT_FSIZE -EFBIG alone; no SIGXFSZ is left. */
long ckvm_ftruncate(int fd, uint64_t size);
/*
 * KVM_CREATE_GUEST_MEMFD, with a descriptor that is close-on-exec. The request has no flag for that, and a program that another
 * thread starts before a second call would inherit the file. So a thread with a table of descriptors of its own makes it.
 */
long ckvm_create_guest_memfd(int machine, struct ckvm_create_guest_memfd *request);
/*
 * MAP_SHARED of fd, or anonymous when fd is -1. The address comes back; an address never looks like a small -errno. What is
 * 2 MiB or longer begins at a multiple of 2 MiB, so that KVM can map it by large pages.
 */
long ckvm_mmap(uint64_t length, int protection, int fd, uint64_t offset);
/* MAP_PRIVATE and anonymous; otherwise the same. */
long ckvm_mmap_private(uint64_t length);
long ckvm_munmap(uintptr_t address, uint64_t length);
long ckvm_mprotect(uintptr_t address, uint64_t length, int protection);
long ckvm_punch_hole(int fd, uint64_t offset, uint64_t length);
/* fallocate with FALLOC_FL_KEEP_SIZE: gives the pages their memory. */
long ckvm_allocate(int fd, uint64_t offset, uint64_t length);
/* The first byte with memory behind it from offset on; -ENXIO: there is none to the end of the file. */
/* read(2). */
long ckvm_read(int fd, uintptr_t address, uint64_t length);
long ckvm_seek_data(int fd, uint64_t offset);
/* MADV_POPULATE_WRITE: as if every page were written to, without changing it. */
long ckvm_populate(uintptr_t address, uint64_t length);
/* MADV_DONTNEED: the pages of a private anonymous mapping are freed, and read zeroes. */
long ckvm_discard(uintptr_t address, uint64_t length);
/* madvise with an advice that changes no bytes. */
long ckvm_advise(uintptr_t address, uint64_t length, int advice);
/* How many pages of a mapping are in memory (mincore). */
long ckvm_resident_pages(uintptr_t address, uint64_t length);

/*
 * Between the two no fork(2) of another thread's is under way: it waits. For a mapping that a child must not have, until it has
 * been said so. Not for clone(2) without the C library. 0, or -errno: nothing is held.
 */
int ckvm_forks_hold(void);
void ckvm_forks_release(void);

/* One word of a map that many threads read and one writes. */

static inline uint64_t ckvm_load_word(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void ckvm_store_word(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

/* Signals of the calling thread: blocks every one, and puts the mask back that was there before. 0, or -errno. */
int ckvm_signals_block(sigset_t *before);
int ckvm_signals_restore(const sigset_t *before);

/* Kicks: a real-time signal whose handler does nothing, sent to one thread so that KVM_RUN returns there. */

/*
 * Claims a real-time signal that nobody handles: the one wanted, or any where that is 0. One that is ours already can be
 * claimed again. Returns its number; -EINVAL: no real-time signal; -EBUSY: somebody handles it, or all of them.
 */
int ckvm_kick_claim(int wanted);
/*
 * Has the signal come to us again where it has been set to be ignored or to end the process. 0, or -EBUSY: somebody has a
 * handler for it, which stays; by force it goes.
 */
int ckvm_kick_restore(int signal, int by_force);
/* Lets kicks through to the calling thread, whose mask may be anybody's doing. */
int ckvm_kick_admit(int signal);
int ckvm_kick(pthread_t thread, int signal);

#endif
