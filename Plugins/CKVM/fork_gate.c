#include "ckvm.h"

#include <pthread.h>

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int registration;

static void close_gate(void) { pthread_mutex_lock(&gate); }
static void open_gate(void) { pthread_mutex_unlock(&gate); }
static void register_gate(void) { registration = -pthread_atfork(close_gate, open_gate, open_gate); }

int ckvm_forks_hold(void) {
    int result = -pthread_once(&once, register_gate);
    if (result == 0) result = registration;
    if (result == 0) close_gate();
    return result;
}

void ckvm_forks_release(void) { open_gate(); }
