//! Several groups, one session, one view: what a send may ask for beside its level.

use anasazi_protocol::{Audience, Command, Fate, GroupId, SessionId};
use anasazi_queue::record::{
    GroupRecord, JOIN_SEND_ONLY, Member, MultiRecord, PeerRecord, UNRELIABLE_LEN_MAX,
};

use super::*;

const NO_SELF: u32 = 0x100;
const SAME_VIEW: u32 = 0x400;

impl RawClient {
    /// To several groups, each with the views that were seen of it.
    pub(super) fn send_to(&self, service: u32, tag: u64, groups: &[(u32, u32)], message: &[u8]) {
        let records =
            groups.iter().map(|(handle, views)| GroupRecord { handle: *handle, views: *views });
        let further: Vec<u8> =
            records.skip(1).flat_map(|record| record.as_bytes().to_vec()).collect();
        let (handle, views) = groups[0];
        let count = groups.len() as u32 - 1;
        let head = SendRecord { handle, service, tag, views, groups: count };
        let parts = [&further[..], message].concat();
        self.push(request::SEND, head.as_bytes(), &parts).expect("room");
    }

    pub(super) fn peer(&self, handle: u32, node: u64, session: u64) {
        self.peer_in(handle, node, session, "");
    }

    pub(super) fn peer_in(&self, handle: u32, node: u64, session: u64, domain: &str) {
        let record = PeerRecord { handle, reserved: 0, to: Member { node, session } };
        self.push(request::PEER, record.as_bytes(), domain.as_bytes()).expect("room");
    }

    fn expect_multi(&self) -> (MultiRecord, Vec<u32>, Vec<u8>) {
        let (head, rest): (MultiRecord, _) = self.expect(event::MULTI);
        let (handles, message) = rest.split_at((head.handles as usize * 4).next_multiple_of(8));
        let handles = handles.chunks(4).map(|word| u32::from_ne_bytes(word.try_into().expect("4")));
        (head, handles.take(head.handles as usize).collect(), message.to_vec())
    }
}

fn session(number: u64) -> u64 {
    (1_000 << 24) + number
}

#[test]
fn a_message_to_several_groups_comes_once_with_the_list_of_ones_own() {
    let mut engine = Engine::new();
    let (both, one) = (engine.open(), engine.open());
    both.join(1, "a");
    both.join(2, "b");
    both.join(3, "c");
    one.join(9, "b");
    engine.run();
    both.drain();
    one.drain();
    both.send(2, 4, 1, b"first of b");
    both.send_to(5, 2, &[(1, 0), (2, 0), (3, 0)], b"to all");
    both.send_to(4 | NO_SELF, 3, &[(1, 0), (2, 0)], b"to others");
    engine.run();
    assert_eq!(both.expect_message().0.sequence, 1);
    let (head, handles, message) = both.expect_multi();
    assert_eq!((handles, message), (vec![1, 2, 3], b"to all".to_vec()));
    assert_eq!((head.service, head.tag, head.sequence), (5, 2, 1));
    both.expect_nothing();
    assert_eq!(one.expect_message().0.sequence, 1);
    let (head, handles, message) = one.expect_multi();
    assert_eq!((handles, message), (vec![9], b"to all".to_vec()));
    assert_eq!((head.tag, head.sequence, head.sender.session), (0, 2, session(1)));
    assert_eq!(one.expect_multi().2, b"to others");
    one.expect_nothing();
}

#[test]
fn lists_of_groups_that_are_none_are_refused() {
    let mut engine = Engine::new();
    let client = engine.open();
    client.join(1, "a");
    client.join(2, "b");
    client.peer(3, 7, session(1));
    engine.run();
    client.drain();
    client.send_to(4, 1, &[(1, 0), (1, 0)], b"twice");
    client.send_to(4, 2, &[(1, 0), (8, 0)], b"unknown");
    client.send_to(4, 3, &[(1, 0), (3, 0)], b"a peer among them");
    client.send_to(4, 4, &[(3, 0), (1, 0)], b"a peer first");
    client.send_to(0, 5, &[(1, 0), (2, 0)], &[0; UNRELIABLE_LEN_MAX - 17]);
    engine.run();
    let statuses = [(); 5].map(|()| client.expect_receipt());
    let expected = [
        (1, Status::EINVAL, 1),
        (1, Status::ENOTMEMBER, 2),
        (1, Status::EINVAL, 3),
        (3, Status::EINVAL, 4),
        (1, Status::EMSGSIZE, 5),
    ];
    assert_eq!(statuses, expected);
    client.expect_nothing();
    // More than it holds, or than there may be: no client of this version writes that.
    for groups in [2, 64, u32::MAX] {
        let broken = engine.open();
        broken.join(1, "a");
        let head = SendRecord { handle: 1, service: 4, groups, ..SendRecord::default() };
        broken.push(request::SEND, head.as_bytes(), &[0; 15]).expect("room");
        engine.run();
        broken.drain();
        assert!(engine.sessions.len() == 1, "{groups}");
    }
}

#[test]
fn a_message_to_a_peer_is_for_it_alone() {
    let mut engine = Engine::new();
    let (anna, bert) = (engine.open(), engine.open());
    anna.join(1, "room");
    bert.join(1, "room");
    anna.peer(2, 7, session(2));
    anna.peer(3, 7, session(1));
    engine.run();
    anna.drain();
    bert.drain();
    anna.send(2, 4, 6, b"to bert");
    anna.send(3, 4, 7, b"to myself");
    anna.send(3, 4 | NO_SELF, 8, b"to nobody");
    anna.send(2, 4 | SAME_VIEW, 9, b"a peer has no view");
    engine.run();
    let (head, body): (MessageRecord, _) = bert.expect(event::UNICAST);
    assert_eq!(body, b"to bert");
    assert_eq!((head.handle, head.sequence, head.tag), (0, 0, 0));
    assert_eq!((head.sender.node, head.sender.session), (7, session(1)));
    bert.expect_nothing();
    assert_eq!(anna.expect_receipt(), (2, Status::EINVAL, 9), "without the order");
    let (head, body): (MessageRecord, _) = anna.expect(event::UNICAST);
    assert_eq!((head.tag, &body[..]), (7, &b"to myself"[..]));
    anna.expect_nothing();
    let to = Audience::Member(MemberId { node: NodeId(7), session: SessionId(session(2)) });
    for (fate, status) in [
        (Fate::Done, Status::OK),
        (Fate::NotMember, Status::ENOTMEMBER),
        (Fate::NotSent, Status::ESTATE),
        (Fate::TooLong, Status::EMSGSIZE),
    ] {
        engine.sessions.receipt(DomainId::DEFAULT, SessionId(session(1)), &to, 5, fate);
        assert_eq!(anna.expect_receipt(), (2, status, 5));
    }
    assert_eq!(engine.sessions.describe()[0].groups, ["room"], "a peer is no group");
    anna.leave(2);
    engine.run();
    assert_eq!(anna.expect_left(), (2, Status::OK, "left".to_owned()));
}

#[test]
fn peers_that_are_none_are_refused() {
    let mut engine = Engine::new();
    let client = engine.open();
    for (handle, node, session) in [(1, 0, 5), (2, 1 << 32, 5), (3, 4, 0)] {
        client.peer(handle, node, session);
        engine.run();
        assert_eq!(client.expect_left().0, handle);
    }
    client.peer(1, 7, 5);
    client.peer(1, 7, 6);
    engine.run();
    assert!(engine.sessions.is_empty(), "one number for two");
}

/// A same-view message leaves only while its sender has seen the last view that it was given, and
/// then says which one that was.
#[test]
fn same_view_is_the_view_that_the_sender_has_seen() {
    let mut engine = Engine::new();
    let (anna, bert) = (engine.open(), engine.open());
    anna.join(1, "room");
    let outside = JoinRecord { handle: 2, flags: JOIN_SEND_ONLY };
    anna.push(request::JOIN, outside.as_bytes(), b"elsewhere").expect("room");
    engine.run();
    anna.expect_view();
    anna.send_to(4 | SAME_VIEW, 1, &[(1, 1)], b"seen");
    anna.send_to(4 | SAME_VIEW, 2, &[(1, 0)], b"not yet seen");
    anna.send_to(4 | SAME_VIEW, 3, &[(2, 0)], b"no view there");
    anna.send_to(SAME_VIEW, 4, &[(1, 1)], b"without order");
    engine.run();
    // The refusals come first: they need not go through the order.
    assert_eq!(anna.expect_receipt(), (1, Status::EVIEW, 2));
    assert_eq!(anna.expect_receipt(), (2, Status::EINVAL, 3));
    assert_eq!(anna.expect_receipt(), (1, Status::EINVAL, 4));
    assert_eq!(anna.expect_message().0.tag, 1);
    bert.join(1, "room");
    engine.run();
    anna.send_to(4 | SAME_VIEW, 5, &[(1, 1)], b"bert's view is on its way");
    engine.run();
    anna.expect_view();
    assert_eq!(anna.expect_receipt(), (1, Status::EVIEW, 5));
    // Seen when sent, over when ordered.
    anna.send_to(4 | SAME_VIEW, 6, &[(1, 2)], b"too late");
    for key in engine.epoll.wait(0) {
        engine.sessions.ready(key, &engine.epoll);
    }
    let mut kept = Vec::new();
    engine.sessions.poll(1_000, DomainSet::NONE, &mut |request| {
        kept.push(request);
        true
    });
    bert.leave(1);
    engine.run();
    let Some(Request::Command(_, Command::Send { to, .. })) = kept.first() else {
        panic!("{kept:?}")
    };
    assert!(matches!(to, Audience::Group(g, Some(_)) if *g == GroupId::of("room")));
    kept.into_iter().for_each(|request| engine.core.handle(request, &mut engine.sessions));
    anna.expect_view();
    assert_eq!(anna.expect_receipt(), (1, Status::EVIEW, 6));
    anna.expect_nothing();
}

#[test]
fn a_client_knows_of_each_message_with_a_tag_that_it_was_taken_and_has_its_end() {
    let mut engine = Engine::new();
    let client = engine.open();
    client.join(1, "room");
    engine.run();
    client.drain();
    client.send(1, 4, 0, b"untold");
    client.send(1, 4, 5, b"told");
    client.send(1, 4 | NO_SELF, 6, b"not for me");
    client.send(1, 99, 7, b"of no kind");
    client.send(2, 4, 8, b"to nobody");
    engine.run();
    let ends: Vec<u16> = client.drain().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(ends.iter().filter(|kind| **kind == event::RECEIPT).count(), 2, "{ends:?}");
    assert_eq!(client.told.borrow().clone(), (vec![5, 6, 7, 8], vec![6]));
}
