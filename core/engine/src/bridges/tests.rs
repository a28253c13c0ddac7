//! What comes over bridges, whoever sends it: which of it is new, and what is remembered of that.

use anasazi_protocol::{Incarnation, NodeId, Place, RingId, Service, ViewCause, ViewId, ViewKind};

use super::*;
use crate::config::Settings;

const OWN: Process = Process { node: NodeId(1), incarnation: Incarnation(9) };
const OTHER: Process = Process { node: NodeId(2), incarnation: Incarnation(9) };

fn bridges() -> Bridges {
    Bridges::new(&Settings::new().validate().expect("defaults"))
}

/// A message of another engine's own session to the group `g`.
fn delivery(payload: Bytes) -> MessageDelivery {
    MessageDelivery {
        to: Recipients::Group(GroupId::of("g"), 1),
        sender: own_member(OTHER),
        service: Service::Agreed,
        no_self: false,
        tag: 0,
        place: None,
        payload: Pieces::One(payload),
    }
}

/// The forward of the message with this ordinal, right after the one before.
fn forward(bridges: &mut Bridges, domain: DomainId, (bridge, ordinal): (u64, u64)) -> Hand {
    let ring = RingId { sequence: 1, representative: OTHER };
    let key = |ordinal| Place { ring, ordinal, frame: 1 }.into();
    let after = Some(key(ordinal - 1));
    let header = Header { bridge, key: key(ordinal), after, visited: Vec::new() };
    let mut message = delivery(header.with(b"message"));
    let hand = bridges.message(domain, OWN, &mut message);
    assert_eq!(message.payload.concat(), b"message", "it loses its header");
    hand
}

fn view(bridges: &mut Bridges, domain: DomainId, of: Process) {
    let member = MemberId { node: of.node, session: SessionId::first(of.incarnation) };
    let view = GroupView {
        group: GroupId::of("g"),
        name: "g".into(),
        kind: ViewKind::Regular,
        id: ViewId::default(),
        cause: ViewCause::Join,
        reason: String::new(),
        members: [member].into(),
        sets: [0].into(),
        joined: Vec::new(),
        left: Vec::new(),
        together: Vec::new(),
    };
    bridges.view(domain, OWN, &view);
}

#[test]
fn what_was_here_is_known_as_long_as_somebody_here_got_it() {
    let (mut bridges, fast, slow) = (bridges(), DomainId::at(1), DomainId::at(2));
    let group = GroupId::of("g");
    assert_eq!(forward(&mut bridges, fast, (7, 5)), Hand::On);
    assert_eq!(forward(&mut bridges, fast, (7, 5)), Hand::Nobody, "again");
    assert_eq!(forward(&mut bridges, fast, (7, 9)), Hand::OnAfterGap(group));
    assert_eq!(forward(&mut bridges, fast, (8, 5)), Hand::On, "another bridge");
    assert_eq!(forward(&mut bridges, slow, (7, 5)), Hand::On, "another domain");
    view(&mut bridges, fast, OWN);
    view(&mut bridges, slow, OTHER);
    assert_eq!(forward(&mut bridges, fast, (7, 9)), Hand::Nobody);
    assert_eq!(forward(&mut bridges, slow, (7, 5)), Hand::On, "nobody here got it");
    bridges.forget(fast);
    assert_eq!(forward(&mut bridges, fast, (7, 3)), Hand::On, "a new domain at its place");
    assert_eq!(forward(&mut bridges, slow, (7, 5)), Hand::Nobody);
}

/// Whoever has the key can name as many bridges as he likes.
#[test]
fn so_many_bridges_are_remembered() {
    let (mut bridges, fast) = (bridges(), DomainId::at(1));
    for bridge in 0..2 * RECEIVERS_MAX as u64 {
        assert_eq!(forward(&mut bridges, fast, (bridge, 5)), Hand::On);
    }
    assert_eq!(bridges.receivers.len(), RECEIVERS_MAX);
}

#[test]
fn what_is_no_forward_is_for_nobody() {
    let mut bridges = bridges();
    let mut hand = |message: &mut MessageDelivery| bridges.message(DomainId::at(1), OWN, message);
    for bytes in [&b""[..], b"no header", &[1; 30]] {
        assert_eq!(hand(&mut delivery(Bytes::copy_from_slice(bytes))), Hand::Nobody);
    }
    let to = Recipients::Session(own_session(OWN));
    assert_eq!(hand(&mut MessageDelivery { to, ..delivery(Bytes::new()) }), Hand::Nobody);
    let sender = MemberId { node: NodeId(2), session: SessionId::first(OTHER.incarnation) };
    assert_eq!(hand(&mut MessageDelivery { sender, ..delivery(Bytes::new()) }), Hand::On);
}
