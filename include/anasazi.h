/* anasazi.h - group communication with extended virtual synchrony: the C interface of libanasazi.
 *
 * Generated from ffi/ by cbindgen: change it there, then run `make header`.
 *
 * Valid C89 (with stdint), C99, C11 and C++98. No bool, no enum-typed fields, no bit-fields, no
 * long, no variadics, no static inline that a binding would need.
 *
 * Safety tags use the glibc manual's vocabulary:
 *   MT-Safe     any thread, concurrently, same object
 *   MT-Owner    one thread at a time per object (a second caller gets ANZ_EBUSY, never undefined
 *               behaviour)
 *   AS-Safe     may be called from a signal handler, interrupting anything, this library included,
 *               on a stack with 512 bytes left (anz_mcast_groups(): 640), from a program that is
 *               bound when it starts (-Wl,-z,now, as pkg-config and CMake have it) or got the
 *               function by dlsym(): else its first call goes through the loader
 *   NB / BLK    never blocks / may block
 * No function takes a lock that another application thread can hold, but for anz_connect(), which
 * looks engines of this process up by name, and anz_engine_free(). No call waits for another
 * thread of the application; one that is stopped in the middle of a send makes the others see
 * ANZ_EAGAIN, never a hang.
 * Handles are values (index and generation) in a pointer's clothes, looked up in a table that is
 * never unmapped: a stale handle gives ANZ_ECLOSED, from a signal handler too; NULL gives
 * ANZ_EINVAL.
 * After fork() every function on an inherited connection, group or engine returns ANZ_EFORKED in
 * the child; only *_free and *_close are allowed there (they touch no fd and no shared memory).
 * Configurations and retained messages are the child's own. What was received and not retained is
 * not there in the child: it must not look at the data of such events. Nor may a child that was
 * forked in a signal handler return from it, if that has interrupted a function of this library. */

#ifndef ANASAZI_H
#define ANASAZI_H

#include <stddef.h>
#include <stdint.h>

#ifndef ANZ_API
#  if defined(__GNUC__)
#    define ANZ_API extern __attribute__((visibility("default")))
#  else
#    define ANZ_API extern
#  endif
#endif
#if defined(__GNUC__)
#  define ANZ_MUST_USE __attribute__((warn_unused_result))
#else
#  define ANZ_MUST_USE
#endif
#if defined(__clang__)
#  pragma clang diagnostic push
#  pragma clang diagnostic ignored "-Wnullability-extension"
#  pragma clang diagnostic ignored "-Wnullability-completeness"
#  define ANZ_NULLABLE _Nullable
#else
#  define ANZ_NULLABLE
#endif

#if UINTPTR_MAX != 0xffffffffffffffffu
#  error "anasazi supports 64-bit (LP64) systems only"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- opaque handles -------------------------------------------------------------------------- */
struct anz_api;                              /* the table of functions for dlopen users */
typedef struct anz_config anz_config_t;      /* string-keyed settings */
/* one client session with an engine, in this process or elsewhere */
typedef struct anz_conn anz_conn_t;
typedef struct anz_engine anz_engine_t;      /* one protocol engine: what a daemon is made of */
/* this session's membership of, or address for, a named group */
typedef struct anz_group anz_group_t;
typedef struct anz_msg anz_msg_t;            /* a retained message */

/* 0 ok, negative error. Values are frozen on every OS; where a Linux errno exists the value is
 * its negative, domain codes start at -1001; retired numbers stay reserved. */
typedef int32_t anz_status_t;
/* version of the C API, which is not that of the release */
#define ANZ_VERSION_MAJOR 1
#define ANZ_VERSION_MINOR 0
#define ANZ_VERSION_PATCH 0
/* MAJOR * 1000000 + MINOR * 1000 + PATCH */
#define ANZ_VERSION_NUM 1000000

/* ---- status codes ---------------------------------------------------------------------------- */
#define ANZ_OK                0
/* a struct from a newer header sets a field that this library does not know */
#define ANZ_E2BIG             (-7)
#define ANZ_EINTR             (-4)    /* a wait ended early: anz_conn_wake(), or a signal */
/* would block: wait for ANZ_EV_WRITABLE of that group, or for the fd */
#define ANZ_EAGAIN            (-11)
#define ANZ_ENOMEM            (-12)
#define ANZ_EACCES            (-13)   /* refused by the daemon's access rules */
#define ANZ_EBUSY             (-16)   /* an MT-Owner call is under way in another thread */
#define ANZ_EEXIST            (-17)
#define ANZ_EINVAL            (-22)
#define ANZ_EMSGSIZE          (-90)
#define ANZ_ENOTSUP           (-95)   /* known to the header, not built into this library yet */
#define ANZ_ETIMEDOUT         (-110)
#define ANZ_ECONNREFUSED      (-111)
#define ANZ_ENOTMEMBER        (-1001)
#define ANZ_ECLOSED           (-1002)
#define ANZ_EFORKED           (-1003)
#define ANZ_ESTATE            (-1004)
#define ANZ_EVERSION          (-1005)
/* this session was cut off as a slow receiver, or an own message was skipped for it as that */
#define ANZ_ESLOW             (-1006)
#define ANZ_ECONFIG           (-1007) /* the message names key, file, line and what is allowed */
/* same-view send: the view changed before the message was ordered */
#define ANZ_EVIEW             (-1008)
/* accepted, but the engine went away before it told its fate */
#define ANZ_ELOST             (-1009)
#define ANZ_EINTERNAL         (-1999) /* caught panic; the engine is poisoned (fatal flag set) */
#define ANZ_ERR_F_RETRYABLE   1       /* trying again later may help */
#define ANZ_ERR_F_FATAL       2       /* the engine is out of use */

/* ---- service levels, flags, events ----------------------------------------------------------- */
/* a packet of its own, sent at once: no order, no repair of loss, at most once, at most
 * ANZ_UNRELIABLE_LEN_MAX bytes; not in another view of the network than it was sent in */
#define ANZ_UNRELIABLE        0
/* every member that stays gets it. This level and the next two travel with the agreed ones, and
 * so keep more than they promise: no message overtakes another of the same priority. */
#define ANZ_RELIABLE          1
#define ANZ_FIFO              2       /* in the sender's order */
#define ANZ_CAUSAL            3       /* after what its sender had seen */
#define ANZ_AGREED            4       /* total order */
/* total order, and held by every member of the configuration before delivery */
#define ANZ_SAFE              5
#define ANZ_NO_SELF           0x100u  /* or-ed in: do not deliver to this session */
/* or-ed in: ANZ_EV_RECEIPT tells which members delivered it, and in which view */
#define ANZ_RECEIPT           0x200u
/* or-ed in: deliver in the sending view or not at all (then ANZ_EV_RECEIPT, ANZ_EVIEW). The
 * sending view is the last one that anz_recv() gave out. For members only, and not for
 * ANZ_UNRELIABLE: else ANZ_EINVAL. */
#define ANZ_SAME_VIEW         0x400u
/* or-ed in: ahead of this session's other messages that are not yet ordered, as long as there
 * are some: those of a lower priority wait. Not ahead of anything else that it asked for before
 * (joining, leaving, anz_query()), of an open claim, or of a message that is going out in
 * pieces. No room is kept for it. Of one priority messages stay in order. With ANZ_PRIO_BULK:
 * ANZ_EINVAL */
#define ANZ_PRIO_HIGH         0x1000u
#define ANZ_PRIO_BULK         0x2000u /* or-ed in: behind them */
/* Longest unreliable message, in bytes; for one to several groups 9 less for each of them.
 * Longer ones: ANZ_EMSGSIZE. */
#define ANZ_UNRELIABLE_LEN_MAX 0x400u
#define ANZ_EV_MESSAGE        1       /* a message, at its place in the order */
#define ANZ_EV_VIEW           2       /* regular configuration of the group installed */
#define ANZ_EV_TRANSITIONAL   3       /* transitional signal: guarantees narrow to view->together */
/* after ANZ_EAGAIN from a send to this group: there is room in its domain's lane */
#define ANZ_EV_WRITABLE       4
/* this group handle ends here: own leave, refused join, removed domain; status says why, data in
 * words. Every handle from anz_join() and anz_peer() ends with exactly one, unless its session
 * is closed first. The handle itself goes stale with the next anz_recv(). */
#define ANZ_EV_LEFT           5
/* engine lost, in all domains; reconnecting; sends give ANZ_EAGAIN meanwhile */
#define ANZ_EV_SUSPENDED      6
/* sender = our new identity; groups are being rejoined and announce new views */
#define ANZ_EV_RESUMED        7
/* last event of the session; status says why, data in words */
#define ANZ_EV_CLOSED         8
#define ANZ_EV_RECEIPT        9       /* data = anz_receipt_t: the fate of one own message */
#define ANZ_EV_REPLY          10      /* answer to anz_query(); ANZ_EVF_MORE until the last part */
/* messages of the group were skipped here, since this session did not read fast enough and chose
 * that (session.slow_policy = gap): data = their number, a uint64_t. Without a group: messages
 * to this session alone. One to several groups counts in each; one of its own with a tag ends in
 * ANZ_EV_RECEIPT with ANZ_ESLOW, which may come before this. The number 0: over a bridge from
 * another domain something is missing here, or may be, nobody knows how much. 12 to 31 are
 * reserved: state transfer, primary component */
#define ANZ_EV_GAP            11
#define ANZ_EVF_MORE          1       /* event flag: further parts follow */
/* event flag: sent to several groups, see anz_event_groups() */
#define ANZ_EVF_MULTI         2

/* ---- causes of views ------------------------------------------------------------------------- */
#define ANZ_CAUSE_JOIN        1
#define ANZ_CAUSE_LEAVE       2
#define ANZ_CAUSE_DISCONNECT  3       /* the client died or closed without leaving */
#define ANZ_CAUSE_NETWORK     4       /* daemons lost, or a partition */
#define ANZ_CAUSE_MERGE       5
#define ANZ_CAUSE_DEMOTED     6       /* a daemon broke its domain's contract */
#define ANZ_CAUSE_REMOVED     7       /* the domain was removed */

/* ---- logging, joining ------------------------------------------------------------------------ */
/* levels of anz_config_set_log(), as those of syslog: a line is passed on if its level is at
 * most the one given */
#define ANZ_LOG_ERROR         3
#define ANZ_LOG_WARNING       4
#define ANZ_LOG_INFO          6
#define ANZ_LOG_DEBUG         7
#define ANZ_LOG_TRACE         8
/* an address to send to (open group), not a membership: no views, no messages */
#define ANZ_JOIN_SEND_ONLY    1

/* Why a slow-path call failed: caller-owned, nothing to free, may be NULL everywhere. A call
 * that succeeds empties it. One whose struct_size is of no header is left as it is. */
typedef struct anz_error {
    uint32_t struct_size;                /* = sizeof(anz_error_t) */
    anz_status_t code;                   /* as returned */
    int32_t os_errno;                    /* 0 if none */
    uint32_t flags;                      /* ANZ_ERR_F_* */
    /* UTF-8, NUL-terminated: what failed, on what, why, and what to do */
    char message[240];
} anz_error_t;

/* Takes log lines. Called on the thread that drives the engine; `text` is `text_len` bytes of
 * UTF-8, not NUL-terminated. It may call AS-Safe functions only. */
typedef void (*anz_log_fn)(void *user_data, int level, const char *component, const char *text,
                           size_t text_len);

/* OPTIONAL level-2 embedding; all calls on the owner thread. */
typedef struct anz_loop_ops {
    uint32_t struct_size;                /* = sizeof(anz_loop_ops_t) */
    uint32_t reserved;                   /* 0 */
    /* new_events 0 = none */
    int (*watch)(void *user_data, int fd, uint32_t old_events, uint32_t new_events);
    /* CLOCK_MONOTONIC, -1 = disarm; replaces */
    void (*timer)(void *user_data, int64_t deadline_ns);
} anz_loop_ops_t;

/* A member of a group; unique for ever: never reused. */
typedef struct anz_member {
    uint64_t node;
    uint64_t session;
} anz_member_t;

/* Figures of a session. */
typedef struct anz_conn_stats {
    uint32_t struct_size;                /* = sizeof(anz_conn_stats_t) */
    uint32_t reserved;
    uint64_t sent_messages;
    uint64_t sent_bytes;
    uint64_t send_again;                 /* sends refused with ANZ_EAGAIN */
    uint64_t received_messages;
    uint64_t received_bytes;
    uint64_t views;
    uint64_t send_ring_used;
    uint64_t send_ring_size;
    uint64_t receive_ring_used;
    uint64_t receive_ring_size;
    /* how long the oldest event has waited to be received, at most: since this call or
     * anz_recv() last found that none did; 0 if none waits */
    uint64_t lag_ns;
    uint64_t reconnects;
} anz_conn_stats_t;

/* A piece of a message, for anz_mcastv(). */
typedef struct anz_iov {
    const void *base;
    size_t len;
} anz_iov_t;

/* Room for a message, for anz_commit() or anz_abort(). */
typedef struct anz_claim {
    void *data;                          /* write the message here */
    size_t len;
    uint64_t token;                      /* opaque */
} anz_claim_t;

/* Where in the daemons' ordered history a view stands; equal = the same view. */
typedef struct anz_view_id {
    uint64_t ring_seq;
    uint64_t ring_rep;
    uint64_t ring_incarnation;
    uint64_t ordinal;
    uint32_t sub;
    uint32_t reserved;
} anz_view_id_t;

/* A view: who is in the group now. Equal ids = equal members, at every member; all lists are in
 * the same order everywhere. */
typedef struct anz_view {
    uint32_t struct_size;                /* set by the library */
    uint32_t cause;                      /* ANZ_CAUSE_* */
    anz_view_id_t id;                    /* equal ids = equal members, at every member */
    const anz_member_t *members;         /* everybody */
    size_t members_len;
    const anz_member_t *joined;          /* not in the view before */
    size_t joined_len;
    const anz_member_t *left;            /* in the view before, and gone */
    size_t left_len;
    /* virtual-synchrony set: came here with us from our last view; at our first view, us alone */
    const anz_member_t *together;
    size_t together_len;
    const uint32_t *vs_set;              /* per member: which set it came with; 0 = ours */
    const char *reason;                  /* who, why and on what evidence, in one sentence */
} anz_view_t;

/* One event of a session's ordered stream. */
typedef struct anz_event {
    /* set by the caller in element 0: also the array stride; anz_recv() fills it in in all */
    uint32_t struct_size;
    uint16_t type;                       /* ANZ_EV_* */
    uint16_t service;                    /* service level of a message */
    anz_status_t status;                 /* why, for events that end something */
    uint32_t flags;                      /* ANZ_EVF_* */
    /* NULL for session events, and for messages to this session alone */
    anz_group_t *group;
    void *group_user_data;               /* as given to anz_join() */
    anz_member_t sender;                 /* who sent the message */
    /* position of the message in its group's order within the view: 1, 2, 3 ..., the same number
     * at every member; 0 for unordered messages, unicast and other events. What came over a
     * bridge before is not given again, and its position is left out */
    uint64_t seq;
    /* own messages, receipts and replies: the tag given to the call */
    uint64_t tag;
    const void *data;                    /* valid until anz_release() */
    size_t len;
    const anz_view_t *view;              /* VIEW and TRANSITIONAL; valid until anz_release() */
    uint64_t token;                      /* opaque, for anz_release() */
    /* the domain that it is of, such as "default"; NULL for events of the whole session and
     * answers to anz_query(). Valid as long as data */
    const char *domain;
} anz_event_t;

/* What one member did with a message. */
typedef struct anz_receipt_member {
    anz_member_t member;
    uint32_t outcome;
    uint32_t reserved;
} anz_receipt_member_t;

/* Fate of one own message. Every accepted message with a non-zero tag ends in its own delivery
 * (unless ANZ_NO_SELF) or in one receipt with a status; ANZ_RECEIPT asks for one in any case. */
typedef struct anz_receipt {
    uint32_t struct_size;                /* set by the library */
    anz_status_t status;                 /* ANZ_OK, ANZ_EVIEW, ANZ_ELOST, ... */
    uint64_t tag;                        /* the message's */
    /* the view it was delivered in; all 0 until anz_has("receipts") */
    anz_view_id_t view;
    const anz_receipt_member_t *members; /* outcomes */
    size_t members_len;
} anz_receipt_t;

/* ---- library --------------------------------------------------------------------------------- */

/* The version of the C API in this library: ANZ_VERSION_NUM of its own header. MT-Safe AS-Safe
 * NB */
ANZ_API uint32_t anz_version_num(void);

/* "1.0.0" and, in brackets, the release. MT-Safe AS-Safe NB; static */
ANZ_API const char *anz_version_string(void);

/* MT-Safe NB; 1 if this library has the feature, else 0: "inproc", "shm", "embed" (an engine in
 * the caller's loop), "claim" (zero-copy send), "query", "unreliable", "unicast", "multi-group",
 * "same-view", "api-table", "loop-ops", "notify", "slow-policy" (session.slow_policy), "lag" (in
 * anz_conn_stats()), "priorities", "unix" and "tcp" (sessions over sockets), "async-signal-safe"
 * (what is tagged AS-Safe is so on this platform: x86-64), "domains" (a lane for each of them in
 * every session, and events that say of which they are); not built yet: "receipts" (of delivered
 * messages) */
ANZ_API int anz_has(const char *feature);

/* MT-Safe AS-Safe NB: "ANZ_EAGAIN"; static */
ANZ_API const char *anz_status_name(anz_status_t s);

/* MT-Safe AS-Safe NB; static text */
ANZ_API const char *anz_status_string(anz_status_t s);

/* MT-Safe NB; for dlopen users: one dlsym, then a size-prefixed table of everything, which only
 * grows at its end; static. NULL if this library is older than `min_version`, an ANZ_VERSION_NUM
 * (0: any), or has another major version. anasazi_dl.h does all of it */
ANZ_API const struct anz_api *anz_get_api(uint32_t min_version);

/* ---- configuration --------------------------------------------------------------------------- */

/* Settings are string keys with string values; OPERATIONS.md has them all. MT-Safe NB; *out is
 * set on success only */
ANZ_API anz_status_t anz_config_new(anz_config_t **out);

/* MT-Safe NB; what was made with it stays as it is */
ANZ_API void anz_config_free(anz_config_t *ANZ_NULLABLE cfg);

/* MT-Owner NB */
ANZ_API anz_status_t anz_config_set(anz_config_t *cfg, const char *key, const char *value,
                                    anz_error_t *ANZ_NULLABLE err);

/* MT-Owner BLK; a TOML file */
ANZ_API anz_status_t anz_config_load(anz_config_t *cfg, const char *path,
                                     anz_error_t *ANZ_NULLABLE err);

/* Log lines of the engine made with this configuration go to fn (NULL: nowhere) up to this level
 * (ANZ_LOG_*). Engines behind "inproc:" are shared and do not log. MT-Owner NB */
ANZ_API anz_status_t anz_config_set_log(anz_config_t *cfg, anz_log_fn fn, int level,
                                        void *user_data);

/* Level-2 embedding: engines made with this configuration have each of their sockets and their
 * timer watched by the host's own loop, which calls anz_engine_process_fd(). Both functions are
 * called on the thread that drives the engine: from anz_engine_new(), anz_engine_process_fd(),
 * anz_engine_connect() and anz_engine_free(). Engines behind "inproc:" have threads of their own
 * and do without. ANZ_EINVAL: a function is missing. MT-Owner NB */
ANZ_API anz_status_t anz_config_set_loop(anz_config_t *cfg, const anz_loop_ops_t *ops,
                                         void *user_data);

/* ---- engine: standalone, in your loop, or in its own thread ---------------------------------- */

/* Opens sockets and state; waits for the disk, and starts no thread but the one that
 * client.listen_streams takes, and one for each domain with turn.thread, which turns it while
 * nobody drives the engine, too. MT-Safe BLK; *out is set on success only */
ANZ_API anz_status_t anz_engine_new(const anz_config_t *ANZ_NULLABLE cfg, anz_engine_t **out,
                                    anz_error_t *ANZ_NULLABLE err);

/* Stops it if it runs, joins its thread, and gives everything back; its sessions close. A clean
 * leave takes up to a second, with client.listen_streams two. Where a loop was set, this is for
 * its thread. From within a callback of its own it waits for nothing: the engine ends once that
 * has returned, and logs no more. MT-Safe BLK */
ANZ_API void anz_engine_free(anz_engine_t *ANZ_NULLABLE e);

/* For your loop: watch this fd for readability, and call anz_engine_process() when it is
 * readable. MT-Safe NB; constant; POLLIN, level-triggered. ANZ_ESTATE where a loop was set */
ANZ_API int anz_engine_fd(const anz_engine_t *e);

/* MT-Owner NB; >0 more to do, 0 idle, <0 a status: ANZ_ECLOSED once it was stopped and has left,
 * ANZ_ESTATE where a loop was set. A budget of 0 is the default */
ANZ_API int anz_engine_process(anz_engine_t *e, uint32_t budget);

/* Level-2 embedding only, else ANZ_ESTATE: this fd of those to be watched is ready, or, with -1,
 * the timer has run out. One that is not watched any more does no harm. Results as those of
 * anz_engine_process(). MT-Owner NB */
ANZ_API int anz_engine_process_fd(anz_engine_t *e, int fd, uint32_t events);

/* As a daemon does: drives the engine until anz_engine_stop(). MT-Owner BLK; ANZ_ESTATE where a
 * loop was set */
ANZ_API anz_status_t anz_engine_run(anz_engine_t *e);

/* Drives the engine in a thread of its own, in which all signals are blocked. MT-Owner NB; once
 * per engine, then ANZ_ESTATE, as where a loop was set */
ANZ_API anz_status_t anz_engine_start_thread(anz_engine_t *e);

/* Asks for a clean leave; then anz_engine_run() returns, and anz_engine_process() gives
 * ANZ_ECLOSED. MT-Safe AS-Safe NB */
ANZ_API anz_status_t anz_engine_stop(anz_engine_t *e);

/* ---- sessions -------------------------------------------------------------------------------- */

/* URLs: "shm:/path.sock" shared memory to a local daemon; "unix:/path.sock" and
 * "tcp://host:port" sockets: the engine's client.listen_streams; "inproc:NAME" an engine of this
 * process, started in its own thread on first use and shared by everyone who names it, from C,
 * Python and Node alike. NULL: $ANASAZI_URL; else the local daemon's socket if it exists; else,
 * where a daemon is configured but not running, ANZ_ECONNREFUSED (never a silent private
 * cluster); else "inproc:default". Blocks at most `connect.timeout_ms` (5 s); with
 * `connect.async` it returns at once and RESUMED or CLOSED tells the rest. A session over shared
 * memory needs no thread: it makes progress in anz_recv(), behind its fd. One over a socket has
 * a thread of the library, which carries what the session says; what it has sent last may not
 * have left when the process ends. MT-Safe BLK; *out is set on success only */
ANZ_API anz_status_t anz_connect(const char *ANZ_NULLABLE url, const anz_config_t *ANZ_NULLABLE cfg,
                                 anz_conn_t **out, anz_error_t *ANZ_NULLABLE err);

/* A session with an engine of the caller's. If the caller's own thread is the one that drives
 * it, it is driven in here until it has answered. MT-Safe BLK; *out is set on success only */
ANZ_API anz_status_t anz_engine_connect(anz_engine_t *e, const anz_config_t *ANZ_NULLABLE cfg,
                                        anz_conn_t **out, anz_error_t *ANZ_NULLABLE err);

/* Leaves all groups, wakes waiters, and makes this handle and those of its groups stale;
 * retained messages stay. Borrowed events end here; still, they stay readable until they are
 * released, or until sixteen more sessions were closed like this one. MT-Safe NB */
ANZ_API anz_status_t anz_conn_close(anz_conn_t *ANZ_NULLABLE c);

/* readable <=> anz_recv() would make progress. MT-Safe NB; constant, and the library's to close */
ANZ_API int anz_conn_fd(const anz_conn_t *c);

/* This session's identity; a new one with every RESUMED; all 0 before the first connection.
 * MT-Safe NB */
ANZ_API anz_status_t anz_conn_self(const anz_conn_t *c, anz_member_t *out);

/* "node/session", for people: the node's number, and the session's within the present start of
 * its node, as in the reasons of views. 40 bytes are enough; ANZ_EINVAL if cap is not. MT-Safe
 * NB */
ANZ_API anz_status_t anz_member_name(const anz_conn_t *c, const anz_member_t *m, char *buf,
                                     size_t cap);

/* fn is called on a thread of the library each time that anz_recv() would make progress again,
 * and once now if it would: receive until 0, or there may be no next time. It may call AS-Safe
 * functions only; anz_conn_wake() ends another thread's wait. NULL: no more. When this returns,
 * no former call is under way: it waits for one that is, and anz_conn_close() does not, so set
 * NULL before what fn uses goes away. Now and then there is nothing. ANZ_EBUSY from within fn.
 * MT-Owner BLK */
ANZ_API anz_status_t anz_conn_set_notify(anz_conn_t *c, void (*fn)(void *user_data),
                                                                   void *user_data);

/* Until anz_recv() would make progress. MT-Safe BLK; CLOCK_MONOTONIC, -1 = for ever; OK,
 * ANZ_ETIMEDOUT, ANZ_EINTR */
ANZ_API anz_status_t anz_conn_wait(anz_conn_t *c, int64_t deadline_ns);

/* Ends another thread's wait, or the next one. MT-Safe AS-Safe NB */
ANZ_API anz_status_t anz_conn_wake(anz_conn_t *c);

/* MT-Safe NB; the caller sets struct_size; a library that knows less fills the rest with 0 */
ANZ_API anz_status_t anz_conn_stats(anz_conn_t *c, anz_conn_stats_t *out);

/* ---- groups ---------------------------------------------------------------------------------- */

/* "name" is in the default domain, "domain/name" in that sub-EVS domain, if the engine has it,
 * else ANZ_EV_LEFT says which it has; 1 to 255 bytes of UTF-8 in all. Each domain has a lane of
 * its own: a connection of this session with its own rings, so that a domain that takes nothing,
 * or whose messages are not read, fills that lane and no other. The first group of another
 * domain than "default" has anz_recv() make it: until then there is no room to send there, then
 * ANZ_EV_WRITABLE comes. A lane that the engine refuses, or ends as not read fast enough, ends
 * the groups of its domain alone: ANZ_EV_LEFT. MT-Safe NB; done at the VIEW that has you; twice:
 * ANZ_EEXIST */
ANZ_API anz_status_t anz_join(anz_conn_t *c, const char *name, uint32_t flags, void *user_data,
                              anz_group_t **out);

/* MT-Safe NB; done at ANZ_EV_LEFT */
ANZ_API anz_status_t anz_leave(anz_group_t *g);

/* an address for one member: unicast, ordered with everything else in the domain, such as
 * "default". Its ANZ_EV_MESSAGE there has no group. Who is in no group of the domain where a
 * message is reached does not get it: then the sender's ANZ_EV_RECEIPT says ANZ_ENOTMEMBER, else
 * ANZ_OK. No such domain at the engine: ANZ_EV_LEFT says which it has. MT-Safe NB; twice:
 * ANZ_EEXIST */
ANZ_API anz_status_t anz_peer(anz_conn_t *c, const char *domain, anz_member_t to,
                              anz_group_t **out);

/* 256 bytes are enough; ANZ_EINVAL if cap is not. Works until the anz_recv() after ANZ_EV_LEFT.
 * MT-Safe NB */
ANZ_API anz_status_t anz_group_name(const anz_group_t *g, char *buf, size_t cap);

/* Until there is room to send; as it receives nothing, it makes no lane. BLK, MT-Safe;
 * CLOCK_MONOTONIC, -1 = for ever; OK, ANZ_ETIMEDOUT, ANZ_EINTR */
ANZ_API anz_status_t anz_group_wait_writable(anz_group_t *g, int64_t deadline_ns);

/* ---- send: MT-Safe AS-Safe NB, preserves errno ----------------------------------------------- */

/* The message is copied. MT-Safe AS-Safe NB, preserves errno */
ANZ_API ANZ_MUST_USE anz_status_t anz_mcast(anz_group_t *g, uint32_t service, const void *data,
                                            size_t len, uint64_t tag);

/* As anz_mcast(), from pieces. MT-Safe AS-Safe NB, preserves errno */
ANZ_API ANZ_MUST_USE anz_status_t anz_mcastv(anz_group_t *g, uint32_t service, const anz_iov_t *iov,
                                             size_t n, uint64_t tag);

/* one domain; delivered once to each session that is in any of the groups, ordered across them.
 * All are groups of one session and one domain, none twice, at most 64, else ANZ_EINVAL;
 * ANZ_EAGAIN is answered by the ANZ_EV_WRITABLE of the one that had no room. MT-Safe AS-Safe NB,
 * preserves errno */
ANZ_API ANZ_MUST_USE anz_status_t anz_mcast_groups(anz_group_t *const *groups, size_t n,
                                                   uint32_t service, const void *data, size_t len,
                                                   uint64_t tag);

/* Zero-copy send: room for a message in the ring. What is claimed or sent later on this session
 * waits for its anz_commit() or anz_abort(). MT-Safe AS-Safe NB, preserves errno */
ANZ_API ANZ_MUST_USE anz_status_t anz_claim(anz_group_t *g, size_t len, anz_claim_t *out);

/* Ends the claim, unless it gives ANZ_EINVAL. MT-Safe AS-Safe NB, preserves errno */
ANZ_API anz_status_t anz_commit(anz_group_t *g, anz_claim_t *c, uint32_t service, uint64_t tag);

/* Ends the claim. MT-Safe AS-Safe NB, preserves errno */
ANZ_API void anz_abort(anz_group_t *g, anz_claim_t *c);

/* ---- receive --------------------------------------------------------------------------------- */

/* One ordered stream of messages AND views per session and domain: those of several domains come
 * a few of each in turn. It makes the session's lane of a domain when the first group there was
 * joined. The caller sets struct_size in element 0. Events are borrowed until anz_release().
 * MT-Owner NB; n>0 events, 0 none, <0 a status: ANZ_ECLOSED after the last one */
ANZ_API int anz_recv(anz_conn_t *c, anz_event_t *events, size_t max);

/* Gives events back. MT-Safe NB, in any order; what is not held is ignored */
ANZ_API anz_status_t anz_release(anz_conn_t *c, const anz_event_t *events, size_t n);

/* Own groups that a message was sent to: how many, and up to max of them in out. For an event
 * that is not released yet. MT-Safe NB */
ANZ_API size_t anz_event_groups(const anz_event_t *ev, anz_group_t **out, size_t max);

/* An own copy of an event's data, for any thread, beyond any release and any close. MT-Safe NB */
ANZ_API anz_status_t anz_msg_retain(const anz_event_t *ev, anz_msg_t **out);

/* MT-Safe NB; valid until released, beyond any close; NULL for a stale handle */
ANZ_API const void *anz_msg_data(const anz_msg_t *m, size_t *len);

/* MT-Safe NB: any thread */
ANZ_API void anz_msg_release(anz_msg_t *ANZ_NULLABLE m);

/* ---- introspection and administration -------------------------------------------------------- */

/* A JSON request, answered by ANZ_EV_REPLY parts with the same tag. MT-Safe NB */
ANZ_API anz_status_t anz_query(anz_conn_t *c, const char *json, size_t len, uint64_t tag);

/* ---- the table of anz_get_api() -------------------------------------------------------------- */

/* What anz_get_api() gives: its own size, then everything, each function under its name without
 * anz_. It only grows at its end. */
struct anz_api {
    /* of the library's table: what is beyond it is not there */
    uint32_t struct_size;
    uint32_t version;                    /* anz_version_num() */
    uint32_t (*version_num)(void);
    const char *(*version_string)(void);
    int (*has)(const char *feature);
    const char *(*status_name)(anz_status_t s);
    const char *(*status_string)(anz_status_t s);
    anz_status_t (*config_new)(anz_config_t **out);
    void (*config_free)(anz_config_t *ANZ_NULLABLE cfg);
    anz_status_t (*config_set)(anz_config_t *cfg, const char *key, const char *value,
        anz_error_t *ANZ_NULLABLE err);
    anz_status_t (*config_load)(anz_config_t *cfg, const char *path, anz_error_t *ANZ_NULLABLE err);
    anz_status_t (*config_set_log)(anz_config_t *cfg, anz_log_fn fn, int level, void *user_data);
    anz_status_t (*config_set_loop)(anz_config_t *cfg, const anz_loop_ops_t *ops, void *user_data);
    anz_status_t (*engine_new)(const anz_config_t *ANZ_NULLABLE cfg, anz_engine_t **out,
        anz_error_t *ANZ_NULLABLE err);
    void (*engine_free)(anz_engine_t *ANZ_NULLABLE e);
    int (*engine_fd)(const anz_engine_t *e);
    int (*engine_process)(anz_engine_t *e, uint32_t budget);
    int (*engine_process_fd)(anz_engine_t *e, int fd, uint32_t events);
    anz_status_t (*engine_run)(anz_engine_t *e);
    anz_status_t (*engine_start_thread)(anz_engine_t *e);
    anz_status_t (*engine_stop)(anz_engine_t *e);
    anz_status_t (*connect)(const char *ANZ_NULLABLE url, const anz_config_t *ANZ_NULLABLE cfg,
        anz_conn_t **out, anz_error_t *ANZ_NULLABLE err);
    anz_status_t (*engine_connect)(anz_engine_t *e, const anz_config_t *ANZ_NULLABLE cfg,
        anz_conn_t **out, anz_error_t *ANZ_NULLABLE err);
    anz_status_t (*conn_close)(anz_conn_t *ANZ_NULLABLE c);
    int (*conn_fd)(const anz_conn_t *c);
    anz_status_t (*conn_self)(const anz_conn_t *c, anz_member_t *out);
    anz_status_t (*member_name)(const anz_conn_t *c, const anz_member_t *m, char *buf, size_t cap);
    anz_status_t (*conn_set_notify)(anz_conn_t *c, void (*fn)(void *user_data), void *user_data);
    anz_status_t (*conn_wait)(anz_conn_t *c, int64_t deadline_ns);
    anz_status_t (*conn_wake)(anz_conn_t *c);
    anz_status_t (*conn_stats)(anz_conn_t *c, anz_conn_stats_t *out);
    anz_status_t (*join)(anz_conn_t *c, const char *name, uint32_t flags, void *user_data,
        anz_group_t **out);
    anz_status_t (*leave)(anz_group_t *g);
    anz_status_t (*peer)(anz_conn_t *c, const char *domain, anz_member_t to, anz_group_t **out);
    anz_status_t (*group_name)(const anz_group_t *g, char *buf, size_t cap);
    anz_status_t (*group_wait_writable)(anz_group_t *g, int64_t deadline_ns);
    anz_status_t (*mcast)(anz_group_t *g, uint32_t service, const void *data, size_t len,
        uint64_t tag);
    anz_status_t (*mcastv)(anz_group_t *g, uint32_t service, const anz_iov_t *iov, size_t n,
        uint64_t tag);
    anz_status_t (*mcast_groups)(anz_group_t *const *groups, size_t n, uint32_t service,
        const void *data, size_t len, uint64_t tag);
    anz_status_t (*claim)(anz_group_t *g, size_t len, anz_claim_t *out);
    anz_status_t (*commit)(anz_group_t *g, anz_claim_t *c, uint32_t service, uint64_t tag);
    void (*abort)(anz_group_t *g, anz_claim_t *c);
    int (*recv)(anz_conn_t *c, anz_event_t *events, size_t max);
    anz_status_t (*release)(anz_conn_t *c, const anz_event_t *events, size_t n);
    size_t (*event_groups)(const anz_event_t *ev, anz_group_t **out, size_t max);
    anz_status_t (*msg_retain)(const anz_event_t *ev, anz_msg_t **out);
    const void *(*msg_data)(const anz_msg_t *m, size_t *len);
    void (*msg_release)(anz_msg_t *ANZ_NULLABLE m);
    anz_status_t (*query)(anz_conn_t *c, const char *json, size_t len, uint64_t tag);
};

#ifdef __cplusplus
}
#endif
#if defined(__clang__)
#  pragma clang diagnostic pop
#endif
#endif /* ANASAZI_H */
