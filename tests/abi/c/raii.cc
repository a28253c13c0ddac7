// What anasazi.hpp adds: owners that give back what they own, whichever way a scope is left, and
// errors that say why.
#include <algorithm>
#include <anasazi.hpp>
#include <cstdio>
#include <cstdlib>
#include <thread>

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);          \
            std::exit(1);                                                                 \
        }                                                                                 \
    } while (0)

using namespace std::string_literals;

// The next event of this type goes to `use` while it is held.
template <class Use> static void next(const anasazi::session &session, unsigned type, Use use)
{
    for (;;) {
        for (const anz_event_t &ev : session.receive(1))
            if (ev.type == type)
                return use(ev);
        (void)session.wait();
    }
}

template <class Work> static anasazi::error thrown(Work work)
{
    try {
        work();
    } catch (const anasazi::error &why) {
        return why;
    }
    std::fprintf(stderr, "nothing is thrown\n");
    std::exit(1);
}

static void errors_say_why()
{
    anasazi::error bad_key = thrown([] { anasazi::config().set("no.such.key", "1"); });
    CHECK(bad_key.code() == ANZ_ECONFIG && bad_key.name() == "ANZ_ECONFIG"s);
    CHECK(std::string(bad_key.what()).find("no.such.key") != std::string::npos);
    CHECK(!bad_key.is_fatal());
    anasazi::error nobody = thrown([] { anasazi::session::connect("shm:/no/such/daemon"); });
    CHECK(nobody.code() == ANZ_ECONNREFUSED && nobody.is_retryable());
    CHECK(thrown([] { anasazi::group().leave(); }).code() == ANZ_EINVAL);
}

static void everything_is_given_back(const anasazi::session &session, anasazi::group group)
{
    for (int i = 0; i < 1000; i++) {
        // Dropped, moved, committed: only the last one is sent.
        { anasazi::claim dropped = group.claim(8); CHECK(dropped); }
        anasazi::claim first = group.claim(4);
        anasazi::claim second(std::move(first));
        CHECK(!first && second && second.size() == 4);
        std::copy_n("four", 4, second.data());
        CHECK(second.commit(0xFF) == ANZ_EINVAL && second);
        CHECK(second.commit(ANZ_SAFE, 7) == ANZ_OK && !second);
        next(session, ANZ_EV_MESSAGE, [](const anz_event_t &ev) {
            CHECK(anasazi::bytes(ev) == "four" && ev.tag == 7 && ev.service == ANZ_SAFE);
        });
    }
    CHECK(session.stats().receive_ring_used == 0);
}

static void messages_outlive_their_session(const anasazi::engine &engine)
{
    std::vector<anasazi::message> kept;
    {
        anasazi::session session = engine.connect();
        anasazi::group group = session.join("kept");
        CHECK(group.mcast("kept") == ANZ_OK);
        next(session, ANZ_EV_MESSAGE, [&](const anz_event_t &ev) { kept.emplace_back(ev); });
    }
    std::thread([kept = std::move(kept)] { CHECK(kept[0].bytes() == "kept"); }).join();
}

static void count_lines(void *user_data, int, const char *, const char *, std::size_t)
{
    ++*static_cast<int *>(user_data);
}

// An engine in this very thread, driven as a loop would do it, and then until it is stopped.
static void engines_are_driven_and_run(const std::string &file)
{
    int lines = 0;
    anasazi::config settings;
    settings.load(file).set_log(count_lines, ANZ_LOG_DEBUG, &lines);
    CHECK(thrown([&] { settings.load("/no/such/file"); }).code() == ANZ_ECONFIG);
    anasazi::engine engine(&settings);
    CHECK(engine.fd() >= 0);
    anasazi::session session = engine.connect(&settings);
    (void)session.join("driven");
    bool there = false;
    while (!there) {
        (void)engine.process();
        for (const anz_event_t &ev : session.receive())
            there = there || ev.type == ANZ_EV_VIEW;
    }
    std::thread([&] { CHECK(engine.stop() == ANZ_OK); }).join();
    engine.run();
    CHECK(thrown([&] { (void)engine.process(); }).code() == ANZ_ECLOSED);
    CHECK(lines > 0);
    // What it had is given back before it has something else, and at its end.
    anasazi::engine second(&settings);
    second = std::move(engine);
    CHECK(engine.get() == nullptr && second.get() != nullptr);
    second.reset();
    CHECK(second.get() == nullptr);
}

static void events_and_waits(const anasazi::session &session, anasazi::group group)
{
    anz_iov_t parts[] = {{"two ", 4}, {"parts", 5}};
    while (!session.receive().empty())
        continue;
    CHECK(!session.wait(1) && group.wait_writable(1));
    CHECK(group.mcastv(parts, 2, ANZ_FIFO, 5) == ANZ_OK);
    CHECK(session.wait());
    for (bool got = false; !got; (void)session.wait()) {
        anasazi::events first = session.receive();
        std::size_t size = first.size();
        anasazi::events second(std::move(first));
        CHECK(first.empty() && second.size() == size && second.empty() == (size == 0));
        for (const anz_event_t &ev : second)
            got = got || anasazi::bytes(ev) == "two parts";
        if (got)
            break;
    }
    anz_status_t why = ANZ_OK;
    anasazi::claim too_long = group.claim(std::size_t{1} << 40, &why);
    CHECK(!too_long && why == ANZ_EMSGSIZE && too_long.commit() == ANZ_EINVAL);
    anasazi::claim given_up = group.claim(4, &why);
    CHECK(given_up && why == ANZ_OK);
    given_up.abort();
    CHECK(!given_up);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    errors_say_why();
    engines_are_driven_and_run(argv[1]);
    anasazi::config settings;
    settings.set("transport.multicast", "off");
    anasazi::engine engine(&settings);
    engine.start_thread();
    anasazi::session session = engine.connect();
    CHECK(session.fd() >= 0 && !session.name(session.self()).empty());
    int user_data = 0;
    anasazi::group groups[] = {session.join("one", 0, &user_data), session.join("two")};
    CHECK(groups[0].name() == "one" && groups[0] != groups[1]);
    next(session, ANZ_EV_VIEW, [&](const anz_event_t &ev) {
        CHECK(anasazi::group(ev.group) == groups[0] && ev.group_user_data == &user_data);
    });
    CHECK(anasazi::mcast(groups, 2, "both") == ANZ_OK);
    next(session, ANZ_EV_MESSAGE, [](const anz_event_t &ev) {
        CHECK(anasazi::bytes(ev) == "both" && (ev.flags & ANZ_EVF_MULTI) != 0);
    });
    anasazi::group alone = session.peer(session.self());
    CHECK(alone.mcast("to myself", ANZ_AGREED, 3) == ANZ_OK);
    next(session, ANZ_EV_MESSAGE, [](const anz_event_t &ev) { CHECK(ev.group == nullptr); });
    CHECK(alone.wait_writable());
    everything_is_given_back(session, groups[0]);
    events_and_waits(session, groups[0]);
    messages_outlive_their_session(engine);
    session.query("{\"get\":\"status\"}", 9);
    next(session, ANZ_EV_REPLY, [](const anz_event_t &ev) { CHECK(ev.tag == 9 && ev.len > 0); });
    CHECK(session.wake() == ANZ_OK);
    groups[1].leave();
    next(session, ANZ_EV_LEFT, [&](const anz_event_t &ev) { CHECK(ev.group == groups[1].get()); });
    CHECK(engine.stop() == ANZ_OK);
    next(session, ANZ_EV_CLOSED, [](const anz_event_t &) {});
    CHECK(session.receive().is_over());
    anasazi::session moved = std::move(session);
    CHECK(session.get() == nullptr && moved.get() != nullptr);
    std::puts("ok");
    return 0;
}
