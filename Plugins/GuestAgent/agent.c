/*
 * custody-agent: asks the host to share, unshare or take back this guest's memory, over a virtio-serial port; or serves the
 * host's commands. docs/guest-channel.md describes the protocol, and usage() below the program.
 *
 * What the host sends is not trusted: frames are checked, a retry must lie within what was asked for, and an answer that
 * does not come is not waited for for ever.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "guest_channel.h"

static const char port_name[] = "org.custody.guest.0";
static const char memory_folder[] = "/sys/devices/system/memory";

/* How long one answer of the host may take, in milliseconds. */
enum { PATIENCE = 10000 };

static int usage(FILE *file) {
    fputs("usage: custody-agent [-p PORT] [-w SECONDS] COMMAND\n"
          "\n"
          "  share ADDRESS LENGTH      both sides shall have this memory\n"
          "  unshare ADDRESS LENGTH    this guest alone shall have it\n"
          "  give-back ADDRESS LENGTH  the host alone shall have it\n"
          "  query ADDRESS [LENGTH]    say who has it\n"
          "  serve                     do what the host says, until killed\n"
          "  blocks                    list the memory blocks of this guest\n"
          "  online ADDRESS LENGTH [movable|kernel]\n"
          "  offline ADDRESS LENGTH    use the memory blocks there, or stop using them\n"
          "\n"
          "  -p PORT     a device, or the name of a virtio-serial port (org.custody.guest.0); - is standard input,\n"
          "              used in both directions\n"
          "  -w SECONDS  ask again for so long where the host says that it is not yet done (0)\n"
          "\n"
          "ADDRESS and LENGTH are in bytes, with K, M or G where you like. Exit codes: 0 done, 1 refused or failed,\n"
          "64 wrong usage, 69 no port or no host there, 75 not yet done.\n",
          file);
    return file == stdout ? 0 : EX_USAGE;
}

static int complain(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("custody-agent: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return code;
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

static void pass(long milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static bool parse_size(const char *text, uint64_t *value) {
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 0);
    if (errno != 0 || end == text || *text == '-') return false;
    int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (shift != 0) end++;
    *value = number << shift;
    return *end == '\0' && *value >> shift == number;
}

/* The line to the host. */
struct line {
    int descriptor;
    uint32_t next_id;
    struct guest_channel_decoder decoder;
    uint8_t bytes[4096];
    size_t start, end;
};

static int open_port(const char *port) {
    if (strcmp(port, "-") == 0) return STDIN_FILENO;
    if (strchr(port, '/') != NULL) return open(port, O_RDWR | O_CLOEXEC);
    DIR *folder = opendir("/sys/class/virtio-ports");
    int descriptor = -1;
    if (folder == NULL) return -1;
    for (struct dirent *entry; descriptor < 0 && (entry = readdir(folder)) != NULL;) {
        char path[PATH_MAX], name[256] = "";
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file == NULL) continue;
        if (fgets(name, sizeof name, file) != NULL) name[strcspn(name, "\n")] = '\0';
        fclose(file);
        snprintf(path, sizeof path, "/dev/%s", entry->d_name);
        if (strcmp(name, port) == 0) descriptor = open(path, O_RDWR | O_CLOEXEC);
    }
    closedir(folder);
    if (descriptor < 0 && errno == 0) errno = ENOENT;
    return descriptor;
}

static bool send_bytes(struct line *line, const uint8_t *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = write(line->descriptor, bytes, count);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return false;
        bytes += sent;
        count -= (size_t)sent;
    }
    return true;
}

static bool send_frame(struct line *line, const struct guest_channel_frame *frame) {
    uint8_t bytes[GUEST_CHANNEL_MAXIMUM_FRAME];
    return send_bytes(line, bytes, guest_channel_encode(frame, bytes));
}

/* What an earlier user of the port may not have finished is ended. */
static bool send_flush(struct line *line) {
    static const uint8_t zeroes[GUEST_CHANNEL_MAXIMUM_FRAME];
    return send_bytes(line, zeroes, sizeof zeroes);
}

/* The next frame; false where none comes until the deadline (negative: for ever), with errno. */
static bool receive(struct line *line, struct guest_channel_frame *frame, long long deadline) {
    for (;;) {
        size_t taken;
        bool found = guest_channel_decode(&line->decoder, line->bytes + line->start, line->end - line->start, &taken, frame);
        line->start += taken;
        if (found) return true;
        long long left = deadline < 0 ? -1 : deadline - now();
        if (deadline >= 0 && left <= 0) {
            errno = ETIMEDOUT;
            return false;
        }
        struct pollfd request = {line->descriptor, POLLIN, 0};
        int ready = poll(&request, 1, (int)(left > 1000 || left < 0 ? 1000 : left));
        if (ready < 0 && errno != EINTR) return false;
        if (ready <= 0) continue;
        ssize_t count = read(line->descriptor, line->bytes, sizeof line->bytes);
        if (count < 0 && errno != EINTR && errno != EAGAIN) return false;
        if (count == 0) {
            /* A port whose host has gone reads nothing until another one comes; anything else is at its end. */
            if (line->descriptor == STDIN_FILENO) {
                errno = ECONNRESET;
                return false;
            }
            pass(50);
        }
        line->start = 0;
        line->end = count > 0 ? (size_t)count : 0;
    }
}

static bool send_request(struct line *line, uint8_t type, uint64_t address, uint64_t count) {
    struct guest_channel_frame frame = {.type = type, .length = GUEST_CHANNEL_REQUEST_SIZE, .id = ++line->next_id};
    guest_channel_store64(frame.payload + GUEST_CHANNEL_RANGE_ADDRESS, address);
    guest_channel_store64(frame.payload + GUEST_CHANNEL_RANGE_COUNT, count);
    return send_frame(line, &frame);
}

static bool send_hello(struct line *line) {
    struct guest_channel_frame frame = {
        .type = GUEST_CHANNEL_HELLO, .length = GUEST_CHANNEL_HELLO_SIZE, .id = ++line->next_id};
    guest_channel_store16(frame.payload + GUEST_CHANNEL_HELLO_LOWEST, GUEST_CHANNEL_VERSION);
    guest_channel_store16(frame.payload + GUEST_CHANNEL_HELLO_HIGHEST, GUEST_CHANNEL_VERSION);
    guest_channel_store32(
        frame.payload + GUEST_CHANNEL_HELLO_FEATURES,
        GUEST_CHANNEL_FEATURE_COMMANDS | GUEST_CHANNEL_FEATURE_MEMORY | GUEST_CHANNEL_FEATURE_MEMORY_BLOCKS);
    return send_frame(line, &frame);
}

/* The reply to the request that was sent last. */
static bool receive_reply(struct line *line, struct guest_channel_frame *frame) {
    long long deadline = now() + PATIENCE;
    while (receive(line, frame, deadline))
        if (frame->type == GUEST_CHANNEL_REPLY && frame->id == line->next_id && frame->length == GUEST_CHANNEL_REPLY_SIZE)
            return true;
    return false;
}

static int greet(struct line *line) {
    struct guest_channel_frame reply;
    if (!send_hello(line) || !receive_reply(line, &reply))
        return complain(EX_UNAVAILABLE, "the host does not answer: %s", strerror(errno));
    if (reply.payload[GUEST_CHANNEL_REPLY_STATUS] != GUEST_CHANNEL_STATUS_DONE)
        return complain(EX_UNAVAILABLE, "the host does not speak version %d", GUEST_CHANNEL_VERSION);
    return 0;
}

static int print_ownership(const struct guest_channel_frame *reply) {
    static const char *const names[] = {"in-transit", "host", "private", "shared"};
    printf("%s 0x%llx 0x%llx\n", names[reply->payload[GUEST_CHANNEL_REPLY_OWNERSHIP] & 3],
           (unsigned long long)guest_channel_load64(reply->payload + GUEST_CHANNEL_REPLY_ADDRESS),
           (unsigned long long)guest_channel_load64(reply->payload + GUEST_CHANNEL_REPLY_COUNT));
    return 0;
}

/* One request, made again while the host says that it is not done and there is time. */
static int ask(struct line *line, uint8_t type, uint64_t address, uint64_t count, long long deadline) {
    uint64_t left = count;
    long pause = 10;
    int code = send_flush(line) ? greet(line) : complain(EX_UNAVAILABLE, "the port does not take anything in");
    while (code == 0) {
        struct guest_channel_frame reply;
        if (!send_request(line, type, address, left) || !receive_reply(line, &reply))
            return complain(EX_UNAVAILABLE, "the host does not answer: %s", strerror(errno));
        uint64_t next = guest_channel_load64(reply.payload + GUEST_CHANNEL_REPLY_ADDRESS);
        switch (reply.payload[GUEST_CHANNEL_REPLY_STATUS]) {
        case GUEST_CHANNEL_STATUS_DONE:
            return type == GUEST_CHANNEL_QUERY ? print_ownership(&reply) : (puts("done"), 0);
        case GUEST_CHANNEL_STATUS_RETRY:
            if (next < address || next - address >= left)
                return complain(EXIT_FAILURE, "the host sends us to 0x%llx", (unsigned long long)next);
            if (next != address) pause = 10;
            left -= next - address;
            address = next;
            break;
        case GUEST_CHANNEL_STATUS_BUSY: break;
        case GUEST_CHANNEL_STATUS_HELLO_FIRST: code = greet(line); continue;
        case GUEST_CHANNEL_STATUS_REFUSED: return complain(EXIT_FAILURE, "refused at 0x%llx", (unsigned long long)address);
        default:
            return complain(EXIT_FAILURE, "the host answers with status %d", reply.payload[GUEST_CHANNEL_REPLY_STATUS]);
        }
        if (now() + pause > deadline)
            return complain(EX_TEMPFAIL, "not yet done from 0x%llx on", (unsigned long long)address);
        pass(pause);
        if (pause < 1000) pause *= 2;
    }
    return code;
}

/* The size of a memory block in bytes, or 0. */
static uint64_t block_size(void) {
    char path[PATH_MAX];
    unsigned long long size = 0;
    snprintf(path, sizeof path, "%s/block_size_bytes", memory_folder);
    FILE *file = fopen(path, "re");
    if (file == NULL) return 0;
    if (fscanf(file, "%llx", &size) != 1) size = 0;
    fclose(file);
    return size;
}

/* Reads or writes an attribute of a memory block; an errno, or 0. */
static int block_attribute(unsigned long block, const char *attribute, char *value, size_t size, bool is_written) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/memory%lu/%s", memory_folder, block, attribute);
    int descriptor = open(path, (is_written ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
    if (descriptor < 0) return errno;
    ssize_t count = is_written ? write(descriptor, value, strlen(value)) : read(descriptor, value, size - 1);
    int error = count < 0 ? errno : 0;
    close(descriptor);
    if (!is_written) value[count < 0 ? 0 : count] = '\0';
    if (!is_written) value[strcspn(value, "\n")] = '\0';
    return error;
}

/* Puts the memory blocks of a range in a state; what is in it already stays. An errno, or 0. */
static int set_blocks(uint64_t address, uint64_t count, const char *wanted) {
    uint64_t size = block_size();
    DIR *folder = opendir(memory_folder);
    int error = 0;
    size_t met = 0;
    if (size == 0 || folder == NULL || count == 0 || address + count < address) {
        if (folder != NULL) closedir(folder);
        return size == 0 || folder == NULL ? ENODEV : EINVAL;
    }
    for (struct dirent *entry; error == 0 && (entry = readdir(folder)) != NULL;) {
        unsigned long block;
        char state[32], new_state[32];
        if (sscanf(entry->d_name, "memory%lu", &block) != 1) continue;
        if (block * size >= address + count || (block + 1) * size <= address) continue;
        met++;
        error = block_attribute(block, "state", state, sizeof state, false);
        bool is_online = strcmp(state, "online") == 0;
        if (error != 0 || is_online == (strncmp(wanted, "online", 6) == 0)) continue;
        snprintf(new_state, sizeof new_state, "%s", wanted);
        error = block_attribute(block, "state", new_state, 0, true);
    }
    closedir(folder);
    return error != 0 || met != 0 ? error : ENOENT;
}

static int list_blocks(void) {
    uint64_t size = block_size();
    DIR *folder = opendir(memory_folder);
    if (folder == NULL || size == 0) return complain(EX_UNAVAILABLE, "this kernel has no memory blocks");
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        unsigned long block;
        char state[32] = "", zones[128] = "";
        if (sscanf(entry->d_name, "memory%lu", &block) != 1) continue;
        block_attribute(block, "state", state, sizeof state, false);
        block_attribute(block, "valid_zones", zones, sizeof zones, false);
        printf("0x%llx 0x%llx %s %s\n", (unsigned long long)(block * size), (unsigned long long)size, state, zones);
    }
    closedir(folder);
    return 0;
}

/* What the host had us hold, and the pipe that pins pages of it. */
static void *held;
static size_t held_size;
static int pinning[2] = {-1, -1};

static void let_go(void) {
    for (int end = 0; end < 2; end++) {
        if (pinning[end] >= 0) close(pinning[end]);
        pinning[end] = -1;
    }
    if (held != NULL) munmap(held, held_size);
    held = NULL;
}

/* A page that lies in a pipe has a reference more than its mappings: the kernel cannot move it (vmsplice(2)). */
static int pin(uint8_t *memory, size_t count) {
    const size_t stride = 1 << 20;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (pipe2(pinning, O_CLOEXEC | O_NONBLOCK) != 0) return errno;
    if (count / stride >= INT_MAX / page) return ENOMEM;
    if (fcntl(pinning[1], F_SETPIPE_SZ, (int)((count / stride + 1) * page)) < 0) return errno;
    for (size_t offset = 0; offset < count; offset += stride) {
        struct iovec piece = {memory + offset, page < count - offset ? page : count - offset};
        if (vmsplice(pinning[1], &piece, 1, 0) < 0) return errno;
    }
    return 0;
}

static int hold(uint64_t count, bool is_pinned) {
    let_go();
    if (count == 0) return 0;
    if (count > SIZE_MAX) return ENOMEM;
    void *memory = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return errno;
    memset(memory, 0xa5, count);
    held = memory;
    held_size = count;
    int error = is_pinned ? pin(memory, count) : 0;
    if (error != 0) let_go();
    return error;
}

/* Copies between bytes and guest-physical memory, as far as the kernel lets us: device memory. An errno, or 0. */
static int copy_physical(uint64_t address, uint8_t *bytes, size_t count, bool is_written) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t offset = address % page;
    if (address > INT64_MAX - count) return EFAULT;
    int descriptor = open("/dev/mem", (is_written ? O_RDWR : O_RDONLY) | O_SYNC | O_CLOEXEC);
    if (descriptor < 0) return errno;
    uint8_t *memory = mmap(NULL, offset + count, is_written ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, descriptor,
                           (off_t)(address - offset));
    int error = memory == MAP_FAILED ? errno : 0;
    close(descriptor);
    if (error != 0) return error;
    volatile uint8_t *place = memory + offset;
    for (size_t index = 0; index < count; index++) {
        if (is_written) place[index] = bytes[index];
        else bytes[index] = place[index];
    }
    munmap(memory, offset + count);
    return 0;
}

static bool send_result(struct line *line, uint32_t id, uint8_t status, int error, uint64_t address, const uint8_t *data,
                        size_t count) {
    struct guest_channel_frame frame = {
        .type = GUEST_CHANNEL_RESULT, .id = id, .length = (uint16_t)(GUEST_CHANNEL_RESULT_SIZE + count)};
    frame.payload[GUEST_CHANNEL_RESULT_STATUS] = status;
    guest_channel_store32(frame.payload + GUEST_CHANNEL_RESULT_ERROR, (uint32_t)error);
    guest_channel_store64(frame.payload + GUEST_CHANNEL_RESULT_ADDRESS, address);
    if (count > 0) memcpy(frame.payload + GUEST_CHANNEL_RESULT_SIZE, data, count);
    return send_frame(line, &frame);
}

/* The request that the host had us make, while it is not answered. */
struct asked {
    bool is_pending;
    uint32_t command, request;
};

static bool obey(struct line *line, struct guest_channel_frame *frame, struct asked *asked) {
    static const char *const states[] = {"online", "online_movable", "online_kernel"};
    if (frame->type == GUEST_CHANNEL_GREET)
        return send_hello(line) && send_result(line, frame->id, GUEST_CHANNEL_RESULT_DONE, 0, 0, NULL, 0);
    if (frame->length < GUEST_CHANNEL_COMMAND_SIZE)
        return send_result(line, frame->id, GUEST_CHANNEL_RESULT_MALFORMED, 0, 0, NULL, 0);
    uint64_t address = guest_channel_load64(frame->payload + GUEST_CHANNEL_RANGE_ADDRESS);
    uint64_t count = guest_channel_load64(frame->payload + GUEST_CHANNEL_RANGE_COUNT);
    uint32_t value = guest_channel_load32(frame->payload + GUEST_CHANNEL_RANGE_VALUE);
    uint8_t *data = frame->payload + GUEST_CHANNEL_COMMAND_SIZE;
    uint8_t status = GUEST_CHANNEL_RESULT_DONE;
    size_t result = 0;
    int error = 0;
    switch (frame->type) {
    case GUEST_CHANNEL_ASK:
        if (value >= GUEST_CHANNEL_ASK) status = GUEST_CHANNEL_RESULT_MALFORMED;
        else if (asked->is_pending) status = GUEST_CHANNEL_RESULT_BUSY;
        else {
            if (!send_request(line, (uint8_t)value, address, count)) return false;
            *asked = (struct asked){true, frame->id, line->next_id};
            return true;
        }
        break;
    case GUEST_CHANNEL_WRITE:
        if (count != (uint64_t)frame->length - GUEST_CHANNEL_COMMAND_SIZE) status = GUEST_CHANNEL_RESULT_MALFORMED;
        else if ((error = copy_physical(address, data, count, true)) != 0) status = GUEST_CHANNEL_RESULT_FAULT;
        break;
    case GUEST_CHANNEL_READ:
        if (count > GUEST_CHANNEL_MAXIMUM_DATA) status = GUEST_CHANNEL_RESULT_MALFORMED;
        else if ((error = copy_physical(address, data, count, false)) != 0) status = GUEST_CHANNEL_RESULT_FAULT;
        else result = count;
        break;
    case GUEST_CHANNEL_ONLINE:
        if (value > GUEST_CHANNEL_ONLINE_KERNEL) status = GUEST_CHANNEL_RESULT_MALFORMED;
        else error = set_blocks(address, count, states[value]);
        break;
    case GUEST_CHANNEL_OFFLINE: error = set_blocks(address, count, "offline"); break;
    case GUEST_CHANNEL_HOLD:
        if (value > GUEST_CHANNEL_HOLD_PINNED) status = GUEST_CHANNEL_RESULT_MALFORMED;
        else error = hold(count, value == GUEST_CHANNEL_HOLD_PINNED);
        break;
    default: status = GUEST_CHANNEL_RESULT_UNKNOWN_TYPE;
    }
    if (error != 0 && status == GUEST_CHANNEL_RESULT_DONE) status = GUEST_CHANNEL_RESULT_FAILED;
    return send_result(line, frame->id, status, error, status == GUEST_CHANNEL_RESULT_FAULT ? address : 0, data, result);
}

static int serve(struct line *line) {
    struct guest_channel_frame frame;
    struct asked asked = {false, 0, 0};
    bool goes_on = send_flush(line) && send_hello(line);
    while (goes_on && receive(line, &frame, -1)) {
        if (frame.type >= GUEST_CHANNEL_ASK && frame.type < GUEST_CHANNEL_REPLY) {
            if (frame.type == GUEST_CHANNEL_GREET) asked.is_pending = false;
            goes_on = obey(line, &frame, &asked);
        } else if (frame.type == GUEST_CHANNEL_REPLY && asked.is_pending && frame.id == asked.request) {
            asked.is_pending = false;
            size_t count = frame.length == GUEST_CHANNEL_REPLY_SIZE ? frame.length : 0;
            uint8_t status = count > 0 ? GUEST_CHANNEL_RESULT_DONE : GUEST_CHANNEL_RESULT_FAILED;
            goes_on = send_result(line, asked.command, status, 0, 0, frame.payload, count);
        }
    }
    return complain(EX_UNAVAILABLE, "the line to the host is gone: %s", strerror(errno));
}

int main(int count, char **arguments) {
    const char *port = port_name;
    uint64_t seconds = 0, address = 0, length = 1;
    static struct line line;
    signal(SIGPIPE, SIG_IGN);
    for (int option; (option = getopt(count, arguments, "+hp:w:")) != -1;) {
        if (option == 'p') port = optarg;
        else if (option == 'h') return usage(stdout);
        else if (option != 'w' || !parse_size(optarg, &seconds) || seconds > INT_MAX) return usage(stderr);
    }
    arguments += optind;
    count -= optind;
    if (count < 1) return usage(stderr);
    const char *command = arguments[0];
    if (count > 1 && !parse_size(arguments[1], &address)) return usage(stderr);
    if (count > 2 && !parse_size(arguments[2], &length)) return usage(stderr);

    if (strcmp(command, "blocks") == 0 && count == 1) return list_blocks();
    if (strcmp(command, "online") == 0 && (count == 3 || count == 4)) {
        char state[32] = "online";
        if (count == 4 && strcmp(arguments[3], "movable") != 0 && strcmp(arguments[3], "kernel") != 0) return usage(stderr);
        if (count == 4) snprintf(state, sizeof state, "online_%s", arguments[3]);
        int error = set_blocks(address, length, state);
        return error == 0 ? 0 : complain(EXIT_FAILURE, "online: %s", strerror(error));
    }
    if (strcmp(command, "offline") == 0 && count == 3) {
        int error = set_blocks(address, length, "offline");
        return error == 0 ? 0 : complain(EXIT_FAILURE, "offline: %s", strerror(error));
    }

    static const struct {
        const char *name;
        uint8_t type;
        int least, most;
    } commands[] = {
        {"share", GUEST_CHANNEL_SHARE, 3, 3},   {"unshare", GUEST_CHANNEL_UNSHARE, 3, 3},
        {"give-back", GUEST_CHANNEL_GIVE_BACK, 3, 3}, {"query", GUEST_CHANNEL_QUERY, 2, 3},
        {"serve", 0, 1, 1},
    };
    for (size_t index = 0; index < sizeof commands / sizeof *commands; index++) {
        if (strcmp(command, commands[index].name) != 0) continue;
        if (count < commands[index].least || count > commands[index].most) return usage(stderr);
        line.descriptor = open_port(port);
        if (line.descriptor < 0) return complain(EX_UNAVAILABLE, "port %s: %s", port, strerror(errno));
        if (commands[index].type == 0) return serve(&line);
        return ask(&line, commands[index].type, address, length, now() + (long long)seconds * 1000);
    }
    return usage(stderr);
}
