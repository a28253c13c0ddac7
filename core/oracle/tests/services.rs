//! Messages without order, to one session, in one view, to several groups.

mod log;

use anasazi_oracle::{Axiom, Entry};
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Audience, GroupId, MessageId, Priority, Recipients, Service, SessionId};
use log::*;

const OTHER: GroupId = GroupId(99);

/// Processes 1 and 2 in ring 2 and in the group.
fn joined() -> Log {
    let mut log = Log::together(2);
    for node in 1..=2 {
        log.view(node, view(2, 1, 1), &[1, 2], &[3 - node]);
    }
    log
}

fn send(log: &mut Log, message: MessageId, to: Audience, service: Service) {
    let (session, hash) = (session(message.origin.node.0), message.counter);
    let priority = Some(Priority::Normal);
    let send = Trace::Send { message, session, to, service, priority, hash };
    log.add(message.origin, Entry::Trace(send));
}

fn unordered(message: MessageId, ring_sequence: u64, to: Option<Recipients>) -> Trace {
    let (ring, hash) = (ring(ring_sequence), message.counter);
    Trace::Unordered { message, ring, hash, to }
}

/// A message of process 1 without order, to the group.
fn unordered_sent() -> (Log, MessageId) {
    let mut log = joined();
    let message = message(1, 1);
    send(&mut log, message, Audience::Group(GROUP, None), Service::Unreliable);
    (log, message)
}

fn to_group() -> Option<Recipients> {
    Some(Recipients::Group(GROUP, 0))
}

#[test]
fn without_order_nothing_is_owed() {
    let (mut log, message) = unordered_sent();
    log.assert_holds(true);
    log.trace(2, unordered(message, 2, to_group()));
    log.assert_holds(true);
}

#[test]
fn b1_without_order_but_never_sent_so() {
    let mut log = joined();
    log.trace(2, unordered(message(1, 1), 2, to_group()));
    log.assert_violates(Axiom::B1);
    let mut log = joined();
    send(&mut log, message(1, 1), Audience::Group(GROUP, None), Service::Agreed);
    log.trace(2, unordered(message(1, 1), 2, to_group()));
    log.assert_violates(Axiom::B1);
}

#[test]
fn b2_without_order_and_twice() {
    let (mut log, message) = unordered_sent();
    log.trace(2, unordered(message, 2, None)).trace(2, unordered(message, 2, to_group()));
    log.assert_violates(Axiom::B2);
}

#[test]
fn b3_without_order_in_another_ring() {
    let (mut log, message) = unordered_sent();
    log.moves(1, (2, 3), &[1, 2]).moves(2, (2, 3), &[1, 2]);
    log.trace(2, unordered(message, 3, to_group()));
    log.assert_violates(Axiom::B3);
    let (mut log, message) = unordered_sent();
    log.moves(2, (2, 3), &[1, 2]).trace(2, unordered(message, 2, to_group()));
    log.assert_violates(Axiom::B3);
}

#[test]
fn g5_without_order_to_those_who_are_no_members() {
    let (mut log, message) = unordered_sent();
    log.trace(2, unordered(message, 2, Some(Recipients::Group(OTHER, 0))));
    log.assert_violates(Axiom::G5);
    let mut log = Log::together(2);
    send(&mut log, message, Audience::Group(GROUP, None), Service::Unreliable);
    log.trace(2, unordered(message, 2, to_group()));
    log.assert_violates(Axiom::G5);
    let (mut log, message) = unordered_sent();
    log.trace(2, unordered(message, 2, Some(Recipients::Session(session(2)))));
    log.assert_violates(Axiom::G5);
}

/// Sent and ordered by process 1 at ordinal 5.
fn ordered(to: Audience) -> (Log, At) {
    let mut log = joined();
    let at = agreed(1, 1, 5);
    send(&mut log, at.message, to, Service::Agreed);
    log.order(at);
    (log, at)
}

fn unicast(at: At, to: SessionId) -> Trace {
    Trace::Unicast { message: at.message, session: to }
}

#[test]
fn a_message_to_one_session_is_given_to_it_and_to_nobody_else() {
    let to = Audience::Member(member(2));
    let (mut log, at) = ordered(to.clone());
    log.deliver(1, at).deliver(2, at).trace(2, unicast(at, session(2)));
    log.assert_holds(true);
    let (mut log, at) = ordered(to.clone());
    log.deliver(1, at).trace(1, unicast(at, session(1)));
    log.assert_violates(Axiom::G3);
    let (mut log, at) = ordered(to.clone());
    log.deliver(2, at).trace(2, unicast(at, session(2))).trace(2, unicast(at, session(2)));
    log.assert_violates(Axiom::G3);
    let (mut log, at) = ordered(to);
    log.deliver(2, at).trace(2, Trace::TokenVisit { ring: ring(2), token_sequence: 1 });
    log.assert_violates(Axiom::G3);
}

#[test]
fn a_message_to_several_groups_is_given_to_each_once() {
    let to = Audience::Groups(vec![(OTHER, None), (GROUP, None)]);
    let (mut log, at) = ordered(to.clone());
    for node in 1..=2 {
        log.deliver(node, at).give(node, at, 1);
    }
    log.assert_holds(true);
    let (mut log, at) = ordered(to);
    log.deliver(1, at).give(1, at, 1).give(1, at, 2);
    log.assert_violates(Axiom::G3);
}

fn fate(at: At, refused: bool) -> Trace {
    let Trace::Deliver { message, configuration, ordinal, frame, service, hash, .. } =
        at.delivery(regular(2))
    else {
        unreachable!("a delivery")
    };
    Trace::Deliver { message, configuration, ordinal, frame, service, hash, refused }
}

#[test]
fn g7_same_view_is_for_all_or_for_nobody_and_in_that_view() {
    let here = Audience::Group(GROUP, Some(view(2, 1, 1)));
    let elsewhere = Audience::Group(GROUP, Some(view(2, 0, 7)));
    let (mut log, at) = ordered(here.clone());
    log.deliver(1, at).give(1, at, 1).deliver(2, at).give(2, at, 1);
    log.assert_holds(true);
    let (mut log, at) = ordered(elsewhere.clone());
    for node in 1..=2 {
        log.packet(node, at, regular(2)).trace(node, fate(at, true));
    }
    log.assert_holds(true);
    // Delivered in another view; refused in its own; refused by one alone; given although refused.
    let (mut log, at) = ordered(elsewhere.clone());
    log.deliver(1, at);
    log.assert_violates(Axiom::G7);
    let (mut log, at) = ordered(here);
    log.packet(1, at, regular(2)).trace(1, fate(at, true));
    log.assert_violates(Axiom::G7);
    let unknown = Audience::Group(OTHER, Some(view(2, 1, 1)));
    let (mut log, at) = ordered(unknown);
    log.deliver(1, at).packet(2, at, regular(2)).trace(2, fate(at, true));
    log.assert_violates(Axiom::G7);
    let (mut log, at) = ordered(elsewhere);
    log.packet(1, at, regular(2)).trace(1, fate(at, true)).give(1, at, 1);
    log.assert_violates(Axiom::G3);
}
