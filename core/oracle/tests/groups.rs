//! Each rule about groups has a log that breaks it, and only it.

mod log;

use anasazi_oracle::{Axiom, Entry};
use anasazi_protocol::ViewCause;
use anasazi_protocol::trace::Trace;
use log::*;

/// Processes 1 and 2 of ring 2 with a session each in the group.
fn joined() -> Log {
    let mut log = Log::together(2);
    log.options.senders_are_members = true;
    for node in [1, 2] {
        if node == 1 {
            log.view(1, view(2, 3, 1), &[1], &[]);
        }
        log.view(node, view(2, 4, 1), &[1, 2], &[1]);
    }
    log
}

#[test]
fn a_correct_log_passes() {
    let mut log = joined();
    let (a, b) = (agreed(1, 1, 5), agreed(2, 1, 6));
    log.send(a).send(b);
    for node in [1, 2] {
        log.deliver(node, a).give(node, a, 1).deliver(node, b).give(node, b, 2);
    }
    // 2 leaves the group; 1 goes on.
    log.view(2, view(2, 7, 1), &[1], &[1]).view(1, view(2, 7, 1), &[1], &[1]);
    let c = agreed(1, 2, 8);
    log.send(c).deliver(1, c).give(1, c, 1).deliver(2, c);
    log.assert_holds(true);
}

#[test]
fn g1_a_session_gets_a_view_without_itself() {
    let mut log = joined();
    log.trace(
        1,
        Trace::GroupView {
            group: GROUP,
            id: view(2, 9, 1),
            transitional: false,
            cause: ViewCause::Leave,
            members: members(&[2]),
            sets: vec![1],
            together: vec![],
            local: vec![session(1)],
            local_left: vec![],
        },
    );
    log.assert_violates(Axiom::G1);
}

#[test]
fn g1_a_member_vanishes_without_being_told() {
    let mut log = joined();
    log.view_of(1, view(2, 9, 1), &[2], (&[], &[]));
    log.assert_violates(Axiom::G1);
}

#[test]
fn g2_one_view_with_two_member_lists() {
    let mut log = joined();
    log.view(1, view(2, 9, 1), &[1, 2], &[1, 2]).view(2, view(2, 9, 1), &[2], &[2]);
    log.assert_violates(Axiom::G2);
}

#[test]
fn g3_numbers_are_skipped() {
    let mut log = joined();
    let at = agreed(1, 1, 5);
    log.send(at).deliver(1, at).give(1, at, 2);
    log.assert_violates(Axiom::G3);
}

#[test]
fn g3_given_is_not_what_was_delivered() {
    let mut log = joined();
    let at = agreed(1, 1, 5);
    log.send(at).deliver(1, at).give(1, agreed(1, 2, 5), 1);
    log.assert_violates(Axiom::G3);
}

#[test]
fn g3_delivered_is_not_given_to_members() {
    let mut log = joined();
    let (a, b) = (agreed(1, 1, 5), agreed(2, 1, 6));
    log.send(a).send(b).deliver(1, a).deliver(1, b);
    log.assert_violates(Axiom::G3);
}

#[test]
fn g3_the_last_delivery_is_not_given_to_members() {
    let at = agreed(2, 1, 5);
    let mut log = joined();
    log.send(at).deliver(1, at).assert_violates(Axiom::G3);
    let mut log = joined();
    log.send(at).deliver(1, at).trace(1, Trace::Stopped { waited_ms: None });
    log.assert_violates(Axiom::G3);
    let mut log = joined();
    log.send(at).deliver(1, at).add(process(1), Entry::Crash).assert_holds(false);
}

#[test]
fn g3_different_next_views_in_one_ring() {
    let mut log = joined();
    log.view(1, view(2, 8, 1), &[1, 2], &[1, 2]).view(2, view(2, 9, 1), &[1, 2], &[1, 2]);
    log.assert_violates(Axiom::G3);
}

#[test]
fn g4_a_view_change_together_after_different_messages() {
    let mut log = joined();
    let at = agreed(1, 1, 5);
    log.send(at).deliver(1, at).give(1, at, 1);
    log.view(1, view(2, 9, 1), &[1, 2], &[1, 2]).view(2, view(2, 9, 1), &[1, 2], &[1, 2]);
    log.assert_violates(Axiom::G4);
}

#[test]
fn g4_binds_only_those_who_come_together() {
    for (together, holds) in [(&[1, 2][..], false), (&[1], true)] {
        let mut log = joined();
        let at = agreed(1, 1, 5);
        log.send(at).deliver(1, at).give(1, at, 1);
        log.leaves_behind(1, (2, 3));
        // 2 loses nothing by not moving along; both meet in ring 5.
        log.leaves_behind(2, (2, 4));
        log.transitional(1, (3, 5), &[1], &[1]).signal(1, 5, &[1]).regular(1, 5, &[1, 2]);
        log.transitional(2, (4, 5), &[2], &[2]).signal(2, 5, &[2]).regular(2, 5, &[1, 2]);
        log.view(1, view(5, 0, 0), &[1, 2], together);
        log.view(2, view(5, 0, 0), &[1, 2], if holds { &[2] } else { &[1, 2] });
        if holds {
            log.assert_holds(false);
        } else {
            log.assert_violates(Axiom::G4);
        }
    }
}

#[test]
fn g5_a_message_without_members() {
    let mut log = Log::together(2);
    let at = agreed(1, 1, 5);
    log.send(at).deliver(2, at).give(2, at, 1);
    log.assert_violates(Axiom::G5);
}

#[test]
fn g5_a_message_after_leaving() {
    let mut log = joined();
    let at = agreed(1, 1, 6);
    log.view(2, view(2, 5, 1), &[1], &[1]).send(at).deliver(2, at).give(2, at, 1);
    log.assert_violates(Axiom::G5);
}

#[test]
fn g5_a_membership_ends_that_never_began() {
    let mut log = Log::together(2);
    log.view(2, view(2, 5, 1), &[1], &[1]);
    log.assert_violates(Axiom::G5);
}

#[test]
fn g6_a_message_after_the_view_without_its_sender() {
    let mut log = joined();
    let at = agreed(2, 1, 6);
    log.send(at).view(1, view(2, 5, 1), &[1], &[1]).deliver(1, at).give(1, at, 1);
    log.assert_violates(Axiom::G6);
    log.options.senders_are_members = false;
    log.assert_holds(false);
}

#[test]
fn g10_a_message_of_the_new_ring_before_the_view() {
    let mut log = joined();
    let at = At { ring: 3, ..agreed(1, 1, 6) };
    log.add(process(2), Entry::Crash).leaves_behind(1, (2, 3)).send(at);
    log.deliver(1, at).give(1, at, 1);
    log.assert_violates(Axiom::G10);
}

#[test]
fn g10_two_views_for_one_change() {
    let mut log = joined();
    log.add(process(2), Entry::Crash).leaves_behind(1, (2, 3));
    log.view(1, view(3, 0, 0), &[1], &[1]).view(1, view(3, 1, 0), &[1], &[1]);
    log.assert_violates(Axiom::G10);
}

#[test]
fn g10_a_ghost_in_the_view_of_the_new_ring() {
    let mut log = joined();
    log.add(process(2), Entry::Crash).leaves_behind(1, (2, 3));
    log.view(1, view(3, 0, 0), &[1, 2], &[1]);
    log.assert_violates(Axiom::G10);
}

#[test]
fn g8_a_loss_without_a_signal() {
    let mut log = joined();
    log.add(process(2), Entry::Crash).moves(1, (2, 3), &[1]);
    log.assert_violates(Axiom::G8);
    // Nor may a message of the transitional configuration come before it.
    let mut log = joined();
    let at = agreed(1, 1, 5);
    log.send(at).add(process(2), Entry::Crash).transitional(1, (2, 3), &[1], &[1]);
    log.deliver_in(1, at, transitional(2, 3)).give(1, at, 1).signal(1, 3, &[1]);
    log.assert_violates(Axiom::G8);
}

#[test]
fn g8_a_signal_without_a_loss() {
    let mut log = joined();
    log.transitional(1, (2, 3), &[1, 2], &[1, 2]).signal(1, 3, &[1, 2]);
    log.assert_violates(Axiom::G8);
    let mut log = joined();
    log.signal(1, 2, &[1]);
    log.assert_violates(Axiom::G8);
    let mut log = joined();
    log.transitional(1, (2, 3), &[1], &[1]).signal(1, 3, &[1]).signal(1, 3, &[1]);
    log.assert_violates(Axiom::G8);
}

#[test]
fn g9_a_view_for_a_change_that_touches_nobody() {
    let mut log = joined();
    log.moves(1, (2, 3), &[1, 2]).moves(2, (2, 3), &[1, 2]);
    log.view(1, view(3, 0, 0), &[1, 2], &[1, 2]);
    log.assert_violates(Axiom::G9);
}

/// Else a node could excuse everything by having come alone.
#[test]
fn g4_who_came_together_is_not_for_a_node_to_say() {
    let mut log = joined();
    log.moves(1, (2, 3), &[1, 2]).moves(2, (2, 3), &[1, 2]);
    log.view(1, view(3, 0, 0), &[1, 2], &[1]);
    log.assert_violates(Axiom::G4);
    // In an ordered view, one of the view before is left out, or who just joined is added.
    let mut log = joined();
    log.view(1, view(2, 9, 1), &[1], &[]).assert_violates(Axiom::G4);
    let mut log = Log::together(2);
    log.view(1, view(2, 3, 1), &[1], &[]).view(1, view(2, 4, 1), &[1, 2], &[1, 2]);
    log.assert_violates(Axiom::G4);
    // After the signal, who does not come along is no more together with the others.
    for (together, holds) in [(&[1][..], true), (&[1, 2], false)] {
        let mut log = Log::together(3);
        let nodes: &[u32] = &[1, 2, 3];
        for (count, node) in (1..).zip(nodes) {
            log.view(1, view(2, count, 1), &nodes[..count as usize], &nodes[..count as usize - 1]);
            assert_eq!(count, u64::from(*node));
        }
        log.transitional(1, (2, 3), &[1, 3], &[1, 3]).signal(1, 3, &[1, 3]);
        log.view(1, view(3, 9, 1 << 31 | 1), &[1, 2], together);
        if holds {
            log.assert_holds(false);
        } else {
            log.assert_violates(Axiom::G4);
        }
    }
}

#[test]
fn g2_one_view_with_two_causes_or_divisions() {
    let told = |node: u32, cause, sets: [u32; 2]| Trace::GroupView {
        group: GROUP,
        id: view(5, 0, 0),
        transitional: false,
        cause,
        members: members(&[1, 2]),
        sets: sets.to_vec(),
        together: members(&[node]),
        local: vec![session(node)],
        local_left: vec![],
    };
    let apart = |a, b| {
        let mut log = joined();
        log.leaves_behind(1, (2, 3)).leaves_behind(2, (2, 4));
        log.transitional(1, (3, 5), &[1], &[1]).signal(1, 5, &[1]).regular(1, 5, &[1, 2]);
        log.transitional(2, (4, 5), &[2], &[2]).signal(2, 5, &[2]).regular(2, 5, &[1, 2]);
        log.trace(1, a).trace(2, b);
        log
    };
    let (a, b) = (told(1, ViewCause::Merge, [0, 1]), told(2, ViewCause::Merge, [1, 0]));
    apart(a.clone(), b).assert_holds(false);
    apart(a.clone(), told(2, ViewCause::Network, [1, 0])).assert_violates(Axiom::G2);
    // Set 0 is the receiver's own.
    apart(a, told(2, ViewCause::Merge, [0, 1])).assert_violates(Axiom::G4);
}

#[test]
fn g2_one_view_with_two_divisions_of_the_others() {
    let nodes: &[u32] = &[1, 2, 3];
    let mut log = Log::together(3);
    for node in nodes {
        let others: Vec<u32> = nodes.iter().filter(|n| *n != node).copied().collect();
        log.view(*node, view(2, 1, 1), nodes, &others);
    }
    for node in [1, 2] {
        let old = 2 + u64::from(node);
        log.leaves_behind(node, (2, old)).transitional(node, (old, 6), &[node], &[node]);
        log.signal(node, 6, &[node]).regular(node, 6, nodes);
        let sets = if node == 1 { vec![0, 1, 2] } else { vec![1, 0, 1] };
        let view = Trace::GroupView {
            group: GROUP,
            id: view(6, 0, 0),
            transitional: false,
            cause: ViewCause::Merge,
            members: members(nodes),
            sets,
            together: members(&[node]),
            local: vec![session(node)],
            local_left: vec![],
        };
        log.trace(node, view);
    }
    log.assert_violates(Axiom::G2);
}

/// All in one place see the same, also where only one of them says that there was something.
#[test]
fn g3_one_member_skips_an_ordered_view() {
    let skips = |member: bool| {
        let mut log = Log::together(3);
        log.view(1, view(2, 3, 1), &[1], &[]);
        for node in [1, 2] {
            log.view(node, view(2, 4, 1), &[1, 2], &[1]);
        }
        // A session of node 3 joins; node 2 says nothing of it.
        let told: &[u32] = if member { &[1, 2] } else { &[1, 2, 3] };
        for node in told {
            log.view(*node, view(2, 5, 1), &[1, 2, 3], &[1, 2]);
        }
        log
    };
    // The skipping one has members before, or gets its first one.
    let mut log = skips(false);
    log.assert_holds(true);
    log = skips(true);
    log.assert_violates_if(Axiom::G3, true);
    for node in [1, 2, 3] {
        log.moves(node, (2, 3), &[1, 2, 3]);
    }
    log.assert_violates(Axiom::G3);
}

#[test]
fn g3_one_member_sees_less_than_another_that_goes_elsewhere() {
    let mut log = Log::together(3);
    log.view(1, view(2, 3, 1), &[1], &[]);
    for node in [1, 2] {
        log.view(node, view(2, 4, 1), &[1, 2], &[1]);
    }
    log.view(1, view(2, 5, 1), &[1, 2, 3], &[1, 2]);
    log.view(3, view(2, 5, 1), &[1, 2, 3], &[1, 2]);
    let at = agreed(3, 1, 6);
    log.send(at).deliver(1, at).give(1, at, 1).deliver(2, at).give(2, at, 1);
    log.leaves_behind(1, (2, 4)).leaves_behind(2, (2, 3));
    log.assert_violates(Axiom::G3);
}
