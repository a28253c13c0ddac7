//! Domains that many sessions use when they are removed: bounded steps, and nothing left over.

use anasazi_protocol::GroupId;

use super::*;

/// What one step may end.
const STEP: usize = 64;

fn told(engine: &mut Engine, full: &[DomainId]) -> Vec<DomainId> {
    for key in engine.epoll.wait(0) {
        engine.sessions.ready(key, &engine.epoll);
    }
    let mut told = Vec::new();
    engine.sessions.poll(usize::MAX, full.iter().copied().collect(), &mut |request| {
        let Request::Command(domain, command) = request else { panic!("{request:?}") };
        assert!(matches!(command, Command::Disconnect { .. }), "{command:?}");
        told.push(domain);
        true
    });
    told
}

fn sweep_all(engine: &mut Engine, domain: DomainId) {
    while engine.sessions.sweep_domain(domain, engine.now) != Sweep::Done {}
    engine.sessions.flush(&engine.epoll);
}

#[test]
fn so_many_sessions_are_looked_at_and_lanes_ended_in_a_step() {
    let mut engine = Engine::with(|limits| limits.sessions_max = 100);
    let fast = engine.sessions.add_domain("fast", None);
    let count = STEP + 6;
    let clients: Vec<_> = (0..count).map(|_| engine.open()).collect();
    let lanes: Vec<_> = (1..=count as u64).map(|number| engine.open_lane(number, "fast")).collect();
    for lane in &lanes {
        lane.join(1, "fast/orders");
        engine.run();
        lanes.iter().for_each(|lane| _ = lane.drain());
    }
    engine.sessions.retire_domain(fast, "removed by a test");
    let (mut steps, mut left) = (0, count);
    loop {
        let sweep = engine.sessions.sweep_domain(fast, engine.now);
        let now = engine.sessions.lanes.len();
        assert!(left - now <= STEP, "{} lanes ended in one step", left - now);
        (steps, left) = (steps + 1, now);
        if sweep == Sweep::Done {
            break;
        }
        assert_eq!(sweep, Sweep::GoesOn);
    }
    // The last of the steps over sessions is the first one over lanes.
    assert_eq!(steps, (2 * count).div_ceil(STEP) + count.div_ceil(STEP) - 1);
    engine.sessions.flush(&engine.epoll);
    for lane in &lanes {
        assert_eq!(lane.expect_left().1, Status::ECLOSED);
        assert!(lane.closed().is_some());
    }
    clients.iter().for_each(RawClient::expect_nothing);
}

#[test]
fn so_many_handles_end_in_a_step() {
    let mut engine = Engine::new();
    let fast = engine.sessions.add_domain("fast", None);
    let _clients = [engine.open(), engine.open()];
    let lanes = [1, 2].map(|number| engine.open_lane(number, "fast"));
    for handle in 1..=300 {
        lanes[0].join(handle, &format!("fast/{handle}"));
        engine.run();
        lanes[0].drain();
    }
    lanes[1].join(1, "fast/orders");
    engine.run();
    lanes[1].drain();
    engine.sessions.retire_domain(fast, "removed by a test");
    assert_eq!(engine.sessions.sweep_domain(fast, engine.now), Sweep::GoesOn);
    engine.sessions.flush(&engine.epoll);
    lanes[1].expect_nothing();
    sweep_all(&mut engine, fast);
    assert_eq!(lanes[1].expect_left().0, 1);
    assert_eq!(lanes[0].drain().len(), 301, "each handle, and the last word");
}

#[test]
fn who_waits_for_a_domain_is_told_at_once_that_it_goes() {
    let mut engine = Engine::new();
    let fast = engine.sessions.add_domain("fast", None);
    let _client = engine.open();
    let lane = engine.open_lane(1, "fast");
    lane.join(1, "fast/orders");
    assert_eq!(told(&mut engine, &[fast]), []);
    assert!(!engine.sessions.has_turns(DomainSet::NONE));
    engine.sessions.retire_domain(fast, "removed by a test");
    assert!(engine.sessions.has_turns(DomainSet::NONE));
    assert_eq!(told(&mut engine, &[]), []);
    engine.sessions.flush(&engine.epoll);
    assert_eq!(lane.expect_left().1, Status::ECLOSED);
}

/// What is still to be said to a domain that is gone is not said to the next one at its place.
#[test]
fn ends_and_holds_of_a_domain_go_with_it() {
    let mut engine = Engine::new();
    let fast = engine.sessions.add_domain("fast", None);
    let (gone, _stays) = (engine.open(), engine.open());
    let lanes = [1, 2].map(|number| engine.open_lane(number, "fast"));
    lanes.iter().for_each(|lane| lane.join(1, "fast/orders"));
    engine.run();
    let groups = [GroupId::of("orders")];
    engine.sessions.hold((fast, NodeId(2)), &groups, 60_000, engine.now);
    drop(gone);
    assert_eq!(told(&mut engine, &[fast]), []);
    engine.sessions.retire_domain(fast, "removed by a test");
    sweep_all(&mut engine, fast);
    // It has no core that could hear of the lanes that ended just now; only of that one before.
    assert_eq!(engine.sessions.domains[fast.index()].endings.len(), 1);
    engine.sessions.vacate_domain(fast);
    assert_eq!(told(&mut engine, &[]), []);
    let slow = engine.sessions.add_domain("slow", None);
    assert_eq!(slow, fast);
    assert_eq!(told(&mut engine, &[]), []);
    assert_eq!(engine.sessions.held_by(slow.group(groups[0])).count(), 0);
}
