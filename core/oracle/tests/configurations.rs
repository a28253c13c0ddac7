//! Each rule about configurations, and about what may be delivered around a change, has a log that
//! breaks it.

mod log;

use anasazi_oracle::{Axiom, Entry};
use anasazi_protocol::NodeId;
use anasazi_protocol::trace::Trace;
use log::*;

/// Three processes; 1 is cut off with holes; 2 and 3 move on together; then all merge.
fn correct() -> Log {
    let mut log = Log::together(3);
    let (a, b, c, d) = (agreed(1, 1, 5), agreed(2, 1, 6), agreed(3, 1, 7), safe(2, 2, 8));
    log.send(a).send(b).send(c).send(d);
    log.deliver(1, a).deliver(2, a).deliver(3, a);
    for node in [2, 3] {
        log.deliver(node, b).deliver(node, c);
        log.transitional(node, (2, 4), &[2, 3], &[2, 3]);
        log.deliver_in(node, d, transitional(2, 4)).regular(node, 4, &[2, 3]);
    }
    log.moves(1, (2, 3), &[1]);
    log.transitional(1, (3, 5), &[1], &[1]).regular(1, 5, &[1, 2, 3]);
    for node in [2, 3] {
        log.transitional(node, (4, 5), &[2, 3], &[2, 3]).regular(node, 5, &[1, 2, 3]);
    }
    log
}

#[test]
fn a_correct_log_passes() {
    correct().assert_holds(true);
}

#[test]
fn c1_installs_a_configuration_without_itself() {
    let mut log = Log::together(2);
    log.transitional(2, (2, 3), &[1], &[1]);
    log.assert_violates(Axiom::C1);
}

#[test]
fn c2_one_ring_with_two_member_lists() {
    let mut log = Log::together(2);
    log.transitional(1, (2, 3), &[1], &[1]).regular(1, 3, &[1]);
    log.transitional(2, (2, 3), &[2], &[2]).assert_violates(Axiom::C2);
    let mut log = Log::together(2);
    log.moves(1, (2, 3), &[1, 2]).transitional(2, (2, 3), &[1, 2], &[1, 2]);
    log.regular(2, 3, &[1, 2, 3]);
    log.assert_violates(Axiom::C2);
}

#[test]
fn c3_no_transitional_between_two_regulars() {
    let mut log = Log::together(2);
    log.regular(1, 3, &[1, 2]);
    log.assert_violates(Axiom::C3);
}

#[test]
fn c3_transitional_to_elsewhere() {
    let mut log = Log::together(2);
    log.transitional(1, (2, 3), &[1, 2], &[]).regular(1, 4, &[1, 2]);
    log.assert_violates(Axiom::C3);
}

#[test]
fn c3_first_ring_is_not_its_own() {
    let mut log = Log::default();
    log.add(process(1), Entry::Boot { stored: false }).regular(1, 2, &[1, 2]);
    log.assert_violates(Axiom::C3);
}

#[test]
fn c3_stranger_in_transitional() {
    let mut log = Log::together(2);
    log.transitional(1, (2, 3), &[1, 3], &[]);
    log.assert_violates(Axiom::C3);
}

#[test]
fn c4_ring_ids_of_an_incarnation_fall() {
    let mut log = Log::together(2);
    log.transitional(1, (2, 1), &[1], &[]).regular(1, 1, &[1]);
    log.assert_violates(Axiom::C4);
}

/// Where it is known how often state was taken from a node, it may not be lost otherwise.
#[test]
fn id_a_start_without_the_state_that_nobody_took() {
    for (taken, holds) in [(None, true), (Some(0), false), (Some(1), true)] {
        let mut log = Log::together(2);
        log.options.state_losses = taken.map(|times| [(NodeId(1), times)].into());
        log.add(process(1), Entry::Crash).boot(incarnation(1, 2));
        if holds {
            assert!(
                log.assert_holds(false).unchecked.iter().any(|what| what.contains("ID and C4"))
            );
        } else {
            log.assert_violates(Axiom::Id);
        }
    }
}

#[test]
fn c4_holds_across_incarnations_with_storage_only() {
    let (old, new) = (process(1), incarnation(1, 2));
    for stored in [false, true] {
        let mut log = Log::together(2);
        log.add(old, Entry::Crash).add(new, Entry::Boot { stored });
        let members = vec![new];
        log.add(new, Entry::Trace(Trace::Regular { ring: first_ring(new), members }));
        if stored {
            log.assert_violates(Axiom::C4);
        } else {
            log.assert_holds(false);
        }
    }
}

#[test]
fn c2_two_who_move_together_do_not_know_of_each_other() {
    let mut log = Log::together(2);
    log.transitional(1, (2, 3), &[1], &[1]).regular(1, 3, &[1, 2]);
    log.transitional(2, (2, 3), &[2], &[2]).assert_violates(Axiom::C2);
}

#[test]
fn c5_member_of_transitional_came_from_elsewhere() {
    let mut log = Log::together(2);
    log.transitional(1, (2, 4), &[1, 2], &[1, 2]).regular(1, 4, &[1, 2]);
    log.moves(2, (2, 3), &[2]).transitional(2, (3, 4), &[2], &[2]).regular(2, 4, &[1, 2]);
    log.assert_violates(Axiom::C5);
}

#[test]
fn c5_two_who_move_together_are_obligated_differently() {
    let mut log = Log::together(3);
    log.transitional(1, (2, 3), &[1, 2], &[1, 2]).transitional(2, (2, 3), &[1, 2], &[1, 2, 3]);
    log.assert_violates(Axiom::C5);
}

#[test]
fn to3_an_obligation_of_an_earlier_ring() {
    let mut log = Log::together(3);
    log.moves(1, (2, 3), &[1]).transitional(1, (3, 4), &[1], &[1, 2]);
    log.assert_violates(Axiom::To3);
}

#[test]
fn c6_member_never_installs() {
    let mut log = Log::together(2);
    log.moves(1, (2, 3), &[1, 2]);
    log.assert_holds(false);
    log.assert_violates_if(Axiom::C6, true);
    log.add(process(2), Entry::Crash);
    log.assert_holds(true);
}

#[test]
fn sd_own_message_is_not_delivered() {
    let mut log = Log::together(2);
    log.send(agreed(1, 1, 5)).moves(1, (2, 3), &[1]);
    log.assert_violates(Axiom::Sd);
}

#[test]
fn vs_one_of_two_who_move_together_delivered_more() {
    let mut log = Log::together(3);
    let at = agreed(3, 1, 5);
    log.send(at).add(process(3), Entry::Crash).deliver(1, at);
    log.moves(1, (2, 3), &[1, 2]).moves(2, (2, 3), &[1, 2]);
    log.assert_violates(Axiom::Vs);
}

#[test]
fn regmax_regular_at_one_and_transitional_at_the_other() {
    let mut log = Log::together(3);
    let at = safe(3, 1, 5);
    log.send(at).add(process(3), Entry::Crash).deliver(1, at).moves(1, (2, 3), &[1, 2]);
    log.transitional(2, (2, 3), &[1, 2], &[1, 2]).deliver_in(2, at, transitional(2, 3));
    log.regular(2, 3, &[1, 2]);
    log.assert_violates(Axiom::RegMax);
}

#[test]
fn to2_hole_in_a_regular_configuration() {
    let mut log = Log::together(2);
    let (a, b) = (agreed(1, 1, 5), agreed(2, 1, 6));
    log.send(a).send(b).deliver(2, b);
    log.assert_violates(Axiom::To2);
}

/// A packet that gives up no message passes for one that holds none, unless others say what it
/// holds.
#[test]
fn to2_a_message_of_a_packet_taken_is_not_delivered() {
    let at = agreed(2, 1, 5);
    // Alone on its way, so that nobody is compared with it.
    let mut log = Log::together(2);
    log.send(at).deliver(2, at).packet(1, at, regular(2)).moves(1, (2, 3), &[1]);
    log.assert_violates(Axiom::To2);
    // A crash may come within the last packet, not before others.
    let mut log = Log::together(2);
    log.send(at).packet(1, at, regular(2)).add(process(1), Entry::Crash);
    log.assert_holds(false);
    let (mut log, next) = (Log::together(2), agreed(2, 2, 6));
    log.send(at).send(next).packet(1, at, regular(2)).deliver(1, next);
    log.add(process(1), Entry::Crash).assert_violates(Axiom::To2);
}

#[test]
fn to3_a_message_before_the_hole_is_not_delivered() {
    let mut log = Log::together(2);
    let at = safe(2, 1, 5);
    log.send(at).transitional(1, (2, 3), &[1], &[1]).packet(1, at, transitional(2, 3));
    log.regular(1, 3, &[1]).assert_violates(Axiom::To3);
}

#[test]
fn to3_passes_over_a_packet_of_a_transitional_member() {
    let mut log = Log::together(3);
    let (a, b) = (agreed(1, 1, 5), agreed(2, 1, 6));
    log.send(a).send(b);
    log.transitional(2, (2, 3), &[1, 2], &[1, 2]).deliver_in(2, b, transitional(2, 3));
    log.assert_violates(Axiom::To3);
}

#[test]
fn to3_delivers_behind_a_hole_without_obligation() {
    let mut log = Log::together(4);
    let (a, b) = (agreed(3, 1, 5), agreed(4, 1, 6));
    log.send(a).send(b).add(process(3), Entry::Crash).add(process(4), Entry::Crash);
    log.transitional(2, (2, 3), &[1, 2], &[1, 2]).deliver_in(2, b, transitional(2, 3));
    log.assert_violates(Axiom::To3);
    // With the obligation, taken over in an attempt that failed, it is right.
    let mut log = Log::together(4);
    log.send(a).send(b).add(process(3), Entry::Crash).add(process(4), Entry::Crash);
    log.transitional(2, (2, 3), &[2], &[2, 4]).deliver_in(2, b, transitional(2, 3));
    log.assert_holds(false);
}

#[test]
fn regmax_nothing_kept_it_from_being_delivered_before() {
    let mut log = Log::together(2);
    let at = agreed(2, 1, 5);
    log.send(at).transitional(1, (2, 3), &[1], &[1]).deliver_in(1, at, transitional(2, 3));
    log.assert_violates(Axiom::RegMax);
}

#[test]
fn regmax_a_safe_message_known_to_be_held_by_all_is_put_off() {
    for (safe_line, holds) in [(4, true), (5, false)] {
        let mut log = Log::together(2);
        log.safe_line = Some(safe_line);
        let at = safe(2, 1, 5);
        log.send(at).transitional(1, (2, 3), &[1], &[1]).deliver_in(1, at, transitional(2, 3));
        log.regular(1, 3, &[1]);
        if holds {
            log.assert_holds(false);
        } else {
            log.assert_violates(Axiom::RegMax);
        }
    }
}

#[test]
fn sa1_nobody_knew_that_all_held_it() {
    let mut log = Log::together(2);
    log.safe_line = Some(4);
    log.send(safe(2, 1, 5)).deliver(1, safe(2, 1, 5)).transitional(1, (2, 3), &[1], &[1]);
    log.assert_violates(Axiom::Sa1);
}

#[test]
fn c5_two_who_move_together_know_different_things() {
    let mut log = Log::together(2);
    log.transitional(1, (2, 3), &[1, 2], &[1, 2]);
    log.safe_line = Some(9);
    log.transitional(2, (2, 3), &[1, 2], &[1, 2]).assert_violates(Axiom::C5);
}

#[test]
fn sa1_safe_message_is_not_delivered_by_a_member_that_was_cut_off() {
    let mut log = Log::together(2);
    let at = safe(1, 1, 5);
    log.send(at).deliver(1, at).moves(2, (2, 3), &[2]);
    log.assert_violates(Axiom::Sa1);
    let mut log = Log::together(2);
    log.send(at).deliver(1, at);
    log.assert_holds(false);
    log.assert_violates_if(Axiom::Sa1, true);
    log.add(process(2), Entry::Crash);
    log.assert_holds(true);
}

#[test]
fn sa1_holds_within_a_transitional_configuration() {
    let mut log = Log::together(3);
    let at = safe(1, 1, 5);
    log.send(at).transitional(1, (2, 3), &[1, 2], &[1]).deliver_in(1, at, transitional(2, 3));
    log.moves(2, (2, 4), &[2]);
    log.assert_violates(Axiom::Sa1);
}

#[test]
fn sa2_safe_in_a_ring_that_a_member_never_installed() {
    let mut log = Log::together(2);
    let at = At { ring: 3, ..safe(1, 1, 5) };
    log.moves(1, (2, 3), &[1, 2]).send(at).deliver(1, at);
    log.moves(2, (2, 4), &[2]);
    log.assert_violates_between(Axiom::Sa2);
}

#[test]
fn sa2_safe_before_a_member_has_installed_the_ring() {
    let early = |order_is_real: bool| {
        let mut log = Log::together(2);
        log.options.order_is_real = order_is_real;
        let at = At { ring: 3, ..safe(1, 1, 5) };
        log.moves(1, (2, 3), &[1, 2]).send(at).deliver(1, at);
        log.moves(2, (2, 3), &[1, 2]).deliver(2, at);
        log
    };
    early(true).assert_violates_between(Axiom::Sa2);
    // Logs that were put together from several say nothing of when.
    early(false).assert_holds(true);
}

/// Process 2 is asked to leave, and ends after a while.
fn left(log: &mut Log, waited_ms: u64) -> &mut Log {
    log.trace(2, Trace::Stopped { waited_ms: Some(waited_ms) })
}

#[test]
fn lv_leaves_before_its_message_is_ordered() {
    let mut log = Log::together(2);
    log.accept(agreed(2, 1, 0));
    let early = log.clone();
    left(&mut log, 1_999).assert_violates(Axiom::Lv);
    left(&mut early.clone(), 2_000).assert_holds(true);
    early.clone().add(process(2), Entry::Crash).assert_holds(true);
}

#[test]
fn lv_leaves_before_its_message_is_delivered() {
    let at = agreed(2, 1, 5);
    // By itself; then by one who stays and goes on without it, or not at all.
    let mut log = Log::together(2);
    left(log.send(at).deliver(1, at), 1).assert_violates(Axiom::Lv);
    let mut log = Log::together(2);
    left(log.send(at).deliver(2, at), 1).moves(1, (2, 3), &[1]);
    log.assert_violates(Axiom::Lv);
    let mut log = Log::together(2);
    left(log.send(at).deliver(2, at), 1).assert_holds(false);
    log.clone().add(process(1), Entry::Crash).assert_holds(true);
    log.assert_violates_if(Axiom::Lv, true);
}

#[test]
fn leaving_cleanly_is_no_breach_of_what_was_promised() {
    let mut log = Log::together(2);
    let at = safe(1, 1, 5);
    log.send(at).deliver(1, at).trace(2, Trace::Stopped { waited_ms: None });
    log.moves(1, (2, 3), &[1]);
    log.assert_holds(true);
    assert_eq!(NodeId(2), process(2).node);
}
