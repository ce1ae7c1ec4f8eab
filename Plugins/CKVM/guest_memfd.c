#define _GNU_SOURCE
#include "ckvm.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the thread with a table of its own is told, and what came of it. */
struct errand {
    int machine;
    int outgoing;
    struct ckvm_create_guest_memfd *request;
    long result;
};

/* The message that takes one descriptor from one table to another. */
union parcel {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
};

/*
 * Gives the calling thread a table of descriptors of its own, with two of them. close_range(2) rather than unshare(2):
 * containers commonly forbid the latter. Linux 5.9; guest_memfd is newer.
 */
static long leave_table(int one, int other) {
    const unsigned int low = one < other ? one : other, high = one < other ? other : one;
    const unsigned int unshare = 1 << 1; /* CLOSE_RANGE_UNSHARE */
    if (syscall(SYS_close_range, high + 1, UINT_MAX, unshare) != 0) return -errno;
    if (high > low + 1 && syscall(SYS_close_range, low + 1, high - 1, 0) != 0) return -errno;
    if (low > 0 && syscall(SYS_close_range, 0, low - 1, 0) != 0) return -errno;
    return 0;
}

static long send_descriptor(int outgoing, int descriptor) {
    char byte = 0;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    union parcel parcel = {0};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = parcel.bytes, .msg_controllen = sizeof parcel.bytes};
    parcel.head.cmsg_level = SOL_SOCKET;
    parcel.head.cmsg_type = SCM_RIGHTS;
    parcel.head.cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(&parcel.head), &descriptor, sizeof descriptor);
    return sendmsg(outgoing, &message, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* The descriptor, close-on-exec from the moment on at which it is in this table. */
static long receive_descriptor(int incoming) {
    char byte;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    union parcel parcel;
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = parcel.bytes, .msg_controllen = sizeof parcel.bytes};
    if (recvmsg(incoming, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1) return -errno;
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    /* A table that is full: the message comes without what does not fit. */
    if (head == NULL || head->cmsg_type != SCM_RIGHTS || (message.msg_flags & MSG_CTRUNC)) return -EMFILE;
    int descriptor;
    memcpy(&descriptor, CMSG_DATA(head), sizeof descriptor);
    return descriptor;
}

static void *run_errand(void *argument) {
    struct errand *errand = argument;
    errand->result = leave_table(errand->machine, errand->outgoing);
    if (errand->result != 0) return NULL;
    int file = ioctl(errand->machine, ckvm_request_create_guest_memfd, errand->request);
    /* The table ends with the thread, and so does this descriptor. */
    errand->result = file < 0 ? -errno : send_descriptor(errand->outgoing, file);
    return NULL;
}

long ckvm_create_guest_memfd(int machine, struct ckvm_create_guest_memfd *request) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return -errno;
    struct errand errand = {.machine = machine, .outgoing = ends[1], .request = request};
    sigset_t before;
    pthread_t thread;
    /* Handlers of the program's do not run on a thread of ours. */
    long result = ckvm_signals_block(&before);
    if (result == 0) {
        result = -pthread_create(&thread, NULL, run_errand, &errand);
        ckvm_signals_restore(&before);
        if (result == 0) {
            pthread_join(thread, NULL);
            result = errand.result;
        }
    }
    if (result == 0) result = receive_descriptor(ends[0]);
    close(ends[0]);
    close(ends[1]);
    return result;
}
