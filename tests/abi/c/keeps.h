/* Calls that leave errno as it was. */
#ifndef KEEPS_H
#define KEEPS_H
#include "check.h"
#include <errno.h>

enum { BEFORE = 4242 };

/* The call, its status, and errno as it was. */
#define KEEPS(call, expected)                                                              \
    do {                                                                                   \
        anz_status_t keeps_;                                                               \
        errno = BEFORE;                                                                    \
        keeps_ = (call);                                                                   \
        if (errno != BEFORE) {                                                             \
            fprintf(stderr, "%s:%d: %s: errno is %d\n", __FILE__, __LINE__, #call, errno); \
            exit(1);                                                                       \
        }                                                                                  \
        IS(keeps_, expected);                                                              \
    } while (0)

#define WITHOUT_STATUS(call)                                                               \
    do {                                                                                   \
        errno = BEFORE;                                                                    \
        (void)(call);                                                                      \
        CHECK(errno == BEFORE);                                                            \
    } while (0)
#endif
