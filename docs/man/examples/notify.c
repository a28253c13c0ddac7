/* A thread of the library tells when there is something to receive. */
#define _POSIX_C_SOURCE 200112L
#include <anasazi.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>

static sem_t there_is_something;

static void tell(void *user_data)
{
    sem_post(user_data);
}

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *conn = NULL;
    anz_group_t *group = NULL;
    anz_event_t ev;
    int views = 0, n;
    ev.struct_size = sizeof ev;
    sem_init(&there_is_something, 0, 0);
    if (anz_connect("inproc:example", NULL, &conn, &err) != ANZ_OK
        || anz_conn_set_notify(conn, tell, &there_is_something) != ANZ_OK
        || anz_join(conn, "room", 0, NULL, &group) != ANZ_OK)
        return 1;
    while (views == 0) {
        while (sem_wait(&there_is_something) != 0 && errno == EINTR)
            ;
        /* Until there is nothing: or it may not be told again. */
        while ((n = anz_recv(conn, &ev, 1)) == 1) {
            views += ev.type == ANZ_EV_VIEW;
            anz_release(conn, &ev, 1);
        }
        if (n < 0)
            return 1;
    }
    printf("%d view\n", views);
    /* Before what it uses goes away. */
    anz_conn_set_notify(conn, NULL, NULL);
    return anz_conn_close(conn) != ANZ_OK;
}
