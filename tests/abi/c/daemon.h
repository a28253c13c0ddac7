/* A daemon, as its clients and its system see it: what it has open, and how much memory. */
#ifndef DAEMON_H
#define DAEMON_H
#include "check.h"
#include <dirent.h>
#include <unistd.h>

static inline anz_conn_t *connected_to(const char *url)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *made = NULL;
    if (anz_connect(url, NULL, &made, &err) != ANZ_OK) {
        fprintf(stderr, "%s: %s\n", url, err.message);
        exit(1);
    }
    return made;
}

static inline int descriptors_of(const char *pid)
{
    char path[64];
    DIR *directory;
    int count = 0;
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    directory = opendir(path);
    CHECK(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* The daemon has as few descriptors as before: at once, but for a stream of which a child has a
 * copy, which is waited for. */
static inline void has_given_back(const char *pid, int before, int in_time)
{
    int tries = in_time ? 100 : 0;
    while (descriptors_of(pid) != before && tries-- > 0)
        usleep(100000);
    CHECK(descriptors_of(pid) == before);
}

/* Memory of its own; what it shares with a client is as large as the client has used it. */
static inline long own_kib_of(const char *pid)
{
    char path[64], line[128];
    long kib = -1;
    FILE *file;
    snprintf(path, sizeof path, "/proc/%s/status", pid);
    file = fopen(path, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL)
        sscanf(line, "RssAnon: %ld", &kib);
    fclose(file);
    CHECK(kib > 0);
    return kib;
}

/* Sessions whose memory it has. */
static inline int mappings_of(const char *pid)
{
    char path[64], line[512];
    int count = 0;
    FILE *file;
    snprintf(path, sizeof path, "/proc/%s/maps", pid);
    file = fopen(path, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL)
        count += strstr(line, "anasazi-session") != NULL;
    fclose(file);
    return count;
}
#endif
