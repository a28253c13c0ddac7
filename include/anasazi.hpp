// The C interface with destructors: header only, C++17, nothing of its own in any library. Names,
// meaning and safety are those of anasazi.h, whose comments hold here too; what may fail throws
// anasazi::error, except where a status is part of ordinary life and is returned.
//
//     anasazi::session session = anasazi::session::connect();
//     anasazi::group group = session.join("room");
//     (void)group.mcast("hello");
//     for (;;) {
//         (void)session.wait();
//         for (const anz_event_t &ev : session.receive())
//             if (ev.type == ANZ_EV_MESSAGE)
//                 std::cout << anasazi::bytes(ev) << '\n';
//     }
//
// Sends, claims, stop() and wake() may be called from signal handlers: they are noexcept and only
// pass on what they get.
#ifndef ANASAZI_HPP
#define ANASAZI_HPP
#include <anasazi.h>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace anasazi {

// What went wrong: the status, and in words what failed, on what, why, and what to do.
class error : public std::runtime_error {
public:
    error(anz_status_t code, const std::string &words, std::uint32_t flags = 0)
        : std::runtime_error(words), code_(code), flags_(flags)
    {
    }
    explicit error(const anz_error_t &why)
        : error(why.code, std::string(anz_status_name(why.code)) + ": " + why.message, why.flags)
    {
    }

    anz_status_t code() const noexcept { return code_; }
    const char *name() const noexcept { return anz_status_name(code_); }
    bool is_retryable() const noexcept { return (flags_ & ANZ_ERR_F_RETRYABLE) != 0; }
    bool is_fatal() const noexcept { return (flags_ & ANZ_ERR_F_FATAL) != 0; }

private:
    anz_status_t code_;
    std::uint32_t flags_;
};

// Throws unless the status is ANZ_OK.
inline void check(anz_status_t status, const char *what)
{
    if (status != ANZ_OK)
        throw error(status, std::string(what) + ": " + anz_status_string(status));
}

namespace detail {
inline anz_error_t no_error() noexcept
{
    anz_error_t why{};
    why.struct_size = sizeof why;
    return why;
}

// A handle with one owner.
template <class T, void (*release)(T *)> class owned {
public:
    owned() noexcept = default;
    explicit owned(T *raw) noexcept : raw_(raw) {}
    owned(owned &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    owned &operator=(owned &&other) noexcept
    {
        if (this != &other) {
            reset();
            raw_ = std::exchange(other.raw_, nullptr);
        }
        return *this;
    }
    ~owned() { reset(); }

    void reset() noexcept
    {
        if (raw_ != nullptr)
            release(std::exchange(raw_, nullptr));
    }
    // The C handle, for calls that have no method here.
    T *get() const noexcept { return raw_; }

private:
    T *raw_ = nullptr;
};

inline void close(anz_conn_t *conn) { (void)anz_conn_close(conn); }
inline void free(anz_engine_t *engine) { anz_engine_free(engine); }
inline void free(anz_config_t *config) { anz_config_free(config); }
inline void release(anz_msg_t *message) { anz_msg_release(message); }
} // namespace detail

// The data of an event, valid until that is released.
inline std::string_view bytes(const anz_event_t &ev) noexcept
{
    return {static_cast<const char *>(ev.data), ev.len};
}

// Settings: string keys with string values.
class config : public detail::owned<anz_config_t, detail::free> {
public:
    config() : owned(made()) {}

    config &set(const std::string &key, const std::string &value)
    {
        anz_error_t why = detail::no_error();
        if (anz_config_set(get(), key.c_str(), value.c_str(), &why) != ANZ_OK)
            throw error(why);
        return *this;
    }

    config &load(const std::string &path)
    {
        anz_error_t why = detail::no_error();
        if (anz_config_load(get(), path.c_str(), &why) != ANZ_OK)
            throw error(why);
        return *this;
    }

    config &set_log(anz_log_fn fn, int level, void *user_data = nullptr)
    {
        check(anz_config_set_log(get(), fn, level, user_data), "anz_config_set_log");
        return *this;
    }

private:
    static anz_config_t *made()
    {
        anz_config_t *out = nullptr;
        check(anz_config_new(&out), "anz_config_new");
        return out;
    }
};

// An own copy of an event's data, for any thread, beyond any release and any close.
class message : public detail::owned<anz_msg_t, detail::release> {
public:
    explicit message(const anz_event_t &ev) : owned(retained(ev)) {}

    std::string_view bytes() const noexcept
    {
        std::size_t len = 0;
        const void *data = anz_msg_data(get(), &len);
        return {static_cast<const char *>(data), len};
    }

private:
    static anz_msg_t *retained(const anz_event_t &ev)
    {
        anz_msg_t *out = nullptr;
        check(anz_msg_retain(&ev, &out), "anz_msg_retain");
        return out;
    }
};

// Room in the ring for a message: aborted unless it was committed. What is sent later on this
// session waits for either.
class claim {
public:
    claim(anz_group_t *group, const anz_claim_t &raw) noexcept : group_(group), raw_(raw) {}
    claim(claim &&other) noexcept : group_(std::exchange(other.group_, nullptr)), raw_(other.raw_)
    {
    }
    claim &operator=(claim &&) = delete;
    ~claim() { abort(); }

    char *data() const noexcept { return static_cast<char *>(raw_.data); }
    std::size_t size() const noexcept { return raw_.len; }
    // Whether there is one: there was room, and it was neither committed nor aborted.
    explicit operator bool() const noexcept { return group_ != nullptr; }

    anz_status_t commit(std::uint32_t service = ANZ_AGREED, std::uint64_t tag = 0) noexcept
    {
        anz_group_t *group = std::exchange(group_, nullptr);
        anz_status_t status = ANZ_EINVAL;
        if (group != nullptr)
            status = anz_commit(group, &raw_, service, tag);
        if (status == ANZ_EINVAL)
            group_ = group; /* it is still open */
        return status;
    }

    void abort() noexcept
    {
        if (group_ != nullptr)
            anz_abort(std::exchange(group_, nullptr), &raw_);
    }

private:
    anz_group_t *group_;
    anz_claim_t raw_;
};

// A group of a session, or an address in it. It owns nothing: a membership lasts until leave(), or
// the session's end, and then the handle is stale (ANZ_ECLOSED).
class group {
public:
    group() noexcept = default;
    explicit group(anz_group_t *raw) noexcept : raw_(raw) {}

    anz_group_t *get() const noexcept { return raw_; }
    friend bool operator==(group a, group b) noexcept { return a.raw_ == b.raw_; }
    friend bool operator!=(group a, group b) noexcept { return a.raw_ != b.raw_; }

    [[nodiscard]] anz_status_t mcast(std::string_view bytes, std::uint32_t service = ANZ_AGREED,
                                     std::uint64_t tag = 0) const noexcept
    {
        return anz_mcast(raw_, service, bytes.data(), bytes.size(), tag);
    }

    [[nodiscard]] anz_status_t mcastv(const anz_iov_t *parts, std::size_t n,
                                      std::uint32_t service = ANZ_AGREED,
                                      std::uint64_t tag = 0) const noexcept
    {
        return anz_mcastv(raw_, service, parts, n, tag);
    }

    // False, with the status in `why`, if there is no room or no such group.
    [[nodiscard]] class claim claim(std::size_t len, anz_status_t *why = nullptr) const noexcept
    {
        anz_claim_t raw{};
        anz_status_t status = anz_claim(raw_, len, &raw);
        if (why != nullptr)
            *why = status;
        return {status == ANZ_OK ? raw_ : nullptr, raw};
    }

    // Until there is room to send; false when the time was over, or a signal came.
    bool wait_writable(std::int64_t deadline_ns = -1) const
    {
        anz_status_t status = anz_group_wait_writable(raw_, deadline_ns);
        if (status != ANZ_ETIMEDOUT && status != ANZ_EINTR)
            check(status, "anz_group_wait_writable");
        return status == ANZ_OK;
    }

    void leave() const { check(anz_leave(raw_), "anz_leave"); }

    std::string name() const
    {
        char text[256];
        check(anz_group_name(raw_, text, sizeof text), "anz_group_name");
        return text;
    }

private:
    anz_group_t *raw_ = nullptr;
};

// Several groups of one session, for one message.
[[nodiscard]] inline anz_status_t mcast(const group *groups, std::size_t n, std::string_view bytes,
                                        std::uint32_t service = ANZ_AGREED,
                                        std::uint64_t tag = 0) noexcept
{
    static_assert(sizeof(group) == sizeof(anz_group_t *), "an array of groups is one of handles");
    auto raw = reinterpret_cast<anz_group_t *const *>(groups);
    return anz_mcast_groups(raw, n, service, bytes.data(), bytes.size(), tag);
}

// Events of one anz_recv(), given back when this goes.
class events {
public:
    events(anz_conn_t *conn, std::size_t max) : conn_(conn), list_(max)
    {
        if (max > 0)
            list_[0].struct_size = sizeof(anz_event_t);
        int n = anz_recv(conn, list_.data(), max);
        is_over_ = n == ANZ_ECLOSED;
        if (n < 0 && !is_over_)
            check(n, "anz_recv");
        list_.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    }
    events(events &&other) noexcept
        : conn_(other.conn_), list_(std::move(other.list_)), is_over_(other.is_over_)
    {
        other.list_.clear();
    }
    events &operator=(events &&) = delete;
    ~events()
    {
        if (!list_.empty())
            (void)anz_release(conn_, list_.data(), list_.size());
    }

    auto begin() const noexcept { return list_.begin(); }
    auto end() const noexcept { return list_.end(); }
    std::size_t size() const noexcept { return list_.size(); }
    bool empty() const noexcept { return list_.empty(); }
    // The last event was given out before.
    bool is_over() const noexcept { return is_over_; }

private:
    anz_conn_t *conn_;
    std::vector<anz_event_t> list_;
    bool is_over_ = false;
};

// A session with an engine, closed when this goes.
class session : public detail::owned<anz_conn_t, detail::close> {
public:
    using owned::owned;

    // An empty url is NULL: $ANASAZI_URL, or the local daemon, or an engine of this process.
    static session connect(const std::string &url = {}, const config *settings = nullptr)
    {
        anz_error_t why = detail::no_error();
        anz_conn_t *out = nullptr;
        const char *where = url.empty() ? nullptr : url.c_str();
        const anz_config_t *how = settings != nullptr ? settings->get() : nullptr;
        if (anz_connect(where, how, &out, &why) != ANZ_OK)
            throw error(why);
        return session(out);
    }

    group join(const std::string &name, std::uint32_t flags = 0, void *user_data = nullptr) const
    {
        anz_group_t *out = nullptr;
        check(anz_join(get(), name.c_str(), flags, user_data, &out), "anz_join");
        return group(out);
    }

    group peer(anz_member_t to, const std::string &domain = "default") const
    {
        anz_group_t *out = nullptr;
        check(anz_peer(get(), domain.c_str(), to, &out), "anz_peer");
        return group(out);
    }

    // What there is to receive now, at most `max` events; never blocks.
    events receive(std::size_t max = 64) const { return {get(), max}; }

    // Until there is something to receive: false when the time was over, when a signal came or
    // wake() was called.
    bool wait(std::int64_t deadline_ns = -1) const
    {
        anz_status_t status = anz_conn_wait(get(), deadline_ns);
        if (status != ANZ_ETIMEDOUT && status != ANZ_EINTR)
            check(status, "anz_conn_wait");
        return status == ANZ_OK;
    }

    anz_status_t wake() const noexcept { return anz_conn_wake(get()); }

    // Readable when receive() would make progress.
    int fd() const
    {
        int fd = anz_conn_fd(get());
        check(fd < 0 ? fd : ANZ_OK, "anz_conn_fd");
        return fd;
    }

    anz_member_t self() const
    {
        anz_member_t out{};
        check(anz_conn_self(get(), &out), "anz_conn_self");
        return out;
    }

    std::string name(const anz_member_t &member) const
    {
        char text[40];
        check(anz_member_name(get(), &member, text, sizeof text), "anz_member_name");
        return text;
    }

    anz_conn_stats_t stats() const
    {
        anz_conn_stats_t out{};
        out.struct_size = sizeof out;
        check(anz_conn_stats(get(), &out), "anz_conn_stats");
        return out;
    }

    void query(std::string_view json, std::uint64_t tag) const
    {
        check(anz_query(get(), json.data(), json.size(), tag), "anz_query");
    }
};

// A whole engine; when this goes it leaves, which may take up to a second.
class engine : public detail::owned<anz_engine_t, detail::free> {
public:
    explicit engine(const config *settings = nullptr) : owned(made(settings)) {}

    // For a loop of the caller's: watch it for readability, and call process().
    int fd() const
    {
        int fd = anz_engine_fd(get());
        check(fd < 0 ? fd : ANZ_OK, "anz_engine_fd");
        return fd;
    }

    // True: there is more to do. ANZ_ECLOSED, thrown, once it was stopped and has left.
    bool process(std::uint32_t budget = 0) const
    {
        int more = anz_engine_process(get(), budget);
        check(more < 0 ? more : ANZ_OK, "anz_engine_process");
        return more > 0;
    }

    void run() const { check(anz_engine_run(get()), "anz_engine_run"); }
    void start_thread() const { check(anz_engine_start_thread(get()), "anz_engine_start_thread"); }
    anz_status_t stop() const noexcept { return anz_engine_stop(get()); }

    session connect(const config *settings = nullptr) const
    {
        anz_error_t why = detail::no_error();
        anz_conn_t *out = nullptr;
        const anz_config_t *how = settings != nullptr ? settings->get() : nullptr;
        if (anz_engine_connect(get(), how, &out, &why) != ANZ_OK)
            throw error(why);
        return session(out);
    }

private:
    static anz_engine_t *made(const config *settings)
    {
        anz_error_t why = detail::no_error();
        anz_engine_t *out = nullptr;
        const anz_config_t *how = settings != nullptr ? settings->get() : nullptr;
        if (anz_engine_new(how, &out, &why) != ANZ_OK)
            throw error(why);
        return out;
    }
};

} // namespace anasazi
#endif
