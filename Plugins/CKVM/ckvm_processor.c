#include "ckvm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <sys/ioctl.h>

/* Layouts that are newer than the oldest supported header, by their numbers. */
#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type)
SIZE(ckvm_enable_cap, 104);
SIZE(ckvm_dirty_log, 16);
SIZE(ckvm_clear_dirty_log, 24);
SIZE(ckvm_dirty_gfn, 16);
SIZE(ckvm_msr_entry, 16);
SIZE(ckvm_debugregs, 128);

/* Where a field of struct kvm_run stands, against the header. */
#define RUN(constant, field) _Static_assert((constant) == offsetof(struct kvm_run, field), #field)
#define DETAIL(constant, field) RUN(CKVM_RUN_DETAILS + (constant), field)
RUN(CKVM_RUN_IMMEDIATE_EXIT, immediate_exit);
RUN(CKVM_RUN_EXIT_REASON, exit_reason);
RUN(CKVM_RUN_DETAILS, hw);
RUN(CKVM_RUN_DETAILS + CKVM_RUN_DETAILS_SIZE, kvm_valid_regs);
DETAIL(CKVM_IO_DIRECTION, io.direction);
DETAIL(CKVM_IO_SIZE, io.size);
DETAIL(CKVM_IO_PORT, io.port);
DETAIL(CKVM_IO_COUNT, io.count);
DETAIL(CKVM_IO_DATA_OFFSET, io.data_offset);
DETAIL(CKVM_MMIO_ADDRESS, mmio.phys_addr);
DETAIL(CKVM_MMIO_DATA, mmio.data);
DETAIL(CKVM_MMIO_LENGTH, mmio.len);
DETAIL(CKVM_MMIO_IS_WRITE, mmio.is_write);
DETAIL(CKVM_HYPERCALL_NUMBER, hypercall.nr);
DETAIL(CKVM_HYPERCALL_ARGUMENTS, hypercall.args);
DETAIL(CKVM_HYPERCALL_RESULT, hypercall.ret);
DETAIL(CKVM_HYPERCALL_FLAGS, hypercall.longmode);
DETAIL(CKVM_FAIL_ENTRY_REASON, fail_entry.hardware_entry_failure_reason);
DETAIL(CKVM_FAIL_ENTRY_PROCESSOR, fail_entry.cpu);
DETAIL(CKVM_EXCEPTION_NUMBER, ex.exception);
DETAIL(CKVM_EXCEPTION_ERROR_CODE, ex.error_code);
DETAIL(CKVM_INTERNAL_ERROR_CODE, internal.suberror);
DETAIL(CKVM_INTERNAL_ERROR_COUNT, internal.ndata);
DETAIL(CKVM_INTERNAL_ERROR_DATA, internal.data);
DETAIL(CKVM_SYSTEM_EVENT_TYPE, system_event.type);
DETAIL(CKVM_SYSTEM_EVENT_COUNT, system_event.ndata);
DETAIL(CKVM_SYSTEM_EVENT_DATA, system_event.data);
DETAIL(CKVM_TPR_INSTRUCTION, tpr_access.rip);
DETAIL(CKVM_TPR_IS_WRITE, tpr_access.is_write);
DETAIL(CKVM_EOI_VECTOR, eoi.vector);
DETAIL(CKVM_MSR_ERROR, msr.error);
DETAIL(CKVM_MSR_REASON, msr.reason);
DETAIL(CKVM_MSR_INDEX, msr.index);
DETAIL(CKVM_MSR_DATA, msr.data);
DETAIL(CKVM_HYPERV_TYPE, hyperv.type);
DETAIL(CKVM_XEN_TYPE, xen.type);
DETAIL(CKVM_NOTIFY_FLAGS, notify.flags);
_Static_assert(CKVM_HC_MAP_GPA_RANGE == KVM_HC_MAP_GPA_RANGE, "KVM_HC_MAP_GPA_RANGE");
#if defined(__x86_64__)
DETAIL(CKVM_DEBUG_EXCEPTION, debug.arch.exception);
DETAIL(CKVM_DEBUG_INSTRUCTION, debug.arch.pc);
DETAIL(CKVM_DEBUG_DR6, debug.arch.dr6);
DETAIL(CKVM_DEBUG_DR7, debug.arch.dr7);
_Static_assert(CKVM_EHWPOISON == EHWPOISON, "EHWPOISON");
_Static_assert(CKVM_DIRTY_RING_PAGE_OFFSET == KVM_DIRTY_LOG_PAGE_OFFSET, "KVM_DIRTY_LOG_PAGE_OFFSET");
_Static_assert(sizeof(struct ckvm_debugregs) == sizeof(struct kvm_debugregs), "kvm_debugregs");
_Static_assert(sizeof(struct kvm_xsave) == 4096, "kvm_xsave");
#endif

/* Request numbers: from our own structures, so that they do not depend on the header's age. */
struct xsave {
    uint8_t bytes[4096];
};
struct msr_list {
    uint32_t count;
};
const unsigned long ckvm_request_get_msr_index_list = _IOWR(0xAE, 0x02, struct msr_list);
const unsigned long ckvm_request_get_dirty_log = _IOW(0xAE, 0x42, struct ckvm_dirty_log);
const unsigned long ckvm_request_get_msrs = _IOWR(0xAE, 0x88, struct ckvm_msrs);
const unsigned long ckvm_request_set_msrs = _IOW(0xAE, 0x89, struct ckvm_msrs);
const unsigned long ckvm_request_get_cpuid2 = _IOWR(0xAE, 0x91, struct ckvm_cpuid2);
const unsigned long ckvm_request_get_debugregs = _IOR(0xAE, 0xa1, struct ckvm_debugregs);
const unsigned long ckvm_request_set_debugregs = _IOW(0xAE, 0xa2, struct ckvm_debugregs);
const unsigned long ckvm_request_enable_cap = _IOW(0xAE, 0xa3, struct ckvm_enable_cap);
const unsigned long ckvm_request_get_xsave = _IOR(0xAE, 0xa4, struct xsave);
const unsigned long ckvm_request_set_xsave = _IOW(0xAE, 0xa5, struct xsave);
const unsigned long ckvm_request_clear_dirty_log = _IOWR(0xAE, 0xc0, struct ckvm_clear_dirty_log);
const unsigned long ckvm_request_reset_dirty_rings = _IO(0xAE, 0xc7);
#if defined(__x86_64__)
_Static_assert(_IOWR(0xAE, 0x02, struct msr_list) == KVM_GET_MSR_INDEX_LIST, "KVM_GET_MSR_INDEX_LIST");
_Static_assert(_IOWR(0xAE, 0x88, struct ckvm_msrs) == KVM_GET_MSRS, "KVM_GET_MSRS");
_Static_assert(_IOW(0xAE, 0x89, struct ckvm_msrs) == KVM_SET_MSRS, "KVM_SET_MSRS");
_Static_assert(_IOWR(0xAE, 0x91, struct ckvm_cpuid2) == KVM_GET_CPUID2, "KVM_GET_CPUID2");
_Static_assert(_IOR(0xAE, 0xa1, struct ckvm_debugregs) == KVM_GET_DEBUGREGS, "KVM_GET_DEBUGREGS");
_Static_assert(_IOR(0xAE, 0xa4, struct xsave) == KVM_GET_XSAVE, "KVM_GET_XSAVE");
#endif
_Static_assert(_IOW(0xAE, 0x42, struct ckvm_dirty_log) == KVM_GET_DIRTY_LOG, "KVM_GET_DIRTY_LOG");
_Static_assert(_IOW(0xAE, 0xa3, struct ckvm_enable_cap) == KVM_ENABLE_CAP, "KVM_ENABLE_CAP");
_Static_assert(_IOWR(0xAE, 0xc0, struct ckvm_clear_dirty_log) == KVM_CLEAR_DIRTY_LOG, "KVM_CLEAR_DIRTY_LOG");
_Static_assert(_IO(0xAE, 0xc7) == KVM_RESET_DIRTY_RINGS, "KVM_RESET_DIRTY_RINGS");
