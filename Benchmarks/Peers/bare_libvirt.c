/*
 * What the libvirt back end does to give a guest a memory module and to have it back, by hand: the same calls of libvirt and of
 * the kernel, and nothing else. Prints the seconds of each round trip, one a line, and the calls of libvirt that it made.
 *
 *   bare_libvirt URI DOMAIN DIRECTORY CONSOLE ROUNDS
 *
 * DIRECTORY is libvirt's of the domain's memory files, CONSOLE the socket of the micro guest's first serial line.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SIZE (16 << 20)

static const char device[] = "<memory model='dimm'><target><size unit='KiB'>16384</size><node>0</node></target>"
                             "<alias name='ua-bare'/><address type='dimm' slot='0' base='0x100000000'/></memory>";
static atomic_int removed;

static void *loop(void *unused)
{
    for (;;)
        if (virEventRunDefaultImpl() < 0) virResetLastError();
    return unused;
}

static void is_removed(virConnectPtr connection, virDomainPtr domain, const char *alias, void *opaque)
{
    (void)connection, (void)domain, (void)opaque;
    if (strcmp(alias, "ua-bare") == 0) removed = 1;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int count, char **arguments)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char ours[512], theirs[512], path[64], letter = 'a', said;
    pthread_t thread;

    if (count != 6) return 64;
    virEventRegisterDefaultImpl();
    pthread_create(&thread, NULL, loop, NULL);
    virConnectPtr connection = virConnectOpen(arguments[1]);
    if (!connection) die("virConnectOpen");
    virDomainPtr domain = virDomainLookupByName(connection, arguments[2]);
    if (!domain) die("virDomainLookupByName");
    virConnectDomainEventRegisterAny(connection, NULL, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
                                     VIR_DOMAIN_EVENT_CALLBACK(is_removed), NULL, NULL);

    int console = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(address.sun_path, arguments[4], sizeof address.sun_path - 1);
    if (connect(console, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
    do if (write(console, &letter, 1) != 1 || read(console, &said, 1) != 1) die("console");
    while (said != 'A');

    snprintf(theirs, sizeof theirs, "%s/ua-bare", arguments[3]);
    snprintf(ours, sizeof ours, "%s/../../../bare", arguments[3]);
    int file = open(ours, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, SIZE) != 0) die("open");
    int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    inotify_add_watch(watch, path, IN_CLOSE);

    for (int round = 0; round < atoi(arguments[5]); round++) {
        double start = now();
        struct stat status;
        char events[4096];

        if (fstat(file, &status) != 0 || fallocate(file, 0, 0, SIZE) != 0) die("fallocate");
        unlink(theirs);
        if (link(ours, theirs) != 0) die("link");
        if (virDomainAttachDeviceFlags(domain, device, VIR_DOMAIN_AFFECT_LIVE) != 0) die("attach");
        removed = 0;
        if (virDomainDetachDeviceAlias(domain, "ua-bare", VIR_DOMAIN_AFFECT_LIVE) != 0) die("detach");
        while (!removed) usleep(500);
        while (fcntl(file, F_SETLEASE, F_WRLCK) != 0) {
            struct pollfd waiting = {watch, POLLIN, 0};

            poll(&waiting, 1, 250);
            while (read(watch, events, sizeof events) > 0) {}
        }
        fcntl(file, F_SETLEASE, F_UNLCK);
        if (fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SIZE) != 0) die("punch");
        printf("%.6f\n", now() - start);
    }
    unlink(ours);
    fprintf(stderr, "2 calls of libvirt a round trip\n");
    return 0;
}
