//! What clients ask for, and what becomes of it.

use anasazi_protocol::{Audience, Command, Fate, GroupId, SessionId};
use anasazi_queue::record::{JOIN_SEND_ONLY, ReplyRecord};

use super::*;

#[test]
fn joining_sending_leaving() {
    let mut engine = Engine::new();
    let (anna, bert) = (engine.open(), engine.open());
    anna.join(3, "room");
    engine.run();
    let view = anna.expect_view();
    assert_eq!((view.handle, view.members, view.joined, view.cause), (3, 1, 1, 1));
    assert!(anna.was_woken());
    bert.join(8, "room");
    engine.run();
    assert_eq!(anna.expect_view().members, 2);
    let (view, rest): (ViewRecord, _) = bert.expect(event::VIEW);
    assert_eq!((view.handle, view.members, view.joined, view.left, view.together), (8, 2, 1, 0, 1));
    assert_eq!((view.id.ring_seq, view.id.ring_rep, view.id.ring_incarnation), (12, 7, 1_000));
    assert_eq!(rest.len(), (2 + 1 + 1) * 16 + 2 * 4 + view.reason_len as usize + 1);
    assert_eq!(&rest[4 * 16 + 8..], b"because of Join\0");

    anna.send(3, 4, 42, b"hello");
    anna.send(3, 5 | 0x100, 43, b"not to me");
    anna.send(3, 0, 44, b"");
    engine.run();
    let (head, body) = anna.expect_message();
    assert_eq!((head.handle, head.service, head.sequence, head.tag), (3, 4, 1, 42));
    assert_eq!((head.sender.node, head.sender.session), (7, (1_000 << 24) + 1));
    assert_eq!(body, b"hello");
    assert_eq!(anna.expect_message().0.tag, 44);
    let (head, body) = bert.expect_message();
    assert_eq!((head.handle, head.tag, body), (8, 0, b"hello".to_vec()));
    let (head, body) = bert.expect_message();
    assert_eq!((head.service, body), (5, b"not to me".to_vec()));
    assert_eq!(bert.expect_message().1, b"");

    anna.leave(3);
    anna.leave(3);
    engine.run();
    assert_eq!(anna.expect_left(), (3, Status::OK, "because of Leave".to_owned()));
    assert_eq!(bert.expect_view().left, 1);
    anna.leave(3);
    bert.send(8, 4, 0, b"alone");
    engine.run();
    assert_eq!(bert.expect_message().1, b"alone");
    anna.expect_nothing();
    bert.expect_nothing();
}

/// The old handle ends and the new one begins in the group's order, even if both were asked for at
/// once.
#[test]
fn leaving_and_joining_again_at_once() {
    let mut engine = Engine::new();
    let client = engine.open();
    client.join(1, "room");
    client.leave(1);
    client.join(2, "room");
    client.send(2, 4, 5, b"from the second");
    client.send(1, 4, 6, b"from the first");
    engine.run();
    // A receipt is given at once, the rest in the order of the group.
    assert_eq!(client.expect_receipt(), (1, Status::ENOTMEMBER, 6));
    assert_eq!(client.expect_view().handle, 1);
    assert_eq!(client.expect_left().0, 1);
    assert_eq!(client.expect_view().handle, 2);
    assert_eq!(client.expect_message().0.handle, 2);
    client.expect_nothing();
}

#[test]
fn joins_that_cannot_be_end_at_once() {
    let mut engine = Engine::new();
    engine.core.refuses = Some("taken");
    let client = engine.open();
    client.join(1, "room");
    client.join(2, "room");
    client.join(3, "");
    client.join(4, &"x".repeat(256));
    client.push(request::JOIN, JoinRecord { handle: 5, flags: 0 }.as_bytes(), b"a\xFFb").expect("");
    client.push(request::JOIN, JoinRecord { handle: 6, flags: 8 }.as_bytes(), b"room").expect("");
    client.join(7, "nul\0");
    client.join(8, "taken");
    client.join(9, &"x".repeat(255));
    engine.run();
    let mut refused = Vec::new();
    let mut views = Vec::new();
    for (kind, bytes) in client.drain() {
        if kind == event::VIEW {
            views.push(ViewRecord::split_from(&bytes).expect("long enough").0.handle);
            continue;
        }
        assert_eq!(kind, event::LEFT);
        let (left, reason) = LeftRecord::split_from(&bytes).expect("long enough");
        assert!(!reason.is_empty());
        refused.push((left.handle, Status(left.status)));
    }
    refused.sort_unstable_by_key(|refused| refused.0);
    let expected = [
        (2, Status::EEXIST),
        (3, Status::EINVAL),
        (4, Status::EINVAL),
        (5, Status::EINVAL),
        (6, Status::ENOTSUP),
        (7, Status::EINVAL),
        (8, Status::ESTATE),
    ];
    assert_eq!(refused, expected);
    assert_eq!(views, [1, 9]);
    // A refused handle is free again.
    client.join(8, "other");
    engine.run();
    assert_eq!(client.expect_view().handle, 8);
}

#[test]
fn a_send_only_handle_sends_and_hears_nothing() {
    let mut engine = Engine::new();
    let (anna, bert) = (engine.open(), engine.open());
    anna.join(1, "room");
    let record = JoinRecord { handle: 2, flags: JOIN_SEND_ONLY };
    bert.push(request::JOIN, record.as_bytes(), b"room").expect("room");
    engine.run();
    assert_eq!(anna.expect_view().members, 1);
    bert.send(2, 4, 1, b"from outside");
    engine.run();
    assert_eq!(anna.expect_message().1, b"from outside");
    bert.expect_nothing();
    // It may be a member as well, by another handle.
    bert.join(3, "room");
    engine.run();
    assert_eq!(bert.expect_view().handle, 3);
    bert.leave(2);
    engine.run();
    assert_eq!(bert.expect_left().0, 2);
    bert.send(2, 4, 7, b"");
    engine.run();
    assert_eq!(bert.expect_receipt(), (2, Status::ENOTMEMBER, 7));
    assert_eq!(engine.sessions.describe()[1].groups, ["room"]);
}

#[test]
fn messages_that_cannot_be_sent_get_receipts() {
    let mut engine = Engine::new();
    let client = engine.open();
    client.join(1, "room");
    client.send(2, 4, 10, b"unknown handle");
    client.send(1, 0x200 | 4, 11, b"receipt");
    client.send(1, 0x400 | 4, 12, b"same view");
    client.send(1, 0x3000 | 4, 12, b"before and behind others");
    client.send(1, 1 << 31, 13, b"from the future");
    client.send(1, 6, 14, b"no such level");
    client.send(1, 4, 15, &[1; MESSAGE_LEN_MAX + 1]);
    client.send(1, 4, 16, &[2; MESSAGE_LEN_MAX]);
    engine.run();
    let expected = [
        // Of the higher one, as far as there is an order.
        (1, Status::EINVAL, 12),
        (2, Status::ENOTMEMBER, 10),
        (1, Status::ENOTSUP, 11),
        (1, Status::EVIEW, 12),
        (1, Status::ENOTSUP, 13),
        (1, Status::EINVAL, 14),
        (1, Status::EMSGSIZE, 15),
    ];
    assert_eq!([(); 7].map(|()| client.expect_receipt()), expected);
    assert_eq!(client.expect_view().handle, 1);
    let (head, body) = client.expect_message();
    assert_eq!((head.tag, body), (16, vec![2; MESSAGE_LEN_MAX]));
}

#[test]
fn queries_are_answered_in_parts() {
    let mut engine = Engine::new();
    let client = engine.open();
    let json = format!("{{\"long\":\"{}\"}}", "\u{e9}".repeat(6_000));
    client.query(5, json.as_bytes());
    client.query(6, b"\xFF");
    engine.run();
    let (mut answer, mut more) = (Vec::new(), 1);
    let (refusal, words): (ReplyRecord, _) = client.expect(event::REPLY);
    assert_eq!((refusal.tag, Status(refusal.status), refusal.more), (6, Status::EINVAL, 0));
    assert_eq!(text(&words), "{\"error\":\"the query is not UTF-8\"}");
    let mut parts = 0;
    while more == 1 {
        let (head, part): (ReplyRecord, _) = client.expect(event::REPLY);
        assert_eq!((head.tag, head.status), (5, 0));
        assert!(std::str::from_utf8(&part).is_ok(), "whole characters");
        answer.extend(part);
        (more, parts) = (head.more, parts + 1);
    }
    assert_eq!((text(&answer), parts), (json, 2));
}

#[test]
fn a_query_may_be_refused_for_its_length() {
    // The smallest rings carry no query that is too long; a larger one does.
    let mut engine = Engine::new();
    let (near, far) = socket::pair().expect("socketpair");
    engine.sessions.accept(near, &engine.epoll, engine.now);
    let client = RawClient::with_capacity(far, 1 << 20);
    client.greet();
    engine.run();
    assert_eq!(client.welcome().map(|w| w.status), Some(0));
    client.query(1, &[b' '; 65_537]);
    engine.run();
    let (refusal, _): (ReplyRecord, _) = client.expect(event::REPLY);
    assert_eq!((refusal.tag, Status(refusal.status)), (1, Status::EMSGSIZE));
}

/// One session floods, another sends one message: it does not wait for the flood.
#[test]
fn turns_are_shared() {
    let mut engine = Engine::new();
    let (flood, modest) = (engine.open(), engine.open());
    flood.join(1, "room");
    modest.join(1, "room");
    engine.run();
    while flood.producer.push(request::SEND, 0, &[SendRecord::default().as_bytes()]).is_ok() {}
    flood.wake_engine();
    modest.send(1, 4, 1, b"me too");
    for key in engine.epoll.wait(0) {
        engine.sessions.ready(key, &engine.epoll);
    }
    let mut requests = 0;
    let more = engine.sessions.poll(200, DomainSet::NONE, &mut |_| {
        requests += 1;
        true
    });
    assert!(more && requests == 1, "sends to an unknown handle count, but ask for nothing");
}

/// When the protocol is full, nothing is lost and nobody is preferred.
#[test]
fn a_full_sink_gets_the_rest_later() {
    let mut engine = Engine::new();
    let clients = [engine.open(), engine.open()];
    for client in &clients {
        client.join(1, "room");
        (0..5).for_each(|tag| client.send(1, 4, tag, b"x"));
    }
    for key in engine.epoll.wait(0) {
        engine.sessions.ready(key, &engine.epoll);
    }
    let mut order = Vec::new();
    for _ in 0..12 {
        let more = engine.sessions.poll(usize::MAX, DomainSet::NONE, &mut |request| {
            if let Request::Command(_, Command::Send { session, tag, .. }) = request {
                order.push((session.0 & 0xF, tag));
            }
            false
        });
        assert!(!more, "not before the protocol has room");
    }
    let expected: Vec<_> = (0..5).flat_map(|tag| [(1, tag), (2, tag)]).collect();
    assert_eq!(order, expected);
}

/// While the protocol takes nothing, who asks the engine something is answered; what stands behind
/// a command waits with it.
#[test]
fn queries_are_answered_while_commands_wait() {
    let mut engine = Engine::new();
    let clients = [engine.open(), engine.open(), engine.open()];
    let [sends, asks, leaves] = &clients;
    sends.join(1, "room");
    sends.query(5, b"behind");
    asks.query(1, b"a");
    asks.query(2, b"b");
    asks.join(1, "room");
    asks.query(3, b"behind");
    leaves.push(request::CLOSE, &[], &[]).expect("room");
    for key in engine.epoll.wait(0) {
        engine.sessions.ready(key, &engine.epoll);
    }
    let mut poll = |accepting: bool| {
        let full = (!accepting).then_some(DomainId::DEFAULT).into_iter().collect();
        let mut seen = Vec::new();
        let more = engine.sessions.poll(usize::MAX, full, &mut |request| {
            seen.push(match request {
                Request::Query { tag, .. } => format!("query {tag}"),
                Request::Command(_, Command::Join { session, .. }) => {
                    format!("join {}", session.0 & 0xF)
                }
                Request::Command(_, other) => format!("{other:?}"),
            });
            true
        });
        assert!(!more, "nothing that could be taken now");
        seen
    };
    assert_eq!(poll(false), ["query 1", "query 2"]);
    assert!(leaves.closed().is_some());
    assert!(poll(false).is_empty());
    assert_eq!(poll(true), ["join 1", "query 5", "join 2", "query 3"]);
    assert!(poll(true).is_empty());
    // Nobody is forgotten, and everybody sleeps now.
    asks.query(4, b"{}");
    engine.run();
    assert_eq!(asks.next().map(|(kind, _)| kind), Some(event::REPLY));
}

/// The last command that the protocol had room for does not stop queries either.
#[test]
fn a_sink_that_fills_up_still_takes_queries() {
    let mut engine = Engine::new();
    let (sends, asks) = (engine.open(), engine.open());
    sends.join(1, "room");
    sends.join(2, "other");
    asks.query(1, b"{}");
    for key in engine.epoll.wait(0) {
        engine.sessions.ready(key, &engine.epoll);
    }
    let (mut joins, mut queries) = (0, 0);
    engine.sessions.poll(usize::MAX, DomainSet::NONE, &mut |request| match request {
        Request::Query { .. } => {
            queries += 1;
            true
        }
        Request::Command(..) => {
            joins += 1;
            false
        }
    });
    assert_eq!((joins, queries), (1, 1));
}

#[test]
fn queries_are_limited_per_poll_and_none_is_lost() {
    let mut engine = Engine::new();
    let (asks, sends) = (engine.open(), engine.open());
    (0..20).for_each(|tag| asks.query(tag, b"{}"));
    sends.join(1, "room");
    for key in engine.epoll.wait(0) {
        engine.sessions.ready(key, &engine.epoll);
    }
    let mut seen = Vec::new();
    let mut joins = 0;
    let mut counts = Vec::new();
    loop {
        let before = seen.len();
        let more = engine.sessions.poll(usize::MAX, DomainSet::NONE, &mut |request| {
            match request {
                Request::Query { tag, .. } => seen.push(tag),
                Request::Command(..) => joins += 1,
            }
            true
        });
        counts.push(seen.len() - before);
        assert_eq!(joins, 1, "others do not wait for the flood");
        if !more {
            break;
        }
    }
    assert_eq!(counts, [8, 8, 4]);
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
}

/// A question alone does not trouble the other nodes.
#[test]
fn only_who_has_joined_something_is_disconnected() {
    let mut engine = Engine::new();
    let (mut asks, mut joins) = (engine.open(), engine.open());
    asks.query(1, b"{}");
    let record = JoinRecord { handle: 2, flags: JOIN_SEND_ONLY };
    asks.push(request::JOIN, record.as_bytes(), b"room").expect("room");
    joins.join(1, "room");
    engine.run();
    engine.core.log.clear();
    asks.hang_up();
    joins.hang_up();
    engine.run();
    assert_eq!(engine.core.log, [format!("disconnect {}", (1_000_u64 << 24) + 2)]);
    assert!(engine.sessions.is_empty());
}

#[test]
fn a_tag_that_comes_back_without_its_message_is_receipted() {
    let mut engine = Engine::new();
    let client = engine.open();
    for (handle, flags) in [(1, 0), (2, JOIN_SEND_ONLY)] {
        let record = JoinRecord { handle, flags };
        client.push(request::JOIN, record.as_bytes(), b"room").expect("room");
    }
    engine.run();
    client.drain();
    let (session, group) = (SessionId((1_000 << 24) + 1), GroupId::of("room"));
    let room = Audience::Group(group, None);
    engine.sessions.receipt(DomainId::DEFAULT, session, &room, 77, Fate::Done);
    assert_eq!(client.expect_receipt(), (2, Status::OK, 77));
    client.leave(2);
    engine.run();
    client.drain();
    engine.sessions.receipt(DomainId::DEFAULT, session, &room, 78, Fate::Done);
    assert_eq!(client.expect_receipt(), (1, Status::OK, 78), "by what it has left");
    let other = Audience::Group(GroupId::of("other"), None);
    engine.sessions.receipt(DomainId::DEFAULT, session, &other, 79, Fate::Done);
    engine.sessions.receipt(DomainId::DEFAULT, SessionId(1), &room, 80, Fate::Done);
    client.expect_nothing();
}
