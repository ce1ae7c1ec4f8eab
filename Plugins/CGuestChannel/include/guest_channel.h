/*
 * The request protocol between a guest and its host over a byte stream (a virtio-serial port, a serial line): every number
 * of it, in the one place that the host's Swift code, the Linux agent and the micro guest's assembly share.
 * docs/guest-channel.md explains it. All fields are little endian.
 */
#ifndef GUEST_CHANNEL_H
#define GUEST_CHANNEL_H

/* The version of the messages that this file describes. The frame around them never changes. */
#define GUEST_CHANNEL_VERSION 1

/* A frame: a header, then a payload. */
#define GUEST_CHANNEL_MAGIC 0x54535543 /* "CUST" */
#define GUEST_CHANNEL_FRAME_MAGIC 0    /* u32 */
#define GUEST_CHANNEL_FRAME_TYPE 4     /* u8 */
#define GUEST_CHANNEL_FRAME_ZERO 5     /* u8, zero: anything else is no header */
#define GUEST_CHANNEL_FRAME_LENGTH 6   /* u16, bytes of payload, at most GUEST_CHANNEL_MAXIMUM_PAYLOAD */
#define GUEST_CHANNEL_FRAME_ID 8       /* u32, chosen by who asks and echoed in the answer */
#define GUEST_CHANNEL_FRAME_CRC 12     /* u32, CRC-32 (IEEE 802.3) of the 12 bytes before it and of the payload */
#define GUEST_CHANNEL_HEADER_SIZE 16
#define GUEST_CHANNEL_MAXIMUM_PAYLOAD 512
#define GUEST_CHANNEL_MAXIMUM_FRAME (GUEST_CHANNEL_HEADER_SIZE + GUEST_CHANNEL_MAXIMUM_PAYLOAD)

/* Types from 0x00 to 0x3f: the guest asks, the host answers each one with GUEST_CHANNEL_REPLY. */
#define GUEST_CHANNEL_HELLO 0x01     /* hello */
#define GUEST_CHANNEL_SHARE 0x02     /* range: both sides shall have these bytes */
#define GUEST_CHANNEL_UNSHARE 0x03   /* range: the guest alone shall have them */
#define GUEST_CHANNEL_GIVE_BACK 0x04 /* range: the host alone shall have them */
#define GUEST_CHANNEL_QUERY 0x05     /* range: who has the first of these bytes, and how many from there on? */

/* Types from 0x40 to 0x7f: the host tells a guest that takes commands; it answers each one with GUEST_CHANNEL_RESULT. */
#define GUEST_CHANNEL_ASK 0x40     /* range, value = the type of a request: make that request, tell the reply */
#define GUEST_CHANNEL_WRITE 0x41   /* range, then data: store the bytes */
#define GUEST_CHANNEL_READ 0x42    /* range: load the bytes */
#define GUEST_CHANNEL_REMOVAL 0x43 /* value: what to do when a memory device is to be removed */
#define GUEST_CHANNEL_ONLINE 0x44  /* range, value: use the memory blocks of this range */
#define GUEST_CHANNEL_OFFLINE 0x45 /* range: stop using them */
#define GUEST_CHANNEL_HOLD 0x46    /* range, value: keep so many bytes of memory in use (address 0, count 0: let go) */
#define GUEST_CHANNEL_GREET 0x47   /* say hello (again): a host that came later than the guest's hello asks for it */

/* Types from 0x80 to 0xff are answers, and are never answered. */
#define GUEST_CHANNEL_REPLY 0x80  /* reply */
#define GUEST_CHANNEL_RESULT 0xc0 /* result, then data */

/* hello: the versions that the guest speaks, and what it takes. */
#define GUEST_CHANNEL_HELLO_LOWEST 0   /* u16 */
#define GUEST_CHANNEL_HELLO_HIGHEST 2  /* u16 */
#define GUEST_CHANNEL_HELLO_FEATURES 4 /* u32 */
#define GUEST_CHANNEL_HELLO_SIZE 8

#define GUEST_CHANNEL_FEATURE_COMMANDS 1      /* it takes GREET and ASK */
#define GUEST_CHANNEL_FEATURE_MEMORY 2        /* it takes WRITE and READ */
#define GUEST_CHANNEL_FEATURE_MEMORY_BLOCKS 4 /* it takes ONLINE, OFFLINE and HOLD */
#define GUEST_CHANNEL_FEATURE_REMOVAL 8       /* it takes REMOVAL */

/* range: guest-physical bytes, with what a command needs beside them. */
#define GUEST_CHANNEL_RANGE_ADDRESS 0 /* u64 */
#define GUEST_CHANNEL_RANGE_COUNT 8   /* u64 */
#define GUEST_CHANNEL_RANGE_VALUE 16  /* u32, commands only */
#define GUEST_CHANNEL_RANGE_ZERO 20   /* u32, commands only */
#define GUEST_CHANNEL_REQUEST_SIZE 16
#define GUEST_CHANNEL_COMMAND_SIZE 24
#define GUEST_CHANNEL_MAXIMUM_DATA (GUEST_CHANNEL_MAXIMUM_PAYLOAD - GUEST_CHANNEL_COMMAND_SIZE)

/* reply */
#define GUEST_CHANNEL_REPLY_STATUS 0    /* u8 */
#define GUEST_CHANNEL_REPLY_OWNERSHIP 1 /* u8, of a query */
#define GUEST_CHANNEL_REPLY_VERSION 2   /* u16, the version that both sides speak from now on; of a hello */
#define GUEST_CHANNEL_REPLY_ZERO 4      /* u32 */
#define GUEST_CHANNEL_REPLY_ADDRESS 8   /* u64, of a retry: go on from here; of a query: its address */
#define GUEST_CHANNEL_REPLY_COUNT 16    /* u64, of a query: so many bytes; of a hello: the unit of every change */
#define GUEST_CHANNEL_REPLY_SIZE 24

#define GUEST_CHANNEL_STATUS_DONE 0         /* all of it is as asked for */
#define GUEST_CHANNEL_STATUS_RETRY 1        /* not yet: ask again, from this address on */
#define GUEST_CHANNEL_STATUS_REFUSED 2      /* no, and asking again will not help */
#define GUEST_CHANNEL_STATUS_BUSY 3         /* nobody is there to answer now; ask the same again */
#define GUEST_CHANNEL_STATUS_MALFORMED 4    /* the payload is not what the type needs */
#define GUEST_CHANNEL_STATUS_UNKNOWN_TYPE 5 /* this version has no such request */
#define GUEST_CHANNEL_STATUS_HELLO_FIRST 6  /* nothing is answered before a hello */
#define GUEST_CHANNEL_STATUS_NO_VERSION 7   /* the host speaks none of these versions */

/* The ownership of a query: two bits, the host may map it and the guest may map it. */
#define GUEST_CHANNEL_OWNERSHIP_IN_TRANSIT 0
#define GUEST_CHANNEL_OWNERSHIP_HOST 1
#define GUEST_CHANNEL_OWNERSHIP_PRIVATE 2
#define GUEST_CHANNEL_OWNERSHIP_SHARED 3

/* value of REMOVAL */
#define GUEST_CHANNEL_REMOVAL_IGNORE 0
#define GUEST_CHANNEL_REMOVAL_ACCEPT 1
#define GUEST_CHANNEL_REMOVAL_REFUSE 2

/* value of ONLINE */
#define GUEST_CHANNEL_ONLINE_ANY 0
#define GUEST_CHANNEL_ONLINE_MOVABLE 1
#define GUEST_CHANNEL_ONLINE_KERNEL 2

/* value of HOLD */
#define GUEST_CHANNEL_HOLD_MOVABLE 0 /* the guest's kernel can move it elsewhere */
#define GUEST_CHANNEL_HOLD_PINNED 1  /* of every MiB one page stays where it is */

/* result, then for ASK the reply as it came in, and for READ the bytes */
#define GUEST_CHANNEL_RESULT_STATUS 0  /* u8 */
#define GUEST_CHANNEL_RESULT_ZERO 1    /* three bytes */
#define GUEST_CHANNEL_RESULT_ERROR 4   /* u32, the guest's errno where it failed and has one */
#define GUEST_CHANNEL_RESULT_ADDRESS 8 /* u64, of a fault */
#define GUEST_CHANNEL_RESULT_SIZE 16

#define GUEST_CHANNEL_RESULT_DONE 0
#define GUEST_CHANNEL_RESULT_FAILED 1
#define GUEST_CHANNEL_RESULT_FAULT 2 /* the guest cannot reach this address */
#define GUEST_CHANNEL_RESULT_BUSY 3  /* the command before is not done */
#define GUEST_CHANNEL_RESULT_MALFORMED 4
#define GUEST_CHANNEL_RESULT_UNKNOWN_TYPE 5

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a guest needs in C: frames to bytes, and bytes to frames. No allocation, no global state. */

/* One frame. */
struct guest_channel_frame {
    uint8_t type;
    uint16_t length;
    uint32_t id;
    uint8_t payload[GUEST_CHANNEL_MAXIMUM_PAYLOAD];
};

/* Bytes that have come in and are no frame yet. Starts out as zeroes. */
struct guest_channel_decoder {
    size_t count;
    uint8_t bytes[GUEST_CHANNEL_MAXIMUM_FRAME];
};

/* Writes a frame to bytes, which has room for GUEST_CHANNEL_MAXIMUM_FRAME. Returns its size, or 0 where it is too long. */
size_t guest_channel_encode(const struct guest_channel_frame *frame, uint8_t *bytes);

/*
 * Takes bytes in until there is a frame. *taken says how many it took; call again with the others, and once more with none
 * after a frame was found. What is no frame is skipped.
 */
bool guest_channel_decode(struct guest_channel_decoder *decoder, const uint8_t *bytes, size_t count, size_t *taken,
                          struct guest_channel_frame *frame);

uint16_t guest_channel_load16(const uint8_t *bytes);
uint32_t guest_channel_load32(const uint8_t *bytes);
uint64_t guest_channel_load64(const uint8_t *bytes);
void guest_channel_store16(uint8_t *bytes, uint16_t value);
void guest_channel_store32(uint8_t *bytes, uint32_t value);
void guest_channel_store64(uint8_t *bytes, uint64_t value);
#endif
#endif
