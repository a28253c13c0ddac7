/* member.c - a member of a group in C, to be loaded into a process of Python. */
#include <anasazi.h>
#include <string.h>
#include <time.h>

static anz_conn_t *conn;
static anz_group_t *group;

static int64_t soon_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((int64_t)now.tv_sec + 10) * 1000000000 + now.tv_nsec;
}

/* Until the view, or, if there is a text, until that message; 0: it did not come. */
static int await(const char *text)
{
    int64_t over = soon_ns();
    anz_event_t event;
    int came = 0;
    event.struct_size = sizeof event;
    while (!came && anz_conn_wait(conn, over) == ANZ_OK) {
        while (!came && anz_recv(conn, &event, 1) > 0) {
            if (text == NULL)
                came = event.type == ANZ_EV_VIEW;
            else
                came = event.type == ANZ_EV_MESSAGE && event.len == strlen(text) &&
                       memcmp(event.data, text, event.len) == 0;
            anz_release(conn, &event, 1);
        }
    }
    return came;
}

int member_begin(const char *url, const char *name)
{
    static const char hello[] = "hello from C";
    if (anz_connect(url, NULL, &conn, NULL) != ANZ_OK)
        return 1;
    if (anz_join(conn, name, 0, NULL, &group) != ANZ_OK || !await(NULL))
        return 2;
    return anz_mcast(group, ANZ_AGREED, hello, strlen(hello), 0) == ANZ_OK ? 0 : 3;
}

int member_heard(const char *text)
{
    return await(text);
}

void member_end(void)
{
    anz_conn_close(conn);
}
