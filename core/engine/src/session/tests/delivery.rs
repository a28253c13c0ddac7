//! Slow readers, full rings, views for some and not for others.

use std::sync::Arc;

use anasazi_protocol::{
    GroupId, GroupView, MessageDelivery, Pieces, Recipients, RingId, Service, ViewCause, ViewId,
    ViewKind,
};

use super::*;

/// A message to "room" from another node.
pub(super) fn message(number: u64, len: usize) -> MessageDelivery {
    let mut payload = number.to_ne_bytes().to_vec();
    payload.resize(len, number as u8);
    MessageDelivery {
        to: Recipients::Group(GroupId::of("room"), number),
        sender: MemberId { node: NodeId(9), session: SessionId(1) },
        service: Service::Agreed,
        no_self: false,
        tag: 0,
        place: None,
        payload: Pieces::One(payload.into()),
    }
}

fn number(body: &[u8]) -> u64 {
    u64::from_ne_bytes(body[..8].try_into().expect("8"))
}

#[test]
fn a_slow_reader_gets_everything_in_order() {
    let mut engine = Engine::new();
    let client = engine.open();
    client.join(1, "room");
    engine.run();
    client.expect_view();
    // More than the ring holds, less than ring and backlog.
    for count in 1..=130 {
        engine
            .sessions
            .message(DomainId::DEFAULT, &message(count, if count % 10 == 0 { 5_000 } else { 500 }));
        engine.sessions.flush(&engine.epoll);
    }
    assert!(engine.sessions.describe()[0].backlog_len > 10_000);
    for expected in 1..=130 {
        if expected == 40 {
            client.query(1, b"{}"); // answers queue up behind the messages
        }
        // The protocol takes nothing meanwhile: deliveries go on.
        for key in engine.epoll.wait(0) {
            engine.sessions.ready(key, &engine.epoll);
        }
        engine.sessions.flush(&engine.epoll);
        let (head, body) = client.expect_message();
        assert_eq!((head.sequence, number(&body)), (expected, expected));
        assert_eq!(body.len(), if expected % 10 == 0 { 5_000 } else { 500 });
    }
    engine.run();
    assert_eq!(client.next().map(|(kind, _)| kind), Some(event::REPLY));
    assert_eq!(engine.sessions.describe()[0].backlog_len, 0);
    client.expect_nothing();
}

#[test]
fn a_reader_that_stands_still_is_cut_off_and_told() {
    let mut engine = Engine::new();
    let (slow, quick) = (engine.open(), engine.open());
    slow.join(1, "room");
    quick.join(1, "room");
    engine.run();
    slow.drain();
    quick.drain();
    let mut sent = 0;
    while engine.sessions.len() == 2 {
        sent += 1;
        engine.sessions.message(DomainId::DEFAULT, &message(sent, 1_000));
        engine.run();
        assert_eq!(quick.expect_message().0.sequence, sent);
        if sent == 1 {
            assert_eq!(quick.next().map(|_| ()), None);
        }
        assert!(sent < 1_000, "never cut off");
    }
    // The ring's content, without a gap, and then why there is no more.
    let mut records = slow.drain();
    let (kind, closed) = records.pop().expect("the last word");
    assert_eq!(kind, event::CLOSED);
    assert_eq!(closed[..4], Status::ESLOW.0.to_ne_bytes());
    assert!(text(&closed[8..]).contains("client.backlog_len"), "{}", text(&closed[8..]));
    assert!(records.len() > 50);
    for (expected, (_, bytes)) in (1..).zip(&records) {
        let (head, _) = MessageRecord::split_from(bytes).expect("long enough");
        assert_eq!(head.sequence, expected);
    }
    assert!(slow.is_hung_up());
    assert_eq!(slow.traces(), (1, 1));
    slow.wake_engine();
    assert!(engine.epoll.wait(0).is_empty(), "nothing of it is watched any more");
    assert!(engine.core.log.last().is_some_and(|line| line.starts_with("disconnect")));
    assert_eq!(quick.expect_view().left, 1);
}

/// Sessions of two nodes that started at the same time have the same numbers.
#[test]
fn a_session_of_another_node_is_a_stranger_whatever_its_number() {
    let mut engine = Engine::new();
    let client = engine.open();
    client.join(1, "room");
    engine.run();
    client.drain();
    let same_number = SessionId((1_000 << 24) + 1);
    let sender = MemberId { node: NodeId(9), session: same_number };
    engine.sessions.message(
        DomainId::DEFAULT,
        &MessageDelivery { sender, no_self: true, tag: 5, ..message(1, 8) },
    );
    let (head, _) = client.expect_message();
    assert_eq!((head.sender.node, head.sender.session, head.tag), (9, same_number.0, 0));
}

#[test]
fn what_can_never_fit_ends_the_session_in_words() {
    let mut engine = Engine::new();
    let client = engine.open();
    client.join(1, "room");
    engine.run();
    client.drain();
    engine.sessions.message(DomainId::DEFAULT, &message(1, 20_000));
    engine.run();
    let (status, reason) = client.closed().expect("the last word");
    assert_eq!(Status(status), Status::EMSGSIZE);
    assert!(reason.contains("session.receive_ring_len"), "{reason}");
}

#[test]
fn one_wake_up_per_batch_and_sleep() {
    let mut engine = Engine::new();
    let client = engine.open();
    client.join(1, "room");
    engine.run();
    client.drain();
    assert!(client.was_woken());
    (1..10).for_each(|count| engine.sessions.message(DomainId::DEFAULT, &message(count, 8)));
    engine.sessions.flush(&engine.epoll);
    assert!(!client.was_woken(), "the client is awake");
    client.drain();
    assert!(client.consumer.prepare_sleep());
    (1..10).for_each(|count| engine.sessions.message(DomainId::DEFAULT, &message(count, 8)));
    assert!(!client.was_woken(), "not before the batch is complete");
    engine.sessions.flush(&engine.epoll);
    assert!(client.was_woken());
}

fn view(kind: ViewKind, members: &[u64], joined: &[u64], left: &[u64]) -> GroupView {
    let ids = |list: &[u64]| list.iter().map(|id| member(SessionId(*id))).collect::<Vec<_>>();
    GroupView {
        group: GroupId::of("room"),
        name: Arc::from("room"),
        kind,
        id: ViewId { ring: RingId::default(), ordinal: 1, sub: 0 },
        cause: ViewCause::Network,
        reason: "a test".to_owned(),
        members: ids(members).into(),
        sets: vec![0; members.len()].into(),
        joined: ids(joined),
        left: ids(left),
        together: ids(members),
    }
}

#[test]
fn views_and_messages_are_for_members_only() {
    let mut engine = Engine::new();
    let client = engine.open();
    // Asked for, and not ordered yet.
    client.join(1, "room");
    engine.epoll.wait(0).iter().for_each(|key| engine.sessions.ready(*key, &engine.epoll));
    engine.sessions.poll(10, DomainSet::NONE, &mut |_| true);
    let id = (1_000 << 24) + 1;
    engine.sessions.message(DomainId::DEFAULT, &message(1, 8));
    engine.sessions.view(DomainId::DEFAULT, &view(ViewKind::Regular, &[5], &[5], &[]));
    engine.sessions.view(DomainId::DEFAULT, &view(ViewKind::Transitional, &[5, id], &[id], &[]));
    client.expect_nothing();
    engine.sessions.view(DomainId::DEFAULT, &view(ViewKind::Regular, &[5, id], &[id], &[]));
    assert_eq!(client.expect_view().members, 2);
    engine.sessions.view(DomainId::DEFAULT, &view(ViewKind::Transitional, &[5, id], &[], &[]));
    let transitional = client.expect_view();
    assert_eq!((transitional.transitional, transitional.cause), (1, 4));
    engine.sessions.message(DomainId::DEFAULT, &message(2, 8));
    client.expect_message();
    // Out without having asked.
    engine.sessions.view(DomainId::DEFAULT, &view(ViewKind::Regular, &[5], &[], &[id]));
    assert_eq!(client.expect_left(), (1, Status::ECLOSED, "a test".to_owned()));
    engine.sessions.view(DomainId::DEFAULT, &view(ViewKind::Regular, &[5], &[], &[id]));
    engine.sessions.message(DomainId::DEFAULT, &message(3, 8));
    engine.sessions.join_refused(
        SessionId(id),
        DomainId::DEFAULT.group(GroupId::of("room")),
        "nothing to refuse",
    );
    engine.sessions.reply(SessionId(id + 1), 0, Status::OK, "{}", false);
    client.expect_nothing();
}
