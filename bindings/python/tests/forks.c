/* What a library of an application may do around forks: it was told of them first. */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void (*before)(void);
static void *wanted;
static size_t wanted_len;
static int has_got;

static void prepare(void)
{
    if (before)
        before();
}

/* In the child: takes the place, if nothing is there. */
static void child(void)
{
    if (!wanted)
        return;
    void *got = mmap(wanted, wanted_len, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    has_got = got == wanted;
    if (has_got)
        memset(got, 'X', wanted_len);
}

int watch(void)
{
    return pthread_atfork(prepare, NULL, child);
}

void call_before(void (*call)(void))
{
    before = call;
}

void want(void *place, size_t len)
{
    long page = sysconf(_SC_PAGESIZE);
    char *first = (char *)place - (size_t)place % page;
    wanted_len = ((char *)place + len - first + page - 1) / page * page;
    wanted = first;
}

int got(void)
{
    return has_got;
}

/* Whoever calls it need not have Python's lock. */
int fork_once(void)
{
    int status = -1;
    pid_t made = fork();
    if (made == 0)
        _exit(7);
    if (made < 0 || waitpid(made, &status, 0) != made)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void fork_late(void)
{
    if (fork_once() != 7)
        _exit(9);
}

int fork_at_exit(void)
{
    return atexit(fork_late);
}
