/* A member of a group, for the demo: joins, sends when told to, and keeps for every view how many
 * messages it delivered in it and a hash over their order.
 *
 *   member --group NAME --name LABEL --url shm:/path.sock      engine: a daemon of this host
 *   member --group NAME --name LABEL --engine FILE.toml        engine: in a thread of this program
 *
 * Commands, one a line, on standard input: "send N" (N messages, every second one safe),
 * "stream N" (N a second, until "stop"), "report", "quit". On standard output: one JSON object a
 * line, with CLOCK_MONOTONIC times in nanoseconds. Exit status: 0, or 1 with a line on stderr. */
#include <anasazi.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 64, ROUNDS_MAX = 16, BURST_MAX = 64 };
enum { MESSAGE_LEN_MIN = 48, COMMAND_LEN_MAX = 256 };

struct view_sum {                  /* what was delivered in one view */
    anz_view_id_t id;
    uint64_t count, hash;
};

static const char *group_name, *label, *url, *engine_file;
static anz_engine_t *engine;
static anz_conn_t *conn;
static anz_group_t *group;
static struct view_sum current;
static int in_view;                /* there has been a view on this connection */
static uint64_t to_send;           /* of the "send" under way */
static uint64_t stream_per_s, stream_start_ns, stream_done;
static uint64_t sent, settled, lost, lost_up_to, delivered;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "member %s: ", label ? label : "?");
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* FNV-1a: any difference in sender, number or content, or in their order, changes it. */
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t len) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++) hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static void print_text(const char *text) {
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') printf("\\%c", c);
        else if (c < 0x20) printf("\\u%04x", c);
        else putchar(c);
    }
    putchar('"');
}

static void print_members(const char *key, const anz_member_t *members, size_t len) {
    printf(",\"%s\":[", key);
    for (size_t i = 0; i < len; i++)
        printf("%s\"%" PRIu64 "/%" PRIx64 "\"", i ? "," : "", members[i].node, members[i].session);
    putchar(']');
}

static void print_view_id(const anz_view_id_t *id) {
    printf("\"%" PRIu64 "@%" PRIu64 ".%" PRIx64 ":%" PRIu64 ".%" PRIu32 "\"", id->ring_seq,
           id->ring_rep, id->ring_incarnation, id->ordinal, id->sub);
}

/* Begins an object; end_line() ends it. */
static void begin_line(const char *event) {
    printf("{\"event\":\"%s\",\"t\":%" PRIu64, event, now_ns());
}

static void end_line(void) {
    puts("}");
    fflush(stdout);
}

static void print_self(void) {
    anz_member_t self;
    if (anz_conn_self(conn, &self) == ANZ_OK) print_members("self", &self, 1);
}

static void print_sum(const char *key) {
    if (!in_view) return;
    printf(",\"%s\":{\"id\":", key);
    print_view_id(&current.id);
    printf(",\"count\":%" PRIu64 ",\"hash\":\"%016" PRIx64 "\"}", current.count, current.hash);
}

static void on_view(const anz_view_t *view) {
    static const char *const causes[] = {"?",       "join",  "leave",   "disconnect",
                                         "network", "merge", "demoted", "removed"};
    begin_line("view");
    print_sum("before");
    printf(",\"id\":");
    print_view_id(&view->id);
    printf(",\"cause\":\"%s\",\"reason\":", view->cause < 8 ? causes[view->cause] : "?");
    print_text(view->reason ? view->reason : "");
    print_members("members", view->members, view->members_len);
    print_members("joined", view->joined, view->joined_len);
    print_members("left", view->left, view->left_len);
    print_members("together", view->together, view->together_len);
    end_line();
    current = (struct view_sum){view->id, 0, UINT64_C(0xcbf29ce484222325)};
    in_view = 1;
}

static void on_message(const anz_event_t *event) {
    anz_member_t self;
    current.count++;
    current.hash = hash_bytes(current.hash, &event->sender, sizeof event->sender);
    current.hash = hash_bytes(current.hash, &event->seq, sizeof event->seq);
    current.hash = hash_bytes(current.hash, event->data, event->len);
    delivered++;
    if (event->tag && anz_conn_self(conn, &self) == ANZ_OK && self.node == event->sender.node
        && self.session == event->sender.session)
        settled++;
    if (delivered % 1000 == 0) {
        begin_line("progress");
        printf(",\"delivered\":%" PRIu64, delivered);
        end_line();
    }
}

static void on_event(const anz_event_t *event) {
    switch (event->type) {
    case ANZ_EV_MESSAGE: on_message(event); break;
    case ANZ_EV_VIEW: on_view(event->view); break;
    case ANZ_EV_TRANSITIONAL: break; /* what follows still belongs to the view that ends */
    case ANZ_EV_RECEIPT:
        if (event->tag <= lost_up_to) break;
        settled++;
        lost += event->status != ANZ_OK;
        break;
    case ANZ_EV_SUSPENDED: /* what the engine had not delivered here is gone with it */
        lost += sent - settled;
        lost_up_to = settled = sent;
        begin_line("suspended");
        print_sum("before");
        end_line();
        in_view = 0;
        break;
    case ANZ_EV_RESUMED:
        begin_line("resumed");
        print_self();
        end_line();
        break;
    case ANZ_EV_LEFT:
        if (event->status != ANZ_OK)
            fail("the membership ended: %s: %.*s", anz_status_name(event->status), (int)event->len,
                 event->len ? (const char *)event->data : "");
        break;
    case ANZ_EV_CLOSED: fail("the session ended: %s", anz_status_string(event->status)); break;
    default: break;
    }
}

/* What is there, but not for ever: the descriptor stays readable while there is more. */
static void receive_some(void) {
    anz_event_t events[EVENTS_MAX];
    int got = 1;
    for (int i = 0; i < ROUNDS_MAX && got > 0; i++) {
        events[0].struct_size = sizeof events[0];
        got = anz_recv(conn, events, EVENTS_MAX);
        for (int k = 0; k < got; k++) on_event(&events[k]);
        if (got > 0) anz_release(conn, events, (size_t)got);
    }
    if (got < 0) fail("receiving: %s", anz_status_string(got));
}

/* 1 if there is room for more. */
static int send_one(void) {
    char text[MESSAGE_LEN_MIN + 256];
    int len = snprintf(text, sizeof text, "%s %" PRIu64 " ", label, sent + 1);
    size_t full_len = MESSAGE_LEN_MIN + sent * 37 % 200;
    uint32_t service = sent % 2 ? ANZ_SAFE : ANZ_AGREED;
    memset(text + len, '.', full_len - (size_t)len);
    anz_status_t status = anz_mcast(group, service, text, full_len, sent + 1);
    if (status == ANZ_EAGAIN) return 0; /* ANZ_EV_WRITABLE makes the descriptor readable */
    if (status != ANZ_OK) fail("sending: %s", anz_status_string(status));
    sent++;
    return 1;
}

static uint64_t stream_due(void) {
    if (!stream_per_s) return 0;
    uint64_t due = (now_ns() - stream_start_ns) * stream_per_s / 1000000000u;
    return due > stream_done ? due - stream_done : 0;
}

/* Sends a burst. 1 if more could be sent at once. */
static int send_some(void) {
    if (!in_view) return 0;
    for (int i = 0; i < BURST_MAX; i++) {
        if (to_send) {
            if (!send_one()) return 0;
            to_send--;
        } else if (stream_due()) {
            if (!send_one()) return 0;
            stream_done++;
        } else {
            return 0;
        }
    }
    return 1;
}

static void report(void) {
    begin_line("report");
    print_self();
    print_sum("view");
    printf(",\"sent\":%" PRIu64 ",\"waiting\":%" PRIu64 ",\"settled\":%" PRIu64 ",\"lost\":%" PRIu64
           ",\"delivered\":%" PRIu64,
           sent, to_send, settled, lost, delivered);
    end_line();
}

/* 0 after "quit". */
static int obey(const char *command) {
    if (!strncmp(command, "send ", 5)) {
        to_send += strtoull(command + 5, NULL, 10);
    } else if (!strncmp(command, "stream ", 7)) {
        stream_per_s = strtoull(command + 7, NULL, 10);
        stream_start_ns = now_ns();
        stream_done = 0;
    } else if (!strcmp(command, "stop")) {
        stream_per_s = 0;
    } else if (!strcmp(command, "report")) {
        report();
    } else if (!strcmp(command, "quit")) {
        return 0;
    } else {
        fail("unknown command: %s", command);
    }
    return 1;
}

/* 0 after "quit", or when whoever gives commands is gone. */
static int read_commands(void) {
    static char text[COMMAND_LEN_MAX];
    static size_t len;
    ssize_t got = read(STDIN_FILENO, text + len, sizeof text - 1 - len);
    if (got < 0 && errno == EINTR) return 1;
    if (got <= 0) return 0;
    len += (size_t)got;
    text[len] = 0;
    for (char *end; (end = strchr(text, '\n'));) {
        *end = 0;
        if (!obey(text)) return 0;
        len -= (size_t)(end + 1 - text);
        memmove(text, end + 1, len + 1);
    }
    if (len == sizeof text - 1) fail("a command is too long");
    return 1;
}

/* What the engine in this program has to say; only calls that a signal handler may make. */
static void log_line(void *unused, int level, const char *part, const char *text, size_t len) {
    char number = (char)('0' + level);
    struct iovec pieces[] = {{&number, 1},       {" ", 1}, {(void *)part, strlen(part)}, {": ", 2},
                             {(void *)text, len}, {"\n", 1}};
    ssize_t ignored = writev(STDERR_FILENO, pieces, sizeof pieces / sizeof *pieces);
    (void)ignored;
    (void)unused;
}

static void open_session(void) {
    anz_error_t error = {.struct_size = sizeof error};
    anz_config_t *config = NULL;
    if (!engine_file) {
        if (anz_connect(url, NULL, &conn, &error) != ANZ_OK) fail("%s", error.message);
        return;
    }
    if (anz_config_new(&config) != ANZ_OK) fail("no memory");
    anz_config_set_log(config, log_line, ANZ_LOG_INFO, NULL);
    if (anz_config_load(config, engine_file, &error) != ANZ_OK
        || anz_engine_new(config, &engine, &error) != ANZ_OK)
        fail("%s", error.message);
    if (anz_engine_start_thread(engine) != ANZ_OK) fail("the engine's thread does not start");
    if (anz_engine_connect(engine, config, &conn, &error) != ANZ_OK) fail("%s", error.message);
    anz_config_free(config);
}

static void read_arguments(int count, char **arguments) {
    for (int i = 1; i + 1 < count; i += 2) {
        if (!strcmp(arguments[i], "--group")) group_name = arguments[i + 1];
        else if (!strcmp(arguments[i], "--name")) label = arguments[i + 1];
        else if (!strcmp(arguments[i], "--url")) url = arguments[i + 1];
        else if (!strcmp(arguments[i], "--engine")) engine_file = arguments[i + 1];
        else fail("unknown option %s", arguments[i]);
    }
    if (!group_name || !label || !url == !engine_file)
        fail("usage: --group NAME --name LABEL (--url URL | --engine FILE.toml)");
    if (strlen(label) > 16) fail("--name: at most 16 bytes");
}

int main(int count, char **arguments) {
    read_arguments(count, arguments);
    open_session();
    if (anz_join(conn, group_name, 0, NULL, &group) != ANZ_OK) fail("cannot join %s", group_name);
    begin_line("ready");
    print_self();
    end_line();
    for (int goes_on = 1; goes_on;) {
        int more = send_some();
        struct pollfd fds[2] = {{.fd = anz_conn_fd(conn), .events = POLLIN},
                                {.fd = STDIN_FILENO, .events = POLLIN}};
        /* A stream sends a few messages every millisecond. */
        if (poll(fds, 2, more ? 0 : stream_per_s ? 1 : -1) < 0 && errno != EINTR)
            fail("poll: %s", strerror(errno));
        if (fds[0].revents) receive_some();
        if (fds[1].revents) goes_on = read_commands();
    }
    anz_conn_close(conn);
    anz_engine_free(engine);
    return 0;
}
