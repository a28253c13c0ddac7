//! What views say while a configuration changes.

use bytes::Bytes;

use super::fragments::Fragments;
use super::{Change, GroupOutput, Groups, Place};
use crate::id::{
    Configuration, GroupId, Incarnation, MemberId, NodeId, Process, RingId, SessionId,
};
use crate::output::GroupView;
use crate::service::Service;
use crate::wire::Writer;
use crate::wire::audience::Scope;
use crate::wire::frame::{Fragment, Frame, FrameKind};

fn ring(sequence: u64) -> RingId {
    RingId { sequence, representative: process(1) }
}

fn process(node: u32) -> Process {
    Process { node: NodeId(node), incarnation: Incarnation(1) }
}

fn member(node: u32, session: u64) -> MemberId {
    MemberId { node: NodeId(node), session: SessionId(session) }
}

fn frame(kind: FrameKind, who: MemberId) -> Frame {
    Frame {
        kind,
        no_self: false,
        service: Service::Agreed,
        session: who.session,
        group: GroupId::of("g"),
        counter: who.session.0,
        fragment: None,
        payload: Bytes::from_static(b"g"),
    }
}

fn written(frames: &[Frame]) -> Bytes {
    let mut w = Writer::default();
    frames.iter().for_each(|frame| frame.encode(&mut w));
    w.bytes.freeze()
}

/// The view that the group's local members get when a session joins or leaves.
fn ordered(
    groups: &mut Groups,
    configuration: Configuration,
    kind: FrameKind,
    who: MemberId,
) -> GroupView {
    let content = written(&[frame(kind, who)]);
    let origin = Process { node: who.node, ..process(0) };
    let place = Place { configuration, ordinal: 1, origin, frame: 0, component: 0 };
    let mut out = Vec::new();
    assert_eq!(groups.packet(place, &content, |_, _, changes| out.extend(changes)), 0);
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
        is_demotion: false,
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

#[test]
fn what_no_member_makes_is_counted_and_leaves_the_rest_as_it_is() {
    let mut groups = Groups::new(NodeId(1));
    let configuration = Configuration::Regular(ring(1));
    let place = Place { configuration, ordinal: 1, origin: process(2), frame: 0, component: 0 };
    let join = |session| frame(FrameKind::Join, member(2, session));
    let misnamed = Frame { group: GroupId::of("other"), ..join(3) };
    let unnamed = Frame { payload: Bytes::new(), ..join(4) };
    // A list of groups that ends before it begins.
    let audience = Frame { kind: FrameKind::Message(Scope::Groups), ..join(5) };
    let nothing = Frame {
        kind: FrameKind::Message(Scope::Group),
        fragment: Some(Fragment { offset: 0, total: 4 }),
        payload: Bytes::new(),
        ..join(5)
    };
    let content = written(&[join(1), misnamed, unnamed, audience, nothing, join(2)]);
    assert_eq!(groups.packet(place, &content, |_, _, _| {}), 4);
    let mut unknown = written(&[join(6), join(7), join(8)]).to_vec();
    let second = unknown.len() / 3;
    unknown[second] = 99;
    let count = groups.packet(place, &unknown.into(), |_, _, _| {});
    assert_eq!(count, 1, "a broken one, and what follows goes with it");
    let members: Vec<_> = groups.iter().flat_map(|(_, group)| &group.members).collect();
    assert_eq!(members, [&member(2, 1), &member(2, 2), &member(2, 6)]);
}

#[test]
fn pieces_of_nothing_and_beyond_the_end_make_no_message() {
    let mut fragments = Fragments::default();
    let mut add = |offset, payload: &'static [u8]| {
        let fragment = Fragment { offset, total: 4 };
        fragments.add(NodeId(2), 1, fragment, Bytes::from_static(payload))
    };
    assert_eq!(add(0, b"ab"), Ok(None));
    assert!(add(2, b"").is_err(), "they could be without end");
    assert_eq!(add(2, b"cd"), Ok(None), "the message was given up");
    assert_eq!(add(0, b"ab"), Ok(None));
    assert!(add(2, b"cde").is_err(), "more than all");
    assert_eq!(add(0, b"ab"), Ok(None));
    assert_eq!(add(2, b"cd").unwrap().unwrap().concat(), b"abcd");
}
