//! One session's lanes: how they are let in, and what becomes of them.

use anasazi_protocol::GroupId;
use anasazi_queue::hello::slow;

use super::opening::refused_hello;
use super::*;
use crate::domains::DOMAINS_MAX;
use crate::sys::socket::Way;

const DEFAULT: DomainId = DomainId::DEFAULT;

/// An engine that has `fast`, too, and a session with both lanes.
fn engine() -> (Engine, DomainId, [RawClient; 2]) {
    let mut engine = Engine::new();
    let fast = engine.sessions.add_domain("fast", None);
    let client = engine.open();
    let lane = engine.open_lane(1, "fast");
    (engine, fast, [client, lane])
}

/// What protocols are told now; none of it is done.
fn told(engine: &mut Engine, full: &[DomainId]) -> Vec<(DomainId, &'static str)> {
    for key in engine.epoll.wait(0) {
        engine.sessions.ready(key, &engine.epoll);
    }
    let mut told = Vec::new();
    engine.sessions.poll(1_000, full.iter().copied().collect(), &mut |request| {
        let Request::Command(domain, command) = request else { panic!("{request:?}") };
        told.push(match command {
            Command::Join { .. } => (domain, "join"),
            Command::Send { .. } => (domain, "send"),
            Command::Disconnect { .. } => (domain, "disconnect"),
            other => panic!("{other:?}"),
        });
        true
    });
    engine.sessions.flush(&engine.epoll);
    told
}

#[test]
fn a_session_gets_a_key_for_its_lanes_and_a_lane_is_the_same_session() {
    let mut engine = Engine::new();
    engine.sessions.add_domain("fast", None);
    let client = engine.connect();
    client.greet();
    engine.run();
    let own = client.welcome().expect("an answer");
    assert_ne!(own.lane_key, 0);
    let lane = engine.connect();
    let hello = lane.hello().into_lane("fast", own.session, own.lane_key).expect("a name");
    lane.say(hello.as_bytes(), &lane.fds());
    engine.run();
    let welcome = lane.welcome().expect("an answer");
    assert_eq!((welcome.status, welcome.session, welcome.lane_key), (0, own.session, 0));
    assert_eq!((engine.sessions.len(), engine.sessions.describe().len()), (1, 2));
    let other = engine.connect();
    other.greet();
    engine.run();
    assert_ne!(other.welcome().expect("an answer").lane_key, own.lane_key);
}

#[test]
fn lanes_that_are_nobodys_are_refused_in_words() {
    let (mut engine, _, lanes) = engine();
    engine.sessions.add_domain("slow", None);
    let key = engine.sessions.lane_key(session(1));
    let other = engine.open();
    let lane_of = |domain: &str, number: u64, key: u64| {
        let domain = domain.to_owned();
        move |hello: &mut Hello| {
            *hello = hello.into_lane(&domain, session(number).0, key).expect("a name");
        }
    };
    let other_key = engine.sessions.lane_key(session(2));
    for (domain, number, key, expected, words) in [
        ("slow", 1, key ^ 1, Status::ESTATE, "a lane of session 1, which is not here, or is"),
        ("slow", 1, 0, Status::ESTATE, "shows the key that its session got"),
        ("slow", 1, other_key, Status::ESTATE, "another client's"),
        ("slow", 9, key, Status::ESTATE, "a lane of session 9, which is not here"),
        ("fast", 1, key, Status::EEXIST, "session 1 has a lane of domain fast already"),
        ("default", 1, key, Status::EEXIST, "session 1 has a lane of domain default already"),
        ("fst", 1, key, Status::EINVAL, "no domain \"fst\"; it has: default, fast, slow"),
        ("", 1, key, Status::EINVAL, "a lane whose domain has no name"),
    ] {
        let (status, why) = refused_hello(&mut engine, lane_of(domain, number, key));
        assert_eq!(status, expected, "{why}");
        assert!(why.contains(words), "{why}");
    }
    for change in [
        |hello: &mut Hello| hello.domain_len = 33,
        |hello: &mut Hello| hello.domain_len = u32::MAX,
        |hello: &mut Hello| hello.domain = [0xFF; 32],
    ] {
        let (status, why) = refused_hello(&mut engine, |hello| {
            lane_of("slow", 1, key)(hello);
            change(hello);
        });
        assert!(status == Status::EINVAL && why.contains("no name"), "{why}");
    }
    for change in [
        |hello: &mut Hello| hello.lane_key = 5,
        |hello: &mut Hello| hello.domain_len = 1,
        |hello: &mut Hello| hello.domain[31] = 1,
    ] {
        let (status, why) = refused_hello(&mut engine, change);
        assert!(status == Status::EINVAL && why.contains("a lane of no session"), "{why}");
    }
    // None of that did anything to those who are there.
    lanes[0].expect_nothing();
    lanes[1].expect_nothing();
    other.expect_nothing();
    assert_eq!((engine.sessions.len(), engine.sessions.describe().len()), (2, 3));
}

#[test]
fn a_lane_of_another_users_session_is_refused() {
    let (mut engine, _, _lanes) = engine();
    engine.sessions.add_domain("slow", None);
    let hello = engine.lane_hello(1, "slow");
    let (near, far) = socket::pair().expect("socketpair");
    let uid = socket::own_uid();
    let stranger = if uid == 0 { 1_000 } else { 0 };
    let peer = Peer { uid: stranger, ..socket::peer(near.as_fd()).expect("one of this process") };
    let trusted = engine.sessions.trusted_uids;
    engine.sessions.trusted_uids = [trusted[1], stranger];
    engine.sessions.accept_of(peer, near, &engine.epoll, engine.now);
    let client = RawClient::new(far);
    client.say(hello(&client.hello()).as_bytes(), &client.fds());
    engine.run();
    let welcome = client.welcome().expect("an answer");
    assert_eq!(Status(welcome.status), Status::ESTATE, "{}", text(&welcome.reason));
}

/// Nor is one that comes in another way, or to a session whose client is gone.
#[test]
fn a_lane_comes_as_its_session_did_and_while_that_is_there() {
    let (mut engine, _, [client, _lane]) = engine();
    engine.sessions.add_domain("slow", None);
    let hello = engine.lane_hello(1, "slow");
    let (near, far) = socket::pair().expect("socketpair");
    let peer = socket::peer(near.as_fd()).expect("one of this process");
    assert!(matches!(peer.way, Way::Memory));
    let peer = Peer { way: Way::Unix, ..peer };
    engine.sessions.accept_of(peer, near, &engine.epoll, engine.now);
    let other = RawClient::new(far);
    other.say(hello(&other.hello()).as_bytes(), &other.fds());
    engine.run();
    let welcome = other.welcome().expect("an answer");
    assert_eq!(Status(welcome.status), Status::ESTATE, "{}", text(&welcome.reason));

    client.join(1, "orders");
    engine.run();
    client.send(1, 4, 0, b"still to be carried out");
    drop(client);
    assert_eq!(told(&mut engine, &[DEFAULT]), []);
    let hello = engine.lane_hello(1, "slow");
    let late = engine.connect();
    late.say(hello(&late.hello()).as_bytes(), &late.fds());
    for _ in 0..3 {
        assert_eq!(told(&mut engine, &[DEFAULT]), []);
    }
    let welcome = late.welcome().expect("an answer");
    assert_eq!(Status(welcome.status), Status::ESTATE, "{}", text(&welcome.reason));
    assert_eq!(told(&mut engine, &[]), [(DEFAULT, "send"), (DEFAULT, "disconnect")]);
}

/// What a lane waited for is not what another one waits for that comes to its place.
#[test]
fn a_lane_that_ends_waits_for_nothing() {
    let (mut engine, fast, [client, lane]) = engine();
    lane.join(1, "fast/orders");
    engine.run();
    lane.drain();
    lane.send(1, 4, 0, b"waits");
    assert_eq!(told(&mut engine, &[fast]), []);
    assert_eq!(engine.sessions.domains[fast.index()].blocked.len(), 1);
    client.push(99, &[], &[]).expect("room");
    assert_eq!(told(&mut engine, &[fast]), []);
    assert!(lane.is_hung_up());
    assert!(engine.sessions.domains[fast.index()].blocked.is_empty());
}

#[test]
fn a_session_has_one_lane_for_each_domain_and_no_more() {
    let (mut engine, _, lanes) = engine();
    let names: Vec<_> = (2..DOMAINS_MAX).map(|number| format!("d{number}")).collect();
    names.iter().for_each(|name| _ = engine.sessions.add_domain(name, None));
    let more: Vec<_> = names.iter().map(|name| engine.open_lane(1, name)).collect();
    let key = engine.sessions.lane_key(session(1));
    for round in 0..300 {
        let name = &names[round % names.len()];
        let again = |hello: &mut Hello| {
            *hello = hello.into_lane(name, session(1).0, key).expect("a name");
        };
        assert_eq!(refused_hello(&mut engine, again).0, Status::EEXIST);
    }
    assert_eq!((engine.sessions.len(), engine.sessions.describe().len()), (1, DOMAINS_MAX));
    let [client, lane] = lanes;
    drop(client);
    engine.run();
    assert_eq!((engine.sessions.len(), engine.sessions.describe().len()), (0, 0));
    assert!(lane.is_hung_up() && more.iter().all(RawClient::is_hung_up));
    assert_eq!((engine.sessions.lanes.len(), engine.sessions.orphans), (0, 0));
}

#[test]
fn what_was_sent_over_a_lane_is_carried_out_when_the_session_is_closed() {
    let (mut engine, fast, [client, lane]) = engine();
    lane.join(1, "fast/orders");
    engine.run();
    lane.drain();
    lane.send(1, 4, 0, b"before the end");
    client.push(request::CLOSE, &[], &[]).expect("room");
    // Its domain takes nothing: then it waits, and counts as long as that lasts.
    assert_eq!(told(&mut engine, &[fast]), []);
    assert_eq!((engine.sessions.len(), engine.sessions.count()), (0, 1));
    assert_eq!(told(&mut engine, &[]), [(fast, "send"), (fast, "disconnect")]);
    assert_eq!(engine.sessions.count(), 0);
    assert!(lane.is_hung_up());
}

/// Nobody reads it any more, and nobody is to be spared by it.
#[test]
fn a_lane_whose_client_is_gone_keeps_nothing_for_it_and_waits_for_no_slow_one() {
    let (mut engine, fast, [client, lane]) = engine();
    lane.join(1, "fast/orders");
    engine.run();
    lane.drain();
    flood(&mut engine, &lane, |engine| engine.sessions.describe()[1].backlog_len > 0);
    engine.sessions.hold((fast, NodeId(2)), &[GroupId::of("orders")], 60_000, engine.now);
    lane.send(1, 4, 0, b"before the end");
    assert_eq!(told(&mut engine, &[]), [], "it waits for who is slow");
    client.push(request::CLOSE, &[], &[]).expect("room");
    assert_eq!(told(&mut engine, &[fast]), []);
    let slot = engine.sessions.slot_of(session(1), fast).expect("it has something to be done");
    let Slot::Open(left) = &engine.sessions.slots[slot] else { panic!("it is taken out") };
    assert!(left.backlog.is_empty());
    assert_eq!(told(&mut engine, &[]), [(fast, "send"), (fast, "disconnect")]);
}

#[test]
fn the_end_of_a_lane_is_the_sessions_end_in_its_domain_alone() {
    let (mut engine, fast, [client, mut lane]) = engine();
    client.join(1, "orders");
    lane.join(1, "fast/orders");
    engine.run();
    client.drain();
    lane.drain();
    lane.hang_up();
    assert_eq!(told(&mut engine, &[]), [(fast, "disconnect")]);
    client.send(1, 4, 0, b"still there");
    engine.run();
    assert_eq!(client.expect_message().1, b"still there");
    // And there may be another.
    let lane = engine.open_lane(1, "fast");
    lane.join(1, "fast/orders");
    assert_eq!(told(&mut engine, &[]), [(fast, "join")]);
    drop(client);
    assert_eq!(told(&mut engine, &[]), [(DEFAULT, "disconnect"), (fast, "disconnect")]);
}

/// What a lane's client broke ends that lane; what it broke of the session's own ends all of them.
#[test]
fn a_broken_lane_ends_alone_and_all_end_with_a_broken_session() {
    let (mut engine, _, [client, lane]) = engine();
    lane.push(99, &[], &[]).expect("room");
    engine.run();
    assert_eq!(lane.closed().map(|(status, _)| Status(status)), Some(Status::EINVAL));
    client.expect_nothing();
    assert_eq!(engine.sessions.len(), 1);
    let lane = engine.open_lane(1, "fast");
    client.push(99, &[], &[]).expect("room");
    engine.run();
    assert_eq!(client.closed().map(|(status, _)| Status(status)), Some(Status::EINVAL));
    // Over its own connection it was told why.
    assert!(lane.is_hung_up() && lane.drain().is_empty());
    assert_eq!((engine.sessions.describe().len(), engine.sessions.orphans), (0, 0));
}

/// Sends over a lane that is not read until `until` says that it is enough.
fn flood(engine: &mut Engine, lane: &RawClient, until: impl Fn(&Engine) -> bool) -> u64 {
    for count in 0..10_000 {
        if until(engine) {
            return count;
        }
        lane.send(1, 4, 0, &[7; 1_000]);
        engine.run();
    }
    panic!("never enough");
}

#[test]
fn a_lane_that_is_not_read_fills_and_ends_alone() {
    let (mut engine, _, [client, lane]) = engine();
    let (sender, sending) = (engine.open(), engine.open_lane(2, "fast"));
    for (default, fast) in [(&client, &lane), (&sender, &sending)] {
        default.join(1, "orders");
        fast.join(1, "fast/orders");
    }
    engine.run();
    [&client, &lane, &sender, &sending].iter().for_each(|lane| _ = lane.drain());
    let waits = |engine: &Engine| engine.sessions.describe()[1].backlog_len > 50_000;
    for _ in 0..10_000 {
        if waits(&engine) {
            break;
        }
        sending.send(1, 4, 0, &[7; 1_000]);
        engine.run();
        sending.drain();
    }
    let lanes = engine.sessions.describe();
    assert_eq!((&*lanes[0].domain, &*lanes[1].domain), ("default", "fast"));
    assert_eq!(lanes[0].backlog_len, 0);
    for round in 0..100_u8 {
        sender.send(1, 4, 0, &[round]);
        engine.run();
        assert_eq!(client.expect_message().1, [round]);
    }
    sender.drain();
    while engine.sessions.describe().len() == 4 {
        sending.send(1, 4, 0, &[7; 1_000]);
        engine.run();
        sending.drain();
    }
    let (status, why) = lane.closed().expect("told why");
    assert_eq!(Status(status), Status::ESLOW);
    assert!(why.starts_with("the session did not read fast enough in domain fast: "), "{why}");
    sender.send(1, 4, 0, b"default goes on");
    engine.run();
    assert_eq!(client.expect_message().1, b"default goes on");
}

#[test]
fn a_lane_misses_messages_alone_and_the_operator_is_told_where() {
    let mut engine = Engine::new();
    engine.sessions.add_domain("fast", None);
    let client = engine.open();
    let hello = engine.lane_hello(1, "fast");
    let lane = engine.open_as(|said| *said = Hello { slow: slow::GAP, ..hello(said) });
    lane.join(1, "fast/orders");
    client.join(1, "orders");
    engine.run();
    client.drain();
    let skipped = |engine: &Engine, at: usize| engine.sessions.describe()[at].skipped;
    flood(&mut engine, &lane, |engine| skipped(engine, 1) == 20);
    assert_eq!(skipped(&engine, 0), 0);
    engine.now = engine.now + Duration::from_secs(1);
    let told = engine.sessions.watch(engine.now);
    assert!(told.len() == 1 && told[0].contains(" in domain fast does not read"), "{told:?}");
    client.send(1, 4, 0, b"default");
    engine.run();
    assert_eq!(client.expect_message().1, b"default");
}

/// One domain's slow readers cost no other domain's anything, however much is kept there.
#[test]
fn a_domain_has_a_budget_of_its_own_for_those_who_do_not_read() {
    let mut engine = Engine::with(|limits| limits.backlog_len_max = 1 << 20);
    engine.sessions.add_domain("slow", Some(100_000));
    let (first, second) = (engine.open(), engine.open());
    let lanes = [1, 2].map(|session| {
        let hello = engine.lane_hello(session, "slow");
        engine.open_as(|said| *said = Hello { slow: slow::GAP, ..hello(said) })
    });
    lanes.iter().for_each(|lane| lane.join(1, "slow/orders"));
    [&first, &second].iter().for_each(|session| session.join(1, "orders"));
    engine.run();
    // In the order of sessions, the lanes of each behind it.
    let kept = |engine: &Engine| engine.sessions.describe()[2].backlog_len;
    // The sender reads, the other one does not.
    let mut flood = |sender: &RawClient, until: &dyn Fn(&Engine) -> bool| {
        for _ in 0..10_000 {
            sender.drain();
            if until(&engine) {
                return kept(&engine);
            }
            sender.send(1, 4, 0, &[7; 1_000]);
            engine.run();
        }
        panic!("never enough");
    };
    // What is kept in default is more than that, and nobody's matter.
    let before = flood(&first, &|engine| kept(engine) > 150_000);
    let after = flood(&lanes[0], &|engine| engine.sessions.describe().len() == 3);
    assert_eq!(before, after);
    let (status, why) = lanes[1].closed().expect("told why");
    assert_eq!(Status(status), Status::ESLOW);
    assert!(why.contains("more than domain.slow.budget.backlog_len = 100000 allows"), "{why}");
    assert_eq!(engine.sessions.len(), 2);
}

/// Who does not read keeps a domain that is removed for a while, and no longer.
#[test]
fn a_removed_domain_ends_its_lanes_when_they_are_read_or_after_a_while() {
    let (mut engine, fast, [_client, lane]) = engine();
    let (_other, second) = (engine.open(), engine.open_lane(2, "fast"));
    [&lane, &second].iter().for_each(|lane| lane.join(1, "fast/orders"));
    engine.run();
    second.drain();
    let waits = |engine: &Engine| engine.sessions.describe()[1].backlog_len > 0;
    for _ in 0..10_000 {
        if waits(&engine) {
            break;
        }
        second.send(1, 4, 0, &[7; 1_000]);
        engine.run();
        second.drain();
    }
    engine.sessions.retire_domain(fast, "removed by a test");
    let sweep = |engine: &mut Engine| loop {
        match engine.sessions.sweep_domain(fast, engine.now) {
            Sweep::GoesOn => {}
            sweep => {
                engine.sessions.flush(&engine.epoll);
                return sweep;
            }
        }
    };
    assert_eq!(sweep(&mut engine), Sweep::Waits);
    assert_eq!(second.closed(), Some((Status::ECLOSED.0, "removed by a test".to_owned())));
    assert!(!lane.is_hung_up());
    let until = engine.sessions.deadline().expect("it does not wait for ever");
    engine.now = until;
    assert_eq!(sweep(&mut engine), Sweep::Done);
    assert!(lane.is_hung_up());
    assert_eq!(engine.sessions.deadline(), None);
    assert_eq!(lane.closed(), Some((Status::ECLOSED.0, "removed by a test".to_owned())));
    engine.sessions.vacate_domain(fast);
    assert!(engine.sessions.lanes.is_empty());
}
