/* The library opened as a legacy program does it, its functions found by name. */
#ifndef OPENED_H
#define OPENED_H
#include "check.h"
#include <dlfcn.h>

struct api {
    void *handle;
    anz_status_t (*config_new)(anz_config_t **);
    anz_status_t (*config_set)(anz_config_t *, const char *, const char *, anz_error_t *);
    anz_status_t (*engine_new)(const anz_config_t *, anz_engine_t **, anz_error_t *);
    anz_status_t (*engine_start_thread)(anz_engine_t *);
    anz_status_t (*engine_connect)(anz_engine_t *, const anz_config_t *, anz_conn_t **,
                                   anz_error_t *);
    anz_status_t (*join)(anz_conn_t *, const char *, uint32_t, void *, anz_group_t **);
    anz_status_t (*mcast)(anz_group_t *, uint32_t, const void *, size_t, uint64_t);
    anz_status_t (*mcastv)(anz_group_t *, uint32_t, const anz_iov_t *, size_t, uint64_t);
    anz_status_t (*mcast_groups)(anz_group_t *const *, size_t, uint32_t, const void *, size_t,
                                 uint64_t);
    anz_status_t (*claim)(anz_group_t *, size_t, anz_claim_t *);
    anz_status_t (*commit)(anz_group_t *, anz_claim_t *, uint32_t, uint64_t);
    anz_status_t (*abort)(anz_group_t *, anz_claim_t *);
    anz_status_t (*conn_wake)(anz_conn_t *);
    anz_status_t (*conn_wait)(anz_conn_t *, int64_t);
    int (*recv)(anz_conn_t *, anz_event_t *, size_t);
    anz_status_t (*release)(anz_conn_t *, const anz_event_t *, size_t);
    anz_status_t (*conn_close)(anz_conn_t *);
    void (*engine_free)(anz_engine_t *);
};

static inline void *named(void *library, const char *name)
{
    void *found = dlsym(library, name);
    if (found == NULL)
        fprintf(stderr, "%s is not there\n", name);
    CHECK(found != NULL);
    return found;
}

#define FIND(function) *(void **)(&api->function) = named(api->handle, "anz_" #function)

static inline void open_api(const char *path, struct api *api)
{
    api->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (api->handle == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(api->handle != NULL);
#ifndef IS_LINKED /* with another copy, whose names are for all to see */
    CHECK(dlsym(RTLD_DEFAULT, "anz_mcast") == NULL);
#endif
    FIND(config_new), FIND(config_set), FIND(engine_new), FIND(engine_start_thread);
    FIND(engine_connect), FIND(join), FIND(mcast), FIND(claim), FIND(commit), FIND(conn_wait);
    FIND(mcastv), FIND(mcast_groups), FIND(abort), FIND(conn_wake);
    FIND(recv), FIND(release), FIND(conn_close), FIND(engine_free);
}

#endif
