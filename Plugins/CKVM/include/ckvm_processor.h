/*
 * A virtual processor as Swift needs it: why KVM_RUN came back (every reason of Documentation/virt/kvm/api.rst up to
 * number 43, also those newer than the header that this is built with), where a reason's details stand in struct kvm_run,
 * and the structures of registers. Layouts are checked in ckvm_processor.c.
 */
#ifndef CKVM_PROCESSOR_H
#define CKVM_PROCESSOR_H

#include <stdint.h>

/* KVM_MEMORY_EXIT_FLAG_PRIVATE: the access was to private memory. The exit comes with EFAULT or EHWPOISON. */
enum { CKVM_MEMORY_EXIT_PRIVATE = 1 << 3, CKVM_EHWPOISON = 133 };

/* Offsets in struct kvm_run, in bytes; those of an exit's details are from CKVM_RUN_DETAILS on. */
enum {
    CKVM_RUN_IMMEDIATE_EXIT = 1,
    CKVM_RUN_EXIT_REASON = 8,
    CKVM_RUN_DETAILS = 32,
    CKVM_RUN_DETAILS_SIZE = 256,

    CKVM_IO_DIRECTION = 0, /* 1: out */
    CKVM_IO_SIZE = 1,
    CKVM_IO_PORT = 2,
    CKVM_IO_COUNT = 4,
    CKVM_IO_DATA_OFFSET = 8, /* from the start of struct kvm_run */
    CKVM_MMIO_ADDRESS = 0,
    CKVM_MMIO_DATA = 8,
    CKVM_MMIO_LENGTH = 16,
    CKVM_MMIO_IS_WRITE = 20,
    CKVM_HYPERCALL_NUMBER = 0,
    CKVM_HYPERCALL_ARGUMENTS = 8,
    CKVM_HYPERCALL_RESULT = 56,
    CKVM_HYPERCALL_FLAGS = 64, /* a 32-bit ‘longmode’ in older kernels */
    CKVM_MEMORY_FAULT_FLAGS = 0,
    CKVM_MEMORY_FAULT_ADDRESS = 8,
    CKVM_MEMORY_FAULT_SIZE = 16,
    CKVM_FAIL_ENTRY_REASON = 0,
    CKVM_FAIL_ENTRY_PROCESSOR = 8,
    CKVM_EXCEPTION_NUMBER = 0,
    CKVM_EXCEPTION_ERROR_CODE = 4,
    CKVM_DEBUG_EXCEPTION = 0,
    CKVM_DEBUG_INSTRUCTION = 8,
    CKVM_DEBUG_DR6 = 16,
    CKVM_DEBUG_DR7 = 24,
    CKVM_INTERNAL_ERROR_CODE = 0,
    CKVM_INTERNAL_ERROR_COUNT = 4,
    CKVM_INTERNAL_ERROR_DATA = 8, /* 16 words at most */
    CKVM_SYSTEM_EVENT_TYPE = 0,
    CKVM_SYSTEM_EVENT_COUNT = 4,
    CKVM_SYSTEM_EVENT_DATA = 8, /* 16 words at most */
    CKVM_TPR_INSTRUCTION = 0,
    CKVM_TPR_IS_WRITE = 8,
    CKVM_EOI_VECTOR = 0,
    CKVM_MSR_ERROR = 0,
    CKVM_MSR_REASON = 8,
    CKVM_MSR_INDEX = 12,
    CKVM_MSR_DATA = 16,
    CKVM_HYPERV_TYPE = 0,
    CKVM_XEN_TYPE = 0,
    CKVM_NOTIFY_FLAGS = 0,
    CKVM_TDX_FLAGS = 0,
    CKVM_TDX_NUMBER = 8,
    CKVM_CERTIFICATES_ADDRESS = 0,
    CKVM_CERTIFICATES_PAGES = 8,
};

struct ckvm_debugregs {
    uint64_t db[4];
    uint64_t dr6;
    uint64_t dr7;
    uint64_t flags;
    uint64_t reserved[9];
};

/* The head of the variable-size table of model-specific registers, and its entries. */
struct ckvm_msrs {
    uint32_t count;
    uint32_t padding;
};

struct ckvm_msr_entry {
    uint32_t index;
    uint32_t reserved;
    uint64_t data;
};

struct ckvm_enable_cap {
    uint32_t cap;
    uint32_t flags;
    uint64_t args[4];
    uint8_t pad[64];
};

struct ckvm_dirty_log {
    uint32_t slot;
    uint32_t padding;
    uint64_t bitmap;
};

struct ckvm_clear_dirty_log {
    uint32_t slot;
    uint32_t page_count;
    uint64_t first_page;
    uint64_t bitmap;
};

/* One entry of a dirty ring. */
struct ckvm_dirty_gfn {
    uint32_t flags;
    uint32_t slot;
    uint64_t offset;
};

enum {
    CKVM_DIRTY_GFN_DIRTY = 1 << 0,
    CKVM_DIRTY_GFN_RESET = 1 << 1,
    /* Where a processor's ring is mapped, in pages from the start of its file (x86). */
    CKVM_DIRTY_RING_PAGE_OFFSET = 64,
    CKVM_DIRTY_LOG_MANUAL_PROTECT = 1 << 0,
};

/* The flags of an entry, which the kernel and this process hand to each other. */
static inline uint32_t ckvm_load_flags(const uint32_t *flags) { return __atomic_load_n(flags, __ATOMIC_ACQUIRE); }
static inline void ckvm_store_flags(uint32_t *flags, uint32_t value) {
    __atomic_store_n(flags, value, __ATOMIC_RELEASE);
}

extern const unsigned long ckvm_request_get_debugregs;
extern const unsigned long ckvm_request_set_debugregs;
extern const unsigned long ckvm_request_get_msrs;
extern const unsigned long ckvm_request_set_msrs;
extern const unsigned long ckvm_request_get_msr_index_list;
extern const unsigned long ckvm_request_get_xsave;
extern const unsigned long ckvm_request_set_xsave;
extern const unsigned long ckvm_request_get_cpuid2;
extern const unsigned long ckvm_request_enable_cap;
extern const unsigned long ckvm_request_get_dirty_log;
extern const unsigned long ckvm_request_clear_dirty_log;
extern const unsigned long ckvm_request_reset_dirty_rings;

/* May be called from any thread while the processor runs. */
static inline void ckvm_run_set_immediate_exit(void *run, uint8_t value) {
    __atomic_store_n((uint8_t *)run + CKVM_RUN_IMMEDIATE_EXIT, value, __ATOMIC_SEQ_CST);
}

#endif
