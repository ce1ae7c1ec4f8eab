#define _GNU_SOURCE
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { RAM_SIZE = 2 << 20, PROGRAM = 0x1000, COUNTERS = 0x2000, DEVICE = 0x10 };

struct processor {
    pthread_t thread;
    int descriptor, is_inside;
    struct kvm_run *run;
};

static int kvm = -1, machine = -1, map_size;
static uint8_t *ram, *bank;
static struct processor processors[MACHINE_PROCESSORS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int is_paused, is_over;
static _Atomic uint64_t device_writes;
static _Atomic uint32_t failure;

static void kicked(int signal) { (void)signal; }

static int kick_signal(void) { return SIGRTMIN + 1; }

/* The program: counts, reads the first word of the bank, puts it down beside the counter, and tells the device. 32 bits, flat. */
static const uint8_t program[] = {
    0xff, 0x03,                                     /* incl (%ebx) */
    0xa1, 0x00, 0x00, 0x00, MACHINE_BANK >> 24,     /* movl BANK, %eax */
    0x89, 0x43, 0x04,                               /* movl %eax, 4(%ebx) */
    0xe6, DEVICE,                                   /* outb %al, $DEVICE */
    0xeb, 0xf2,                                     /* jmp back */
};

static int set_slot(uint32_t slot, uint64_t address, uint64_t size, void *memory)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot, .guest_phys_addr = address, .memory_size = size, .userspace_addr = (uintptr_t)memory};

    return ioctl(machine, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static int set_registers(struct processor *processor, int index)
{
    struct kvm_regs registers = {.rip = PROGRAM, .rbx = COUNTERS + 64 * (uint64_t)index, .rflags = 2};
    struct kvm_sregs special;
    struct kvm_segment *segments[6];

    if (ioctl(processor->descriptor, KVM_GET_SREGS, &special) < 0)
        return -errno;
    segments[0] = &special.cs, segments[1] = &special.ds, segments[2] = &special.es;
    segments[3] = &special.fs, segments[4] = &special.gs, segments[5] = &special.ss;
    for (int i = 0; i < 6; i++)
        *segments[i] = (struct kvm_segment){
            .limit = 0xffffffff, .selector = i ? 16 : 8, .type = i ? 3 : 11, .present = 1, .db = 1, .s = 1, .g = 1};
    special.cr0 |= 1; /* protected mode, without pages */
    if (ioctl(processor->descriptor, KVM_SET_SREGS, &special) < 0 ||
        ioctl(processor->descriptor, KVM_SET_REGS, &registers) < 0)
        return -errno;
    return 0;
}

/* A processor's loop: out of the guest while the machine is paused. */
static void *run(void *argument)
{
    struct processor *self = argument;

    pthread_mutex_lock(&lock);
    while (!is_over) {
        if (is_paused) {
            pthread_cond_wait(&changed, &lock);
            continue;
        }
        self->run->immediate_exit = 0;
        self->is_inside = 1;
        pthread_mutex_unlock(&lock);
        int result = ioctl(self->descriptor, KVM_RUN, 0), error = errno;
        pthread_mutex_lock(&lock);
        self->is_inside = 0;
        pthread_cond_broadcast(&changed);
        if (result < 0 && (error == EINTR || error == EAGAIN))
            continue;
        if (result == 0 && self->run->exit_reason == KVM_EXIT_IO && self->run->io.port == DEVICE) {
            device_writes++;
            continue;
        }
        failure = result < 0 ? 1000 + (uint32_t)error : self->run->exit_reason;
        break;
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static int make(void)
{
    if ((kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC)) < 0 || (machine = ioctl(kvm, KVM_CREATE_VM, 0)) < 0 ||
        ioctl(machine, KVM_SET_TSS_ADDR, 0xfffbd000) < 0 || (map_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0)) < 0)
        return -errno;
    ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bank = mmap(NULL, MACHINE_BANK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ram == MAP_FAILED || bank == MAP_FAILED)
        return -errno;
    memcpy(ram + PROGRAM, program, sizeof program);
    memcpy(bank, "bank", 4);
    int result = set_slot(0, 0, RAM_SIZE, ram);
    if (result == 0)
        result = set_slot(1, MACHINE_BANK, MACHINE_BANK_SIZE, bank);
    for (int i = 0; result == 0 && i < MACHINE_PROCESSORS; i++) {
        struct processor *processor = &processors[i];
        if ((processor->descriptor = ioctl(machine, KVM_CREATE_VCPU, i)) < 0)
            return -errno;
        processor->run = mmap(NULL, map_size, PROT_READ | PROT_WRITE, MAP_SHARED, processor->descriptor, 0);
        if (processor->run == MAP_FAILED)
            return -errno;
        result = set_registers(processor, i);
    }
    return result;
}

int machine_start(void)
{
    struct sigaction action = {.sa_handler = kicked};
    int result = make();

    sigaction(kick_signal(), &action, NULL);
    for (int i = 0; result == 0 && i < MACHINE_PROCESSORS; i++)
        result = -pthread_create(&processors[i].thread, NULL, run, &processors[i]);
    return result;
}

int machine_descriptor(void) { return machine; }

static int inside(void)
{
    int count = 0;

    for (int i = 0; i < MACHINE_PROCESSORS; i++)
        count += processors[i].is_inside;
    return count;
}

int machine_pause(int milliseconds)
{
    struct timespec end;

    pthread_mutex_lock(&lock);
    is_paused = 1;
    for (int passed = 0; inside() > 0 && passed < milliseconds; passed += 10) {
        for (int i = 0; i < MACHINE_PROCESSORS; i++)
            if (processors[i].is_inside) {
                processors[i].run->immediate_exit = 1;
                pthread_kill(processors[i].thread, kick_signal());
            }
        clock_gettime(CLOCK_REALTIME, &end);
        end.tv_nsec += 10000000;
        if (end.tv_nsec >= 1000000000)
            end.tv_sec++, end.tv_nsec -= 1000000000;
        while (inside() > 0 && pthread_cond_timedwait(&changed, &lock, &end) == 0) {}
    }
    if (inside() > 0) {
        is_paused = 0;
        pthread_cond_broadcast(&changed);
    }
    int is_out = is_paused;
    pthread_mutex_unlock(&lock);
    return is_out;
}

void machine_resume(void)
{
    pthread_mutex_lock(&lock);
    is_paused = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void machine_end(void)
{
    machine_pause(5000);
    pthread_mutex_lock(&lock);
    is_over = 1;
    is_paused = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < MACHINE_PROCESSORS; i++) {
        pthread_join(processors[i].thread, NULL);
        munmap(processors[i].run, map_size);
        close(processors[i].descriptor);
    }
    close(machine);
    close(kvm);
}

uint32_t machine_rounds(int processor)
{
    return atomic_load((_Atomic uint32_t *)(void *)(ram + COUNTERS + 64 * processor));
}

uint64_t machine_device_writes(void) { return device_writes; }

uint32_t machine_failure(void) { return failure; }

int machine_take_bank(uint8_t *copy)
{
    memcpy(copy, bank, MACHINE_BANK_SIZE);
    return set_slot(1, MACHINE_BANK, 0, NULL);
}

int machine_put_bank(const uint8_t *copy)
{
    memcpy(bank, copy, MACHINE_BANK_SIZE);
    return set_slot(1, MACHINE_BANK, MACHINE_BANK_SIZE, bank);
}
