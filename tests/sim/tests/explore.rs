//! The systematic exploration, as far as it is small.

use anasazi_protocol::planted;
use anasazi_sim::explore::{Bounds, Budget, Start, explore};

fn bounds(nodes: usize, start: Start, budget: Budget, depth: u16) -> Bounds {
    Bounds { nodes, start, budget, depth, settle_every: 8, limit: None }
}

/// Nothing is found, and nothing was left out.
fn expect_all_well(bounds: Bounds, states_min: u64) {
    let report = explore(bounds).expect("the start is reached");
    assert!(report.failure.is_none() && report.complete, "{report}");
    assert!(report.states >= states_min, "{report}");
}

#[test]
fn two_nodes_in_a_ring_with_two_messages_a_fault_and_an_early_timeout() {
    let budget = Budget { faults: 1, delays: 1, messages: 2 };
    expect_all_well(bounds(2, Start::Ring, budget, 7), 5_000);
}

#[test]
fn three_nodes_in_a_ring_with_a_safe_message_and_a_fault() {
    let budget = Budget { faults: 1, delays: 0, messages: 1 };
    expect_all_well(bounds(3, Start::Ring, budget, 9), 1_000);
}

#[test]
fn two_nodes_from_their_start_with_a_fault() {
    let budget = Budget { faults: 1, delays: 1, messages: 0 };
    expect_all_well(bounds(2, Start::Boot, budget, 14), 300);
}

/// The same bounds, the same states: no order of memory or of hashing shows.
#[test]
fn an_exploration_is_repeatable() {
    let budget = Budget { faults: 1, delays: 1, messages: 1 };
    let states =
        || explore(bounds(2, Start::Ring, budget, 5)).map(|r| (r.states, r.steps, r.paths));
    assert_eq!(states(), states());
}

/// The exploration can find something. Bugs are planted for one thread.
#[test]
fn a_safe_message_delivered_too_early_is_found() {
    planted::set(Some("safe_as_agreed")).expect("the bug is known");
    let budget = Budget { faults: 1, delays: 0, messages: 1 };
    let (nodes, start, depth, settle_every) = (3, Start::Ring, 12, 8);
    let bounds = Bounds { nodes, start, budget, depth, settle_every, limit: None };
    let report = explore(bounds).expect("the start is reached");
    let failure = report.failure.as_ref().expect("the bug is found");
    assert!(!failure.story.is_empty() && failure.what.contains("violated"), "{report}");
    assert!(report.states < 20_000, "it takes {} states", report.states);
}

/// A ring that never rests is found too, and does not hold up whoever looks: its token goes round
/// without a pause.
#[test]
fn a_ring_that_never_comes_to_rest_is_found() {
    planted::set(Some("aru_off_by_one")).expect("the bug is known");
    let budget = Budget { faults: 1, delays: 0, messages: 1 };
    let (nodes, start, depth, settle_every) = (3, Start::Ring, 12, 8);
    let bounds = Bounds { nodes, start, budget, depth, settle_every, limit: None };
    let report = explore(bounds).expect("the start is reached");
    let failure = report.failure.as_ref().expect("the bug is found");
    // Whether nothing else happens meanwhile depends on when tokens are repeated.
    let never_rests = ["no common ring", "without a choice, and no end"];
    assert!(never_rests.iter().any(|what| failure.what.contains(what)), "{report}");
    assert!(report.states < 50_000, "it takes {} states", report.states);
}
