/* What the programs of the adapters' tests have in common: a member of a group whose engine lives
 * in the loop of this very thread. Of two such programs each sends, once both are there; both print
 * what they get, in its order. When the other one is gone, which only the engine's timers can find
 * out, since nothing moves any more, this one leaves and ends.
 *
 *     PROGRAM KEY=VALUE... */
#ifndef MEMBER_H
#define MEMBER_H
#include <anasazi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGES = 200 };
static anz_engine_t *engine;
static anz_conn_t *conn;
static anz_group_t *group;
static int messages_left = MESSAGES, were_two;

static inline void must(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "%s\n", what);
        exit(1);
    }
}

static inline void send_some(void)
{
    char text[40];
    while (were_two && messages_left > 0) {
        int len = snprintf(text, sizeof text, "%d", messages_left);
        if (anz_mcast(group, ANZ_AGREED, text, (size_t)len, 0) != ANZ_OK)
            return; /* WRITABLE tells when there is room again */
        messages_left--;
    }
}

static inline void take(const anz_event_t *ev)
{
    char who[40];
    if (ev->type == ANZ_EV_VIEW) {
        size_t members = ev->view->members_len;
        printf("view of %lu\n", (unsigned long)members);
        if (were_two && members == 1)
            anz_engine_stop(engine);
        were_two = were_two || members == 2;
    } else if (ev->type == ANZ_EV_MESSAGE) {
        must(anz_member_name(conn, &ev->sender, who, sizeof who) == ANZ_OK, "a sender's name");
        printf("message %s %.*s\n", who, (int)ev->len, (const char *)ev->data);
    }
}

/* For the adapter: everything that there is to receive. Not 0 when the session has ended. */
static inline int receive(anz_conn_t *c, void *user_data)
{
    anz_event_t events[16];
    int n, at;
    (void)user_data;
    events[0].struct_size = sizeof events[0];
    while ((n = anz_recv(c, events, 16)) > 0) {
        for (at = 0; at < n; at++)
            take(&events[at]);
        anz_release(c, events, (size_t)n);
        send_some();
    }
    fflush(stdout);
    return n < 0;
}

static inline void begin(int argc, char **argv)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_config_t *config;
    must(anz_config_new(&config) == ANZ_OK, "no configuration");
    for (; argc > 1; argc--) {
        char *value = strchr(argv[argc - 1], '=');
        must(value != NULL, "KEY=VALUE");
        *value++ = '\0';
        must(anz_config_set(config, argv[argc - 1], value, &err) == ANZ_OK, err.message);
    }
#ifdef MEMBER_SETS
    MEMBER_SETS(config);
#endif
    must(anz_engine_new(config, &engine, &err) == ANZ_OK, err.message);
    must(anz_engine_connect(engine, config, &conn, &err) == ANZ_OK, err.message);
    anz_config_free(config);
    must(anz_join(conn, "loops", 0, NULL, &group) == ANZ_OK, "cannot join");
}

static inline int end(void)
{
    anz_conn_close(conn);
    anz_engine_free(engine);
    puts("ended");
    return 0;
}
#endif
