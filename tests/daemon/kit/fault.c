/* Faults of a system, brought about in one thread of the daemon while a file exists.
 *
 * FAULT=clock: reading the monotonic clock fails once (and the file goes), which no program expects.
 * FAULT=stuck: waiting for events does not come back.
 * FAULT_THREAD names the thread, FAULT_FILE the file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int strikes(const char *fault) {
    const char *wanted = getenv("FAULT"), *thread = getenv("FAULT_THREAD"), *file = getenv("FAULT_FILE");
    char name[16] = "";
    if (!wanted || !thread || !file || strcmp(wanted, fault) != 0)
        return 0;
    prctl(PR_GET_NAME, name);
    return strcmp(name, thread) == 0 && access(file, F_OK) == 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (clock == CLOCK_MONOTONIC && strikes("clock")) {
        unlink(getenv("FAULT_FILE"));
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_clock_gettime, clock, time);
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout) {
    static int (*real)(int, struct epoll_event *, int, int);
    if (!real)
        real = (int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");
    while (strikes("stuck"))
        usleep(10000);
    return real(epoll, events, most, timeout);
}
