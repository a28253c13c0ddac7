/* A session, in a program that waits for nothing else. */
#define _POSIX_C_SOURCE 199309L
#include <anasazi.h>
#include <stdio.h>
#include <time.h>

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *conn = NULL;
    anz_member_t self;
    anz_status_t status;
    struct timespec now;
    char name[40];
    if (anz_connect("inproc:example", NULL, &conn, &err) != ANZ_OK) {
        fprintf(stderr, "%s: %s\n", anz_status_name(err.code), err.message);
        return 1;
    }
    if (anz_conn_self(conn, &self) == ANZ_OK
        && anz_member_name(conn, &self, name, sizeof name) == ANZ_OK)
        printf("this is %s\n", name);
    clock_gettime(CLOCK_MONOTONIC, &now);
    status = anz_conn_wait(conn, now.tv_sec * INT64_C(1000000000) + now.tv_nsec + 10000000);
    printf("nothing to receive: %s\n", anz_status_name(status));
    return anz_conn_close(conn) != ANZ_OK;
}
