/* What a process is told by its machine, for tests: which time it is, and what of its files has reached the disk.
 *
 * CHAOS_CLOCK   a file of 8 bytes: milliseconds that are added to the wall clock, as they stand there at each look
 * CHAOS_SYNCED  a file to which each sync of a file adds a line "MS SIZE PATH": when it began, and what of the file it saved
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *shift_ms;
static int synced = -1;

__attribute__((constructor)) static void begin(void) {
    const char *clock = getenv("CHAOS_CLOCK"), *log = getenv("CHAOS_SYNCED");
    int file = clock ? open(clock, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *seen = mmap(NULL, sizeof *shift_ms, PROT_READ, MAP_SHARED, file, 0);
        if (seen != MAP_FAILED) shift_ms = seen;
        close(file);
    }
    if (log) synced = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static int64_t shift(void) { return shift_ms ? *shift_ms : 0; }

int clock_gettime(clockid_t which, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(which, at);
    if (!failed && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
        at->tv_sec += shift() / 1000;
        at->tv_nsec += shift() % 1000 * 1000000;
        if (at->tv_nsec < 0) at->tv_sec -= 1, at->tv_nsec += 1000000000;
        if (at->tv_nsec >= 1000000000) at->tv_sec += 1, at->tv_nsec -= 1000000000;
    }
    return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void)zone;
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

static int sync_file(const char *name, int (**real)(int), int file) {
    if (!*real) *real = dlsym(RTLD_NEXT, name);
    struct stat before;
    int known = synced >= 0 && !fstat(file, &before) && S_ISREG(before.st_mode);
    struct timespec began;
    clock_gettime(CLOCK_REALTIME, &began);
    int failed = (*real)(file);
    char link[64], path[PATH_MAX + 1];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = known && !failed ? readlink(link, path, PATH_MAX) : -1;
    if (length > 0) {
        path[length] = 0;
        long long ms = began.tv_sec * 1000LL + began.tv_nsec / 1000000;
        dprintf(synced, "%lld %lld %s\n", ms, (long long)before.st_size, path);
    }
    return failed;
}

int fsync(int file) {
    static int (*real)(int);
    return sync_file("fsync", &real, file);
}

int fdatasync(int file) {
    static int (*real)(int);
    return sync_file("fdatasync", &real, file);
}
