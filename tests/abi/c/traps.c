/* What a signal handler may call takes no lock, no memory, nothing thread-local, and nothing of the
 * loader: this program stands in for all such functions of libc, for the library too, and ends if
 * one is called within a handler's call. */
#define _GNU_SOURCE
#include "safe_calls.h"
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

static __thread int in_handler __attribute__((tls_model("initial-exec")));
static volatile int seen; /* which traps were called at all: those that were not prove nothing */

static void trap(const char *name)
{
    seen++;
    if (in_handler) {
        static const char text[] = " was called within a handler\n";
        ssize_t written = write(2, name, strlen(name));
        written += write(2, text, sizeof text - 1);
        _exit(written > 0 ? 1 : 2);
    }
}

/* The function of libc that another one here stands for. */
static void *real(const char *name)
{
    void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.2.5");
    if (found == NULL)
        found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
    if (found == NULL)
        found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3");
    if (found == NULL)
        found = dlvsym(RTLD_NEXT, name, "GLIBC_2.34");
    if (found == NULL)
        _exit(3);
    return found;
}

#define TRAP(type, name, parameters, arguments)                                           \
    type name parameters                                                                  \
    {                                                                                     \
        static type(*there) parameters;                                                   \
        trap(#name);                                                                      \
        if (there == NULL)                                                                \
            *(void **)(&there) = real(#name);                                             \
        return there arguments;                                                           \
    }

/* These cannot be looked up without being called. */
void *__libc_malloc(size_t len);
void *__libc_calloc(size_t many, size_t len);
void *__libc_realloc(void *old, size_t len);
void *__libc_memalign(size_t alignment, size_t len);
void __libc_free(void *old);

void *malloc(size_t len)
{
    trap("malloc");
    return __libc_malloc(len);
}

void *calloc(size_t many, size_t len)
{
    trap("calloc");
    return __libc_calloc(many, len);
}

void *realloc(void *old, size_t len)
{
    trap("realloc");
    return __libc_realloc(old, len);
}

void *memalign(size_t alignment, size_t len)
{
    trap("memalign");
    return __libc_memalign(alignment, len);
}

void *aligned_alloc(size_t alignment, size_t len)
{
    trap("aligned_alloc");
    return __libc_memalign(alignment, len);
}

int posix_memalign(void **out, size_t alignment, size_t len)
{
    trap("posix_memalign");
    *out = __libc_memalign(alignment, len);
    return *out == NULL ? 12 : 0;
}

void free(void *old)
{
    trap("free");
    __libc_free(old);
}

TRAP(int, pthread_mutex_lock, (pthread_mutex_t * m), (m))
TRAP(int, pthread_mutex_trylock, (pthread_mutex_t * m), (m))
TRAP(int, pthread_mutex_unlock, (pthread_mutex_t * m), (m))
TRAP(int, pthread_rwlock_rdlock, (pthread_rwlock_t * l), (l))
TRAP(int, pthread_rwlock_wrlock, (pthread_rwlock_t * l), (l))
TRAP(int, pthread_rwlock_tryrdlock, (pthread_rwlock_t * l), (l))
TRAP(int, pthread_rwlock_trywrlock, (pthread_rwlock_t * l), (l))
TRAP(int, pthread_rwlock_unlock, (pthread_rwlock_t * l), (l))
TRAP(int, pthread_cond_wait, (pthread_cond_t * c, pthread_mutex_t *m), (c, m))
TRAP(int, pthread_cond_timedwait,
     (pthread_cond_t * c, pthread_mutex_t *m, const struct timespec *t), (c, m, t))
TRAP(int, pthread_cond_signal, (pthread_cond_t * c), (c))
TRAP(int, pthread_cond_broadcast, (pthread_cond_t * c), (c))
TRAP(int, pthread_once, (pthread_once_t * o, void (*f)(void)), (o, f))
TRAP(int, pthread_key_create, (pthread_key_t * k, void (*f)(void *)), (k, f))
TRAP(void *, pthread_getspecific, (pthread_key_t k), (k))
TRAP(int, pthread_setspecific, (pthread_key_t k, const void *v), (k, v))
TRAP(int, sem_wait, (sem_t * s), (s))
TRAP(int, sem_trywait, (sem_t * s), (s))
TRAP(int, sem_timedwait, (sem_t * s, const struct timespec *t), (s, t))
TRAP(int, sem_post, (sem_t * s), (s))
TRAP(void *, dlopen, (const char *n, int f), (n, f))
TRAP(void *, dlsym, (void *h, const char *n), (h, n))
TRAP(void *, __tls_get_addr, (void *index), (index))
TRAP(int, fputs, (const char *t, FILE *f), (t, f))
TRAP(size_t, fwrite, (const void *d, size_t l, size_t n, FILE *f), (d, l, n, f))
TRAP(int, vfprintf, (FILE * f, const char *t, va_list v), (f, t, v))
TRAP(char *, getenv, (const char *n), (n))

/* Nobody here has anything to log. */
void syslog(int priority, const char *text, ...)
{
    (void)priority, (void)text;
    trap("syslog");
}

void vsyslog(int priority, const char *text, va_list arguments)
{
    (void)priority, (void)text, (void)arguments;
    trap("vsyslog");
}

/* By which Rust waits. Six numbers are passed on, however many there are: so the calls of this
 * machine are. */
static volatile int system_calls;
long syscall(long number, ...)
{
    static long (*there)(long, ...);
    long given[6];
    int at;
    va_list arguments;
    trap("syscall");
    system_calls++;
    va_start(arguments, number);
    for (at = 0; at < 6; at++)
        given[at] = va_arg(arguments, long);
    va_end(arguments);
    if (there == NULL)
        *(void **)(&there) = real("syscall");
    return there(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}

static const struct safe_call *in_question;
static anz_status_t expected;
static volatile sig_atomic_t wrong, calls;

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    in_handler = 1;
    wrong |= in_question->call(1) != expected;
    in_handler = 0;
    calls++;
}

/* A handler must not join: that ends this program. */
static void on_control(int number, siginfo_t *info, void *context)
{
    anz_group_t *third;
    (void)number, (void)info, (void)context;
    in_handler = 1;
    anz_join(conn, "third", 0, NULL, &third);
    _exit(0);
}

/* All but the last `left_out` calls, where sends end so. */
static void in_handlers(int left_out, anz_status_t of_sends)
{
    int which, again;
    for (which = 0; which < SAFE_CALLS - left_out; which++) {
        in_question = &safe_calls[which];
        expected = ends_with(in_question, of_sends);
        for (again = 0; again < 100; again++) {
            CHECK(raise(SIGUSR1) == 0);
            /* Some find the engine asleep, others awake. */
            if (in_question->sends && again % 3 == 0)
                usleep(100);
        }
        CHECK(!wrong && calls == 100);
        calls = 0;
    }
}

int main(int argc, char **argv)
{
    anz_claim_t claim;
    begin();
    if (argc > 1 && strcmp(argv[1], "control") == 0) {
        handle(SIGUSR1, on_control, 0);
        return raise(SIGUSR1);
    }
    handle(SIGUSR1, on_signal, 0);
    in_handlers(1, ANZ_OK);
    fill(&claim);
    in_handlers(1, ANZ_EAGAIN);
    anz_abort(group, &claim);
    in_question = &safe_calls[SAFE_STOP];
    expected = ANZ_OK;
    CHECK(raise(SIGUSR1) == 0 && !wrong && calls == 1);
    calls = 0;
    end();
    in_handlers(0, ANZ_ECLOSED);
    CHECK(seen > 100);
    /* Perhaps nobody had to wait. */
    CHECK(syscall(SYS_getpid) == getpid() && system_calls > 0);
    puts("ok");
    return 0;
}
