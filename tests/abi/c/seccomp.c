/* What a signal handler may call makes no system call but write(), of eight bytes, to an eventfd: a
 * thread makes all of these calls behind a filter that ends the process at any other one. */
#define _GNU_SOURCE
#include "safe_calls.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 300 };
static int behind, wrong;
/* How far both threads are: what the filter does not let this one do, the other does. */
enum { BEGUN, WANTS_FULL, IS_FULL, WANTS_CLOSED, IS_CLOSED };
static int stage = BEGUN;

static void set(int *to, int value)
{
    __atomic_store_n(to, value, __ATOMIC_SEQ_CST);
}

static int get(int *of)
{
    return __atomic_load_n(of, __ATOMIC_SEQ_CST);
}

/* Those that there are; the last one again and again up to the end. */
enum { EVENT_FDS_MAX = 8 };
static unsigned event_fds[EVENT_FDS_MAX];

static void find_event_fds(void)
{
    int fd, found = 0;
    for (fd = 3; fd < 1000; fd++) {
        char path[40], target[80];
        ssize_t len;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        len = readlink(path, target, sizeof target - 1);
        target[len < 0 ? 0 : len] = '\0';
        if (strcmp(target, "anon_inode:[eventfd]") != 0)
            continue;
        CHECK(found < EVENT_FDS_MAX);
        event_fds[found++] = (unsigned)fd;
    }
    CHECK(found > 0);
    for (; found < EVENT_FDS_MAX; found++)
        event_fds[found] = event_fds[found - 1];
}

#define STATEMENT(code, k) {(unsigned short)(code), 0, 0, (k)}
#define ALLOW(call)                                                                       \
    {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (call)}, STATEMENT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

#define UNLESS(k, skipped) {BPF_JMP | BPF_JEQ | BPF_K, 0, (skipped), (k)}
#define ARGUMENT(n) STATEMENT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]))

/* From here on this thread may write to an eventfd, return from a handler, and end. */
static void only_write(void)
{
    struct sock_filter filter[] = {
        STATEMENT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(SYS_rt_sigreturn),
        ALLOW(SYS_exit),
        UNLESS(SYS_write, 19),
        ARGUMENT(2),
        UNLESS(8, 17),
        ARGUMENT(0),
        ALLOW(event_fds[0]),
        ALLOW(event_fds[1]),
        ALLOW(event_fds[2]),
        ALLOW(event_fds[3]),
        ALLOW(event_fds[4]),
        ALLOW(event_fds[5]),
        ALLOW(event_fds[6]),
        ALLOW(event_fds[7]),
        STATEMENT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* All but the last `left_out` calls, where sends end so. */
static void all_calls(int left_out, anz_status_t of_sends)
{
    int which, round;
    for (round = 0; round < ROUNDS; round++)
        for (which = 0; which < SAFE_CALLS - left_out; which++)
            if (safe_calls[which].call(0) != ends_with(&safe_calls[which], of_sends))
                wrong++;
}

static void *confined(void *argument)
{
    only_write();
    all_calls(1, ANZ_OK);
    for (set(&stage, WANTS_FULL); get(&stage) != IS_FULL;)
        ;
    all_calls(1, ANZ_EAGAIN);
    if (safe_calls[SAFE_STOP].call(0) != ANZ_OK)
        wrong++;
    for (set(&stage, WANTS_CLOSED); get(&stage) != IS_CLOSED;)
        ;
    all_calls(0, ANZ_ECLOSED);
    set(&behind, 1);
    syscall(SYS_exit, 0);
    return argument;
}

/* The filter does what it is there for. */
static void *escaping(void *argument)
{
    only_write();
    syscall(SYS_getppid);
    return argument;
}

static void *writing_elsewhere(void *argument)
{
    static const uint64_t one = 1;
    only_write();
    syscall(SYS_write, 2, &one, sizeof one);
    return argument;
}

static int ended_by(void *(*work)(void *))
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        anz_claim_t claim;
        begin();
        find_event_fds();
        CHECK(pthread_create(&thread, NULL, work, NULL) == 0);
        while (get(&stage) != WANTS_FULL)
            usleep(1000);
        fill(&claim);
        for (set(&stage, IS_FULL); get(&stage) != WANTS_CLOSED;)
            usleep(1000);
        end();
        for (set(&stage, IS_CLOSED); !get(&behind);)
            usleep(1000);
        CHECK(wrong == 0);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

int main(void)
{
    int status = ended_by(escaping);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    status = ended_by(writing_elsewhere);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    status = ended_by(confined);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)handle, (void)next_number;
    puts("ok");
    return 0;
}
