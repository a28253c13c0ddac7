//! Groups of one name in several domains, and domains that hold up nobody but who wants something
//! of them.

use anasazi_protocol::{Audience, Command, Fate, GroupId};

use super::opening::refused_hello;
use super::*;

/// An engine that has `fast`, too.
fn engine() -> (Engine, DomainId) {
    let mut engine = Engine::new();
    let fast = engine.sessions.add_domain("fast", None);
    (engine, fast)
}

/// What is asked of protocols, in order; `full` ones take nothing.
fn asked(engine: &mut Engine, full: &[DomainId]) -> Vec<(DomainId, Command)> {
    for key in engine.epoll.wait(0) {
        engine.sessions.ready(key, &engine.epoll);
    }
    let mut asked = Vec::new();
    let full = full.iter().copied().collect();
    engine.sessions.poll(usize::MAX, full, &mut |request| {
        let Request::Command(domain, command) = request else { panic!("{request:?}") };
        asked.push((domain, command));
        true
    });
    asked
}

#[test]
fn groups_of_one_name_in_two_domains_know_nothing_of_each_other() {
    let (mut engine, _) = engine();
    let (anna, bert) = (engine.open(), engine.open());
    let anna_fast = engine.open_lane(1, "fast");
    anna.join(1, "orders");
    anna_fast.join(2, "fast/orders");
    bert.join(1, "default/orders");
    engine.run();
    anna.expect_view();
    assert_eq!(anna_fast.expect_view().handle, 2);
    assert_eq!((anna.expect_view().members, bert.expect_view().members), (2, 2));
    let lanes = engine.sessions.describe();
    let shown = lanes.iter().map(|lane| (lane.session.number(), &*lane.domain, lane.groups.len()));
    assert_eq!(shown.collect::<Vec<_>>(), [(1, "default", 1), (1, "fast", 1), (2, "default", 1)]);
    anna_fast.send(2, 4, 7, b"fast");
    engine.run();
    let (head, message) = anna_fast.expect_message();
    assert_eq!((head.handle, head.tag, message), (2, 7, b"fast".to_vec()));
    bert.send(1, 4, 0, b"default");
    engine.run();
    assert_eq!(bert.expect_message().1, b"default");
    assert_eq!(anna.expect_message().0.handle, 1);
    anna.leave(1);
    engine.run();
    assert_eq!(anna.expect_left().0, 1);
    assert_eq!(bert.expect_view().left, 1);
    anna_fast.send(2, 4, 0, b"still there");
    engine.run();
    assert_eq!(anna_fast.expect_message().0.handle, 2);
    bert.expect_nothing();
}

#[test]
fn a_domain_that_is_not_there_is_refused_with_those_that_are() {
    let (mut engine, _) = engine();
    let client = engine.open();
    client.join(1, "fst/orders");
    client.join(2, "fast/");
    client.join(3, "/orders");
    client.peer_in(4, 7, 9, "slow");
    engine.run();
    for (handle, words) in [(1, "\"fst\""), (2, "no group in it"), (3, "\"\""), (4, "\"slow\"")] {
        let (left, status, why) = client.expect_left();
        assert_eq!((left, status), (handle, Status::EINVAL), "{why}");
        assert!(why.contains(words), "{why}");
        assert!(handle == 2 || why.contains("it has: default, fast"), "{why}");
    }
    assert!(engine.core.log.is_empty(), "{:?}", engine.core.log);
    // What follows the first slash is a name like any other.
    let fast = engine.open_lane(1, "fast");
    fast.join(1, "fast/a/b");
    engine.run();
    assert_eq!(engine.core.log, [format!("join {} a/b", session(1).0)]);
}

#[test]
fn what_is_of_a_domain_goes_over_its_lane_only() {
    let (mut engine, _) = engine();
    let client = engine.open();
    let fast = engine.open_lane(1, "fast");
    client.join(1, "fast/orders");
    client.peer_in(2, 7, 9, "fast");
    fast.join(3, "orders");
    fast.peer_in(4, 7, 9, "");
    engine.run();
    for (lane, handle, name) in
        [(&client, 1, "default"), (&client, 2, "default"), (&fast, 3, "fast"), (&fast, 4, "fast")]
    {
        let (left, status, why) = lane.expect_left();
        assert_eq!((left, status), (handle, Status::EINVAL), "{why}");
        assert!(why.contains(&format!("is not in domain {name}, whose lane this is")), "{why}");
    }
    assert!(engine.core.log.is_empty(), "{:?}", engine.core.log);
}

#[test]
fn one_session_twice_in_a_group_is_refused_by_whatever_names() {
    let (mut engine, _) = engine();
    let client = engine.open();
    let fast = engine.open_lane(1, "fast");
    client.join(1, "orders");
    fast.join(2, "fast/orders");
    client.join(3, "default/orders");
    engine.run();
    let (handle, status, _) = client.expect_left();
    assert_eq!((handle, status), (3, Status::EEXIST));
    assert_eq!([client.expect_view().handle, fast.expect_view().handle], [1, 2]);
}

#[test]
fn nothing_is_sent_to_groups_of_two_domains() {
    let (mut engine, _) = engine();
    let client = engine.open();
    let fast = engine.open_lane(1, "fast");
    client.join(1, "orders");
    fast.join(2, "fast/orders");
    engine.run();
    client.drain();
    fast.drain();
    for (lane, own, other) in [(&client, 1, 2), (&fast, 2, 1)] {
        // A lane has no handles of another one.
        lane.send_to(4, 9, &[(own, 0), (other, 0)], b"to both");
        engine.run();
        assert_eq!(lane.expect_receipt(), (own, Status::ENOTMEMBER, 9));
    }
    client.expect_nothing();
    fast.expect_nothing();
}

#[test]
fn who_is_addressed_in_a_domain_is_reached_there() {
    let (mut engine, fast) = engine();
    let client = engine.open();
    let lane = engine.open_lane(1, "fast");
    let id = session(1);
    lane.peer_in(1, 7, id.0, "fast");
    client.peer_in(2, 7, id.0, "");
    lane.send(1, 4, 5, b"fast");
    client.send(2, 4, 6, b"default");
    let mut domains: Vec<_> = asked(&mut engine, &[]).iter().map(|(domain, _)| *domain).collect();
    domains.sort();
    assert_eq!(domains, [DomainId::DEFAULT, fast]);
    client.drain();
    lane.drain();
    let to = Audience::Member(member(id));
    for (domain, lane, handle) in [(fast, &lane, 1), (DomainId::DEFAULT, &client, 2)] {
        engine.sessions.receipt(domain, id, &to, 5, Fate::NotMember);
        assert_eq!(lane.expect_receipt(), (handle, Status::ENOTMEMBER, 5));
    }
    client.expect_nothing();
    lane.expect_nothing();
}

/// One session in two domains of which one takes nothing: what it wants of the other goes on, in
/// both directions, and nothing is forgotten.
#[test]
fn a_full_domain_holds_up_its_own_lanes_only() {
    let (mut engine, fast) = engine();
    let default = DomainId::DEFAULT;
    let client = engine.open();
    let lane = engine.open_lane(1, "fast");
    client.join(1, "orders");
    lane.join(1, "fast/orders");
    engine.run();
    client.drain();
    lane.drain();
    let domains = |asked: Vec<(DomainId, Command)>| asked.iter().map(|a| a.0).collect::<Vec<_>>();
    for (full, other) in [(default, fast), (fast, default)] {
        client.send(1, 4, 0, b"default");
        lane.send(1, 4, 0, b"fast");
        assert_eq!(domains(asked(&mut engine, &[full])), [other]);
        assert_eq!(domains(asked(&mut engine, &[full])), []);
        let to = if full == fast { (&client, &lane) } else { (&lane, &client) };
        to.0.send(1, 4, 0, b"more");
        let told = asked(&mut engine, &[full]);
        let [(domain, Command::Send { payload, .. })] = &told[..] else { panic!("{told:?}") };
        assert_eq!((*domain, &payload[..]), (other, &b"more"[..]));
        // And back.
        engine.core.handle(Request::Command(*domain, told[0].1.clone()), &mut engine.sessions);
        engine.sessions.flush(&engine.epoll);
        assert_eq!(to.0.expect_message().1, b"more");
        to.1.expect_nothing();
        assert_eq!(domains(asked(&mut engine, &[])), [full]);
    }
    client.leave(1);
    lane.leave(1);
    assert_eq!(domains(asked(&mut engine, &[default])), [fast]);
    assert_eq!(domains(asked(&mut engine, &[fast])), [default]);
}

#[test]
fn every_domain_that_a_session_was_in_hears_of_its_end() {
    let (mut engine, fast) = engine();
    let mut client = engine.open();
    let mut lane = engine.open_lane(1, "fast");
    lane.join(1, "fast/orders");
    client.join(2, "orders");
    engine.run();
    client.hang_up();
    lane.hang_up();
    let default = DomainId::DEFAULT;
    let mut told = |full: &[DomainId]| {
        let asked = asked(&mut engine, full);
        assert!(asked.iter().all(|(_, command)| matches!(command, Command::Disconnect { .. })));
        let more = engine.sessions.has_turns(full.iter().copied().collect());
        (asked.iter().map(|(domain, _)| *domain).collect::<Vec<_>>(), more)
    };
    assert_eq!(told(&[default, fast]), (vec![], false));
    assert_eq!(told(&[default]), (vec![fast], false));
    assert_eq!(told(&[]), (vec![default], false));
    assert_eq!(told(&[]), (vec![], false));
}

#[test]
fn senders_wait_in_the_domain_where_that_was_asked_for() {
    let (mut engine, fast) = engine();
    let client = engine.open();
    let lane = engine.open_lane(1, "fast");
    client.join(1, "orders");
    lane.join(2, "fast/orders");
    engine.run();
    client.drain();
    lane.drain();
    let groups = [GroupId::of("orders")];
    engine.sessions.hold((fast, NodeId(2)), &groups, 250, engine.now);
    assert_eq!(engine.sessions.held_by(fast.group(groups[0])).count(), 1);
    assert_eq!(engine.sessions.held_by(DomainId::DEFAULT.group(groups[0])).count(), 0);
    client.send(1, 4, 0, b"default");
    engine.run();
    assert_eq!(client.expect_message().1, b"default");
    lane.send(2, 4, 0, b"fast");
    engine.run();
    lane.expect_nothing();
    engine.sessions.hold((fast, NodeId(2)), &groups, 0, engine.now);
    engine.run();
    assert_eq!(lane.expect_message().1, b"fast");
}

/// Whoever waits for it is told at once, all that sessions hold of it ends in words, and the next
/// domain at its place has nothing of it.
#[test]
fn nothing_of_a_domain_that_is_removed_is_left_for_the_next_one_at_its_place() {
    let (mut engine, fast) = engine();
    let (anna, bert) = (engine.open(), engine.open());
    let lanes = [1, 2].map(|number| engine.open_lane(number, "fast"));
    lanes[0].join(1, "fast/orders");
    anna.join(2, "orders");
    lanes[0].peer_in(3, 7, 9, "fast");
    engine.run();
    assert_eq!([lanes[0].expect_view().handle, anna.expect_view().handle], [1, 2]);
    lanes[1].join(1, "fast/orders");
    bert.join(2, "orders");
    let told = asked(&mut engine, &[fast]);
    assert!(matches!(told[..], [(DomainId::DEFAULT, Command::Join { .. })]), "{told:?}");
    engine.sessions.retire_domain(fast, "domain fast was removed by somebody");
    lanes[0].send(1, 4, 8, b"too late");
    let late = engine.lane_hello(2, "fast");
    assert_eq!(asked(&mut engine, &[]).len(), 0, "it is asked for nothing more");
    while engine.sessions.sweep_domain(fast, engine.now) != Sweep::Done {}
    engine.sessions.flush(&engine.epoll);
    let why = "domain fast was removed by somebody".to_owned();
    assert_eq!(lanes[1].expect_left(), (1, Status::ECLOSED, why.clone()));
    assert_eq!(lanes[0].expect_receipt(), (1, Status::ENOTMEMBER, 8));
    assert_eq!(lanes[0].expect_left(), (1, Status::ECLOSED, why.clone()));
    assert_eq!(lanes[0].expect_left(), (3, Status::ECLOSED, why.clone()));
    for lane in &lanes {
        assert_eq!(lane.closed(), Some((Status::ECLOSED.0, why.clone())));
        assert!(lane.is_hung_up());
    }
    // Nobody comes in meanwhile.
    assert_eq!(refused_hello(&mut engine, |hello| *hello = late(hello)), (Status::ECLOSED, why));
    engine.sessions.vacate_domain(fast);
    let slow = engine.sessions.add_domain("slow", None);
    assert_eq!(slow, fast, "its place is used again");
    assert_eq!(engine.sessions.group_count(), 1);
    let lane = engine.open_lane(2, "slow");
    lane.join(1, "slow/orders");
    engine.run();
    lane.expect_view();
    // The ends of the others' are no business of the new one.
    drop((anna, lanes));
    let told = asked(&mut engine, &[]);
    assert!(told.iter().all(|(domain, _)| *domain == DomainId::DEFAULT), "{told:?}");
    lane.expect_nothing();
    drop(bert);
}
