/* Callbacks that do nothing, where a function has to be given one. */
#ifndef CALLEES_H
#define CALLEES_H
#include <anasazi.h>

static inline void notify(void *user_data)
{
    (void)user_data;
}

static inline void log_line(void *user_data, int level, const char *component, const char *text,
                            size_t text_len)
{
    (void)user_data, (void)level, (void)component, (void)text, (void)text_len;
}

static inline int watch(void *user_data, int fd, uint32_t old_events, uint32_t new_events)
{
    (void)user_data, (void)fd, (void)old_events, (void)new_events;
    return 0;
}

static inline void timer(void *user_data, int64_t deadline_ns)
{
    (void)user_data, (void)deadline_ns;
}
#endif
