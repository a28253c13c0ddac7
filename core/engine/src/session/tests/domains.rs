//! Groups of one name in several domains, and domains that hold up nobody but who wants something
//! of them.

use anasazi_protocol::{Audience, Command, Fate, GroupId};

use super::*;

/// An engine that has `fast`, too.
fn engine() -> (Engine, DomainId) {
    let mut engine = Engine::new();
    let fast = engine.sessions.add_domain("fast");
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
    anna.join(1, "orders");
    anna.join(2, "fast/orders");
    bert.join(1, "default/orders");
    engine.run();
    anna.expect_view();
    assert_eq!(anna.expect_view().handle, 2);
    assert_eq!((anna.expect_view().members, bert.expect_view().members), (2, 2));
    assert_eq!(engine.sessions.describe()[0].groups, ["orders", "fast/orders"]);
    anna.send(2, 4, 7, b"fast");
    engine.run();
    let (head, message) = anna.expect_message();
    assert_eq!((head.handle, head.tag, message), (2, 7, b"fast".to_vec()));
    bert.send(1, 4, 0, b"default");
    engine.run();
    assert_eq!(bert.expect_message().1, b"default");
    assert_eq!(anna.expect_message().0.handle, 1);
    anna.leave(1);
    engine.run();
    assert_eq!(anna.expect_left().0, 1);
    assert_eq!(bert.expect_view().left, 1);
    anna.send(2, 4, 0, b"still there");
    engine.run();
    assert_eq!(anna.expect_message().0.handle, 2);
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
    client.join(1, "fast/a/b");
    engine.run();
    assert_eq!(engine.core.log, [format!("join {} a/b", (1_000_u64 << 24) + 1)]);
}

#[test]
fn one_session_twice_in_a_group_is_refused_by_whatever_names() {
    let (mut engine, _) = engine();
    let client = engine.open();
    client.join(1, "orders");
    client.join(2, "fast/orders");
    client.join(3, "default/orders");
    engine.run();
    let (handle, status, _) = client.expect_left();
    assert_eq!((handle, status), (3, Status::EEXIST));
    assert_eq!([client.expect_view().handle, client.expect_view().handle], [1, 2]);
}

#[test]
fn nothing_is_sent_to_groups_of_two_domains() {
    let (mut engine, _) = engine();
    let client = engine.open();
    client.join(1, "orders");
    client.join(2, "fast/orders");
    client.join(3, "fast/others");
    engine.run();
    client.drain();
    for groups in [[(1, 0), (2, 0)], [(1, 0), (3, 0)]] {
        client.send_to(4, 9, &groups, b"to both");
        engine.run();
        assert_eq!(client.expect_receipt(), (1, Status::EINVAL, 9));
        client.expect_nothing();
    }
}

#[test]
fn who_is_addressed_in_a_domain_is_reached_there() {
    let (mut engine, fast) = engine();
    let client = engine.open();
    client.peer_in(1, 7, (1_000 << 24) + 1, "fast");
    client.peer_in(2, 7, (1_000 << 24) + 1, "");
    client.send(1, 4, 5, b"fast");
    client.send(2, 4, 6, b"default");
    let domains: Vec<_> = asked(&mut engine, &[]).iter().map(|(domain, _)| *domain).collect();
    assert_eq!(domains, [fast, DomainId::DEFAULT]);
    client.drain();
    let id = SessionId((1_000 << 24) + 1);
    let to = Audience::Member(member(id));
    for (domain, handle) in [(fast, 1), (DomainId::DEFAULT, 2)] {
        engine.sessions.receipt(domain, id, &to, 5, Fate::NotMember);
        assert_eq!(client.expect_receipt(), (handle, Status::ENOTMEMBER, 5));
    }
}

/// Whoever wants something of another domain goes on, and nobody is forgotten.
#[test]
fn a_full_domain_holds_up_only_who_wants_something_of_it() {
    let (mut engine, fast) = engine();
    let (slow, quick) = (engine.open(), engine.open());
    slow.join(1, "orders");
    slow.join(2, "fast/orders");
    quick.join(1, "fast/orders");
    quick.join(2, "orders");
    let names = |asked: Vec<(DomainId, Command)>| {
        let name = |(domain, command): (DomainId, Command)| {
            let Command::Join { session, .. } = command else { panic!("{command:?}") };
            (domain, session.0 & 0xF)
        };
        asked.into_iter().map(name).collect::<Vec<_>>()
    };
    let default = DomainId::DEFAULT;
    assert_eq!(names(asked(&mut engine, &[default])), [(fast, 2)]);
    assert_eq!(names(asked(&mut engine, &[default])), []);
    assert_eq!(names(asked(&mut engine, &[fast])), [(default, 1), (default, 2)]);
    assert_eq!(names(asked(&mut engine, &[default])), [(fast, 1)]);
    // By their handles, too.
    slow.send(1, 4, 0, b"default");
    quick.send(1, 4, 0, b"fast");
    slow.leave(2);
    quick.leave(2);
    let domains = |asked: Vec<(DomainId, Command)>| asked.iter().map(|a| a.0).collect::<Vec<_>>();
    assert_eq!(domains(asked(&mut engine, &[default])), [fast]);
    assert_eq!(domains(asked(&mut engine, &[fast])), [default, default]);
    assert_eq!(domains(asked(&mut engine, &[])), [fast]);
}

#[test]
fn every_domain_that_a_session_was_in_hears_of_its_end() {
    let (mut engine, fast) = engine();
    let mut client = engine.open();
    client.join(1, "fast/orders");
    client.join(2, "orders");
    engine.run();
    client.hang_up();
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
    client.join(1, "orders");
    client.join(2, "fast/orders");
    engine.run();
    client.drain();
    let groups = [GroupId::of("orders")];
    engine.sessions.hold((fast, NodeId(2)), &groups, 250, engine.now);
    assert_eq!(engine.sessions.held_by(fast.group(groups[0])).count(), 1);
    assert_eq!(engine.sessions.held_by(DomainId::DEFAULT.group(groups[0])).count(), 0);
    client.send(1, 4, 0, b"default");
    engine.run();
    assert_eq!(client.expect_message().1, b"default");
    client.send(2, 4, 0, b"fast");
    engine.run();
    client.expect_nothing();
    engine.sessions.hold((fast, NodeId(2)), &groups, 0, engine.now);
    engine.run();
    assert_eq!(client.expect_message().1, b"fast");
}

/// Whoever waits for it is told at once, all that sessions hold of it ends in words, and the next
/// domain at its place has nothing of it.
#[test]
fn nothing_of_a_domain_that_is_removed_is_left_for_the_next_one_at_its_place() {
    let (mut engine, fast) = engine();
    let (anna, bert) = (engine.open(), engine.open());
    anna.join(1, "fast/orders");
    anna.join(2, "orders");
    anna.peer_in(3, 7, 9, "fast");
    engine.run();
    assert_eq!([anna.expect_view().handle, anna.expect_view().handle], [1, 2]);
    bert.join(1, "fast/orders");
    bert.join(2, "orders");
    assert_eq!(asked(&mut engine, &[fast]).len(), 0, "it takes nothing");
    engine.sessions.retire_domain(fast, "domain fast was removed by somebody");
    anna.send(1, 4, 8, b"too late");
    let told = asked(&mut engine, &[]);
    assert!(matches!(told[..], [(DomainId::DEFAULT, Command::Join { .. })]), "{told:?}");
    while !engine.sessions.sweep_domain(fast) {}
    engine.sessions.flush(&engine.epoll);
    let why = "domain fast was removed by somebody".to_owned();
    assert_eq!(bert.expect_left(), (1, Status::ECLOSED, why.clone()));
    assert_eq!(anna.expect_receipt(), (1, Status::ENOTMEMBER, 8));
    assert_eq!(anna.expect_left(), (1, Status::ECLOSED, why.clone()));
    assert_eq!(anna.expect_left(), (3, Status::ECLOSED, why));
    engine.sessions.vacate_domain(fast);
    let slow = engine.sessions.add_domain("slow");
    assert_eq!(slow, fast, "its place is used again");
    assert_eq!(engine.sessions.group_count(), 1);
    // Their ends are no business of the new one.
    drop((anna, bert));
    let told = asked(&mut engine, &[]);
    assert!(told.iter().all(|(domain, _)| *domain == DomainId::DEFAULT), "{told:?}");
}
