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

int main()
{
    errors_say_why();
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
