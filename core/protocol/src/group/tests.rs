//! What views say while a configuration changes.

use bytes::Bytes;

use super::{Change, GroupOutput, Groups, Place};
use crate::id::{
    Configuration, GroupId, Incarnation, MemberId, NodeId, Process, RingId, SessionId,
};
use crate::output::GroupView;
use crate::service::Service;
use crate::wire::Writer;
use crate::wire::frame::{Frame, FrameKind};

fn ring(sequence: u64) -> RingId {
    RingId { sequence, representative: process(1) }
}

fn process(node: u32) -> Process {
    Process { node: NodeId(node), incarnation: Incarnation(1) }
}

fn member(node: u32, session: u64) -> MemberId {
    MemberId { node: NodeId(node), session: SessionId(session) }
}

/// The view that the group's local members get when a session joins or leaves.
fn ordered(
    groups: &mut Groups,
    configuration: Configuration,
    kind: FrameKind,
    who: MemberId,
) -> GroupView {
    let frame = Frame {
        kind,
        no_self: false,
        service: Service::Agreed,
        session: who.session,
        group: GroupId::of("g"),
        counter: who.session.0,
        fragment: None,
        payload: Bytes::from_static(b"g"),
    };
    let mut w = Writer::default();
    frame.encode(&mut w);
    let origin = Process { node: who.node, ..process(0) };
    let place = Place { configuration, ordinal: 1, origin, frame: 0, component: 0 };
    let mut out = Vec::new();
    groups.packet(place, &w.bytes.freeze(), &mut out);
    let view = out.into_iter().find_map(|output| match output {
        GroupOutput::View(view) => Some(view),
        _ => None,
    });
    view.expect("a view")
}

#[test]
fn after_the_signal_only_those_who_move_along_are_together() {
    let mut groups = Groups::new(NodeId(1));
    let regular = Configuration::Regular(ring(1));
    let (mine, lost, late, other) = (member(1, 1), member(2, 1), member(1, 2), member(3, 1));
    for who in [mine, lost, other] {
        ordered(&mut groups, regular, FrameKind::Join, who);
    }
    let change = Change {
        new: ring(2),
        together: vec![NodeId(1), NodeId(3)],
        component: 0,
        ordinal: 0,
        reason: String::new(),
    };
    groups.transitional(&change, &mut Vec::new());
    let transitional = Configuration::Transitional { old: ring(1), new: ring(2) };
    let joined = ordered(&mut groups, transitional, FrameKind::Join, late);
    assert_eq!(&*joined.members, &[mine, lost, other, late]);
    assert_eq!(joined.together, [mine, other]);
    assert_eq!(&*joined.sets, &[0, 2, 0, 1]);
    let left = ordered(&mut groups, transitional, FrameKind::Leave, late);
    assert_eq!(left.together, [mine, other]);
    assert_eq!(&*left.sets, &[0, 2, 0]);
    // The next configuration has another measure.
    let tables = [groups.snapshot(&change.together)];
    groups.install(&change, &tables, &mut Vec::new());
    let next = ordered(&mut groups, Configuration::Regular(ring(2)), FrameKind::Join, late);
    assert_eq!(next.together, [mine, other]);
}
