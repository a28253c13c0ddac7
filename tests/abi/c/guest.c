/* The library is a guest in the process: what belongs to all of it is as it was before, while an
 * engine runs in its own thread and after all has gone. */
#define _GNU_SOURCE
#include "check.h"
#include <locale.h>
#include <signal.h>
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

int main(void)
{
    anz_engine_t *engine;
    anz_conn_t *conn, *named = NULL;
    anz_config_t *cfg;
    anz_group_t *group;
    anz_event_t ev;
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
    IS(anz_connect("inproc:guest", cfg, &named, NULL), ANZ_OK);
    (void)anz_connect("shm:/no/such/daemon", NULL, &named, NULL);
    nothing_has_changed();
    IS(anz_conn_close(named), ANZ_OK);
    IS(anz_conn_close(conn), ANZ_OK);
    anz_config_free(cfg);
    anz_engine_free(engine);
    nothing_has_changed();
    puts("ok");
    return 0;
}
