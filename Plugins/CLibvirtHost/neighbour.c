#define _GNU_SOURCE
#include "clibvirt_host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the new process keeps. It is a copy of one of many threads: it makes system calls and nothing else. */
static struct clibvirt_order order;
static struct clibvirt_answer answer;

static int obey(char **map, size_t *length)
{
    int file;

    if (order.verb == CLIBVIRT_MAP) {
        order.data[CLIBVIRT_DATA - 1] = 0;
        file = open(order.data, O_RDWR | O_CLOEXEC);
        if (file < 0)
            return errno;
        *map = mmap(NULL, order.length, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)order.offset);
        close(file);
        if (*map == MAP_FAILED) {
            *map = NULL;
            return errno;
        }
        *length = order.length;
        return 0;
    }
    if (*map == NULL || order.count > CLIBVIRT_DATA || order.offset > *length || order.count > *length - order.offset)
        return EINVAL;
    if (order.verb == CLIBVIRT_READ) {
        answer.count = order.count;
        memcpy(answer.data, *map + order.offset, order.count);
    } else {
        memcpy(*map + order.offset, order.data, order.count);
    }
    return 0;
}

static void live(const char *name, int connection)
{
    char *map = NULL;
    size_t length = 0;

    prctl(PR_SET_NAME, name);
    dup2(connection, 0);
    close_range(1, ~0U, 0);
    while (recv(0, &order, sizeof order, 0) == sizeof order) {
        memset(&answer, 0, sizeof answer);
        answer.error = obey(&map, &length);
        if (send(0, &answer, sizeof answer, MSG_NOSIGNAL) < 0)
            break;
    }
    _exit(0);
}

pid_t clibvirt_neighbour_start(const char *name, int *connection)
{
    int ends[2];
    pid_t process;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    process = fork();
    if (process == 0)
        live(name, ends[1]);
    close(ends[1]);
    if (process < 0)
        close(ends[0]);
    else
        *connection = ends[0];
    return process;
}

int clibvirt_neighbour_order(int connection, const struct clibvirt_order *given, struct clibvirt_answer *received)
{
    if (send(connection, given, sizeof *given, MSG_NOSIGNAL) < 0)
        return -1;
    if (recv(connection, received, sizeof *received, 0) != sizeof *received) {
        errno = EPIPE;
        return -1;
    }
    return 0;
}
