/* The library is a guest in the process: what belongs to all of it is as it was before, while an
 * engine runs in its own thread and after all has gone. */
#define _GNU_SOURCE
#include "check.h"
#include <dirent.h>
#include <locale.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct host {
    struct sigaction actions[NSIG];
    sigset_t mask;
    mode_t file_mask;
    struct rlimit files;
    char directory[4096], locale[256], name[16];
    int dumpable;
};

static void look(struct host *host)
{
    int number;
    memset(host, 0, sizeof *host);
    for (number = 1; number < NSIG; number++)
        (void)sigaction(number, NULL, &host->actions[number]);
    CHECK(sigprocmask(SIG_BLOCK, NULL, &host->mask) == 0);
    host->file_mask = umask(022);
    umask(host->file_mask);
    CHECK(getrlimit(RLIMIT_NOFILE, &host->files) == 0);
    CHECK(getcwd(host->directory, sizeof host->directory) != NULL);
    strncpy(host->locale, setlocale(LC_ALL, NULL), sizeof host->locale - 1);
    CHECK(prctl(PR_GET_NAME, host->name) == 0);
    host->dumpable = prctl(PR_GET_DUMPABLE);
}

static struct host before, after;

static void nothing_has_changed(void)
{
    int number;
    look(&after);
    for (number = 1; number < NSIG; number++) {
        const struct sigaction *was = &before.actions[number], *is = &after.actions[number];
        CHECK(was->sa_handler == is->sa_handler && was->sa_flags == is->sa_flags);
        /* The kernel knows of so many signals; the rest of the set is left as it was. */
        CHECK(memcmp(&was->sa_mask, &is->sa_mask, (NSIG - 1) / 8) == 0);
    }
    CHECK(memcmp(&before.mask, &after.mask, (NSIG - 1) / 8) == 0);
    CHECK(before.file_mask == after.file_mask && before.dumpable == after.dumpable);
    CHECK(before.files.rlim_cur == after.files.rlim_cur);
    CHECK(strcmp(before.directory, after.directory) == 0);
    CHECK(strcmp(before.locale, after.locale) == 0 && strcmp(before.name, after.name) == 0);
}

/* No signal of the program is ever handled by a thread of the library: all but the first thread
 * here are its own. How many there are. */
static int its_threads_block_all_signals(void)
{
    unsigned long long wanted = 0x7fffffff & ~(1ull << (SIGKILL - 1)) & ~(1ull << (SIGSTOP - 1));
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    int count = 0;
    CHECK(tasks != NULL);
    while ((task = readdir(tasks)) != NULL) {
        char path[300], line[256];
        unsigned long long blocked = 0;
        FILE *status;
        if (task->d_name[0] == '.' || atoi(task->d_name) == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        status = fopen(path, "r");
        if (status == NULL)
            continue; /* it has just ended */
        while (fgets(line, sizeof line, status) != NULL)
            (void)sscanf(line, "SigBlk: %llx", &blocked);
        fclose(status);
        CHECK((blocked & wanted) == wanted);
        count++;
    }
    closedir(tasks);
    return count;
}

static void notified(void *user_data)
{
    (void)user_data;
}

int main(void)
{
    char socket_path[100], address[120];
    int printed = memfd_create("printed", 0), standard_output;
    anz_conn_t *over_socket = NULL;
    anz_engine_t *engine;
    anz_conn_t *conn, *named = NULL;
    anz_config_t *cfg;
    anz_group_t *group;
    anz_event_t ev;
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    CHECK((standard_output = dup(1)) >= 0 && dup2(printed, 1) == 1);
    snprintf(socket_path, sizeof socket_path, "/tmp/anasazi-guest-%d.sock", (int)getpid());
    snprintf(address, sizeof address, "unix:%s", socket_path);
    look(&before);
    nothing_has_changed();
    engine = lonely_engine();
    conn = connected(engine);
    group = joined(conn, "guest");
    IS(anz_mcast(group, ANZ_SAFE, "x", 1, 0), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    IS(anz_config_new(&cfg), ANZ_OK);
    IS(anz_config_set(cfg, "transport.multicast", "off", NULL), ANZ_OK);
    IS(anz_config_set(cfg, "client.listen_streams", address, NULL), ANZ_OK);
    IS(anz_connect("inproc:guest", cfg, &named, NULL), ANZ_OK);
    if (anz_connect(address, NULL, &over_socket, &err) != ANZ_OK)
        fprintf(stderr, "%s\n", err.message);
    CHECK(over_socket != NULL);
    IS(anz_conn_set_notify(named, notified, NULL), ANZ_OK);
    (void)anz_connect("shm:/no/such/daemon", NULL, &named, NULL);
    nothing_has_changed();
    /* Two engines, what carries a stream at either end, and the one that calls. */
    CHECK(its_threads_block_all_signals() >= 5);
    IS(anz_conn_close(over_socket), ANZ_OK);
    IS(anz_conn_close(named), ANZ_OK);
    IS(anz_conn_close(conn), ANZ_OK);
    anz_config_free(cfg);
    anz_engine_free(engine);
    nothing_has_changed();
    (void)unlink(socket_path); /* the engine behind "inproc:" lives on */
    CHECK(fflush(stdout) == 0 && lseek(printed, 0, SEEK_END) == 0);
    CHECK(dup2(standard_output, 1) == 1);
    puts("ok");
    return 0;
}
