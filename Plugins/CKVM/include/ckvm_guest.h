/*
 * The mailbox between the host and the guest program: the one description of its layout, shared by the assembly
 * (guest_program.S), by C and by Swift.
 *
 * Every virtual processor owns one mailbox page in the boot slot. It finds the page's guest physical address in RDI when
 * it starts. Guest virtual addresses equal guest physical addresses. The processor rings the doorbell port whenever it is
 * idle: at its start and after every command. While it is out of the guest the host fills in a command and re-enters.
 */
#ifndef CKVM_GUEST_H
#define CKVM_GUEST_H

/* Ports the guest program writes to. The value written has no meaning. */
#define CKVM_PORT_DOORBELL 0x0C00 /* idle: the last command (if any) is done, the next one may be put in */
#define CKVM_PORT_REQUEST 0x0C01  /* the request_* fields hold a request; the host stores the reply and re-enters */
#define CKVM_PORT_END 0x0C02      /* the program was told to end and does not want to run again */

/* Commands. */
#define CKVM_COMMAND_NONE 0
#define CKVM_COMMAND_WRITE 1    /* data[0 ..< count] -> memory at address */
#define CKVM_COMMAND_READ 2     /* memory at address -> data[0 ..< count] */
#define CKVM_COMMAND_FILL 3     /* memory at address, count bytes: value (eight bytes of pattern, little endian) */
#define CKVM_COMMAND_CHECKSUM 4 /* result = 64-bit FNV-1a over count bytes at address */
#define CKVM_COMMAND_COMPARE 5  /* result = offset of the first byte that is not the low byte of value, or count */
#define CKVM_COMMAND_REQUEST 6  /* ask for a conversion of (address, count) to ownership value; results = replies */
#define CKVM_COMMAND_HAMMER 7   /* value times: increment the 8 bytes at every 64th byte of (address, count) */
#define CKVM_COMMAND_END 8
#define CKVM_COMMAND_HYPERCALL 9 /* the call KVM_HC_MAP_GPA_RANGE: address, count of pages, attributes value; result = RAX */
#define CKVM_COMMAND_REQUESTS 10 /* ask for count conversions, one after the other: the entries in the data */

/* The number of the hypercall KVM_HC_MAP_GPA_RANGE. */
#define CKVM_HC_MAP_GPA_RANGE 12

/* Status the guest stores before it rings the doorbell. */
#define CKVM_STATUS_IDLE 0
#define CKVM_STATUS_DONE 1
#define CKVM_STATUS_UNKNOWN_COMMAND 2

/* Offsets in the mailbox page, in bytes. */
#define CKVM_MAILBOX_COMMAND 0
#define CKVM_MAILBOX_STATUS 4
#define CKVM_MAILBOX_ADDRESS 8
#define CKVM_MAILBOX_COUNT 16
#define CKVM_MAILBOX_VALUE 24
#define CKVM_MAILBOX_RESULT 32
#define CKVM_MAILBOX_REQUEST_ADDRESS 40
#define CKVM_MAILBOX_REQUEST_COUNT 48
#define CKVM_MAILBOX_REQUEST_TARGET 56
#define CKVM_MAILBOX_REPLY 64
#define CKVM_MAILBOX_REPLY_ADDRESS 72
#define CKVM_MAILBOX_RESULT_ADDRESS 80
#define CKVM_MAILBOX_DATA 128
#define CKVM_MAILBOX_SIZE 4096
#define CKVM_MAILBOX_DATA_SIZE (CKVM_MAILBOX_SIZE - CKVM_MAILBOX_DATA)

/* One request among the data of CKVM_COMMAND_REQUESTS. The replies take the place of the first two fields. */
#define CKVM_ENTRY_ADDRESS 0
#define CKVM_ENTRY_COUNT 8
#define CKVM_ENTRY_TARGET 16
#define CKVM_ENTRY_REPLY 0
#define CKVM_ENTRY_REPLY_ADDRESS 8
#define CKVM_ENTRY_SIZE 24
#define CKVM_ENTRIES (CKVM_MAILBOX_DATA_SIZE / CKVM_ENTRY_SIZE)

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

/*
 * One mailbox page. The host writes the command with its address, count and value, the replies, and the data of a write.
 * The guest writes the status, the results, the request and the data of a read: the host believes none of it.
 */
struct ckvm_mailbox {
    uint32_t command;
    uint32_t status;
    uint64_t address;
    uint64_t count;
    uint64_t value;
    uint64_t result;
    uint64_t request_address;
    uint64_t request_count;
    uint64_t request_target;
    uint64_t reply;
    uint64_t reply_address;
    uint64_t result_address;
    uint64_t reserved[5];
    /* The data follows, to the end of the page. */
};

_Static_assert(sizeof(struct ckvm_mailbox) == CKVM_MAILBOX_DATA, "data");
_Static_assert(offsetof(struct ckvm_mailbox, command) == CKVM_MAILBOX_COMMAND, "command");
_Static_assert(offsetof(struct ckvm_mailbox, status) == CKVM_MAILBOX_STATUS, "status");
_Static_assert(offsetof(struct ckvm_mailbox, address) == CKVM_MAILBOX_ADDRESS, "address");
_Static_assert(offsetof(struct ckvm_mailbox, count) == CKVM_MAILBOX_COUNT, "count");
_Static_assert(offsetof(struct ckvm_mailbox, value) == CKVM_MAILBOX_VALUE, "value");
_Static_assert(offsetof(struct ckvm_mailbox, result) == CKVM_MAILBOX_RESULT, "result");
_Static_assert(offsetof(struct ckvm_mailbox, request_address) == CKVM_MAILBOX_REQUEST_ADDRESS, "request_address");
_Static_assert(offsetof(struct ckvm_mailbox, request_count) == CKVM_MAILBOX_REQUEST_COUNT, "request_count");
_Static_assert(offsetof(struct ckvm_mailbox, request_target) == CKVM_MAILBOX_REQUEST_TARGET, "request_target");
_Static_assert(offsetof(struct ckvm_mailbox, reply) == CKVM_MAILBOX_REPLY, "reply");
_Static_assert(offsetof(struct ckvm_mailbox, reply_address) == CKVM_MAILBOX_REPLY_ADDRESS, "reply_address");
_Static_assert(offsetof(struct ckvm_mailbox, result_address) == CKVM_MAILBOX_RESULT_ADDRESS, "result_address");

/* The guest program: position-independent x86-64 code, entered at its first byte. Size 0 on other architectures. */
const void *ckvm_guest_program(void);
size_t ckvm_guest_program_size(void);
#endif /* __ASSEMBLER__ */

#endif
