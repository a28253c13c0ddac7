//! A simulated machine: its disk, its clock, and the engine that runs on it, if one does.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anasazi_protocol::{Core, Incarnation, Instant, NodeId, Process, RingId};

use crate::engine::{Log, SimTurn, Watch};
use crate::session::Session;

/// Lines of the story kept for a report.
const LINES_KEPT: usize = 14;

/// One node and all its incarnations.
pub struct Node {
    /// Its number, the same at every start.
    pub id: NodeId,
    /// Where it listens.
    pub address: SocketAddr,
    /// What runs there now.
    pub(crate) turn: Option<SimTurn>,
    /// The present or the last incarnation.
    pub process: Process,
    /// Starts so far; what was planned for an earlier life does not happen any more.
    pub life: u64,
    /// Of the next record.
    pub index: u64,
    /// When a process of it last ended.
    pub(crate) ended_at: Option<u64>,
    /// What outlives a crash.
    pub disk: Disk,
    /// The machine's own clock.
    pub clock: Clock,
    /// Which version of its daemon is installed, by index.
    pub software: usize,
    /// Of all starts so far.
    pub incarnations: BTreeSet<Incarnation>,
    /// The next start is at least this one: others have told the last one.
    pub known: Option<Incarnation>,
    /// How far its wall clock is off, in milliseconds.
    pub wall_ms: i64,
    /// The process does not run for a while.
    pub paused: bool,
    /// Its clients.
    pub sessions: Vec<Session>,
    /// Keys of descriptors that are ready, for the next turn.
    pub(crate) ready: Vec<u64>,
    pub(crate) watch: Watch,
    pub(crate) log: Log,
    /// Mean time that a turn takes, in nanoseconds.
    pub(crate) turn_ns: u64,
    /// Number of the fault that has it far away, or did so last.
    pub(crate) strain: u64,
    /// From when and for how long it is that, or was.
    pub(crate) strained_from: u64,
    pub(crate) strained_until: u64,
    /// Its ring goes by unicast.
    pub(crate) by_unicast: bool,
    /// Its last turn ends then.
    pub(crate) busy_until: u64,
    /// The time for which a turn is planned.
    pub(crate) turn_at: Option<u64>,
    /// The time for which a timer is planned.
    pub timer_at: Option<u64>,
    /// Timeouts in a row after which the core wanted another one at once.
    pub spins: u32,
    /// The regular configuration it is in, with its members.
    pub ring: Option<(RingId, Vec<Process>)>,
    /// Since when.
    pub(crate) ring_since: u64,
    /// The last ordinal that it delivered in its ring.
    pub delivered: u64,
    /// The last ordinal that it gave or saw given in its ring.
    pub ordered: u64,
    /// The core's own word for its state.
    pub state: &'static str,
    /// It was asked to leave.
    pub leaving: bool,
    /// The sessions that it had then.
    pub(crate) farewells: usize,
    /// It may end without being asked.
    pub may_stop: bool,
    /// The last things that were told about it.
    pub lines: VecDeque<String>,
}

/// What a node has written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Of the last start, if a state file exists.
    pub incarnation: Option<Incarnation>,
    /// No ring number up to this one may be used again.
    pub ring_sequence_max: u64,
    /// Tickets and ring numbers that are being written.
    pub writes: Vec<(u64, u64)>,
    /// A write failed: the next incarnation knows too little.
    pub behind: bool,
}

/// A clock that started at some time of its own and runs a little too fast or too slow.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What it showed at the beginning, in nanoseconds.
    pub offset: u64,
    /// How much faster it runs, in parts per million.
    pub drift_ppm: i64,
    /// How long it has stood still, in nanoseconds.
    pub stood_still: u64,
    /// It stands still, and since when.
    pub stopped_at: Option<u64>,
}

impl Clock {
    /// A clock that has not been stopped yet.
    pub fn new(offset: u64, drift_ppm: i64) -> Self {
        Self { offset, drift_ppm, stood_still: 0, stopped_at: None }
    }

    /// It stands still from now on.
    pub fn stop(&mut self, now: u64) {
        self.stopped_at.get_or_insert(now);
    }

    /// It goes on.
    pub fn go_on(&mut self, now: u64) {
        if let Some(since) = self.stopped_at.take() {
            self.stood_still += now - since;
        }
    }

    /// What it shows at a time of the simulation.
    pub fn read(self, now: u64) -> Instant {
        let now = self.stopped_at.unwrap_or(now) - self.stood_still;
        let shown = u128::from(now) * self.rate() / 1_000_000;
        Instant(self.offset + shown as u64)
    }

    /// The first time of the simulation at which it shows at least this.
    pub fn when(self, instant: Instant) -> u64 {
        let shown = u128::from(instant.0.saturating_sub(self.offset));
        (shown * 1_000_000).div_ceil(self.rate()) as u64 + self.stood_still
    }

    /// Millionths of a second that it shows per second.
    fn rate(self) -> u128 {
        u128::from(1_000_000_u64.saturating_add_signed(self.drift_ppm).max(1))
    }
}

impl Node {
    /// A machine on which nothing runs yet.
    pub fn new(index: usize, clock: Clock) -> Self {
        let id = NodeId(index as u32 + 1);
        Self {
            id,
            address: address(index),
            turn: None,
            process: Process { node: id, incarnation: Incarnation(0) },
            life: 0,
            ended_at: None,
            index: 0,
            disk: Disk::default(),
            clock,
            software: 0,
            incarnations: BTreeSet::new(),
            known: None,
            wall_ms: 0,
            paused: false,
            sessions: Vec::new(),
            ready: Vec::new(),
            watch: Watch::default(),
            log: Log::default(),
            turn_ns: 0,
            strain: 0,
            strained_from: 0,
            strained_until: 0,
            by_unicast: false,
            busy_until: 0,
            turn_at: None,
            timer_at: None,
            spins: 0,
            ring: None,
            ring_since: 0,
            delivered: 0,
            ordered: 0,
            state: "down",
            leaving: false,
            farewells: 0,
            may_stop: false,
            lines: VecDeque::new(),
        }
    }

    /// The protocol that runs there now.
    pub fn core(&self) -> Option<&Core> {
        self.turn.as_ref().map(SimTurn::core)
    }

    /// An engine runs there, or is paused.
    pub fn runs(&self) -> bool {
        self.turn.is_some()
    }

    /// When its engine wants to be turned, by its own clock.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.turn.as_ref().and_then(SimTurn::deadline)
    }

    /// The engine is gone, with everything that was in memory.
    pub fn lose(&mut self, now: u64) {
        self.ended_at = Some(now);
        self.turn = None;
        self.paused = false;
        self.sessions.clear();
        self.ready.clear();
        self.log = Log::default();
        (self.busy_until, self.turn_at) = (0, None);
        self.timer_at = None;
        self.ring = None;
        (self.delivered, self.ordered) = (0, 0);
        self.state = "down";
        (self.leaving, self.farewells) = (false, 0);
        self.life += 1;
    }

    /// Keeps a line for a report.
    pub fn remember(&mut self, line: &str) {
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }
}

/// 10.0.0.1:7000 and on.
pub fn address(index: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, index as u8 + 1)), 7_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drifting_clock_is_read_and_set_consistently() {
        for drift_ppm in [0, 1, 500, -1, -500] {
            let clock = Clock::new(17, drift_ppm);
            for now in [0, 1, 999, 1_000_000_007, 60_000_000_000] {
                let instant = clock.read(now);
                let back = clock.when(instant);
                assert!(back <= now && clock.read(back) >= instant, "{drift_ppm} {now}");
            }
        }
    }

    #[test]
    fn a_clock_that_stood_still_is_late_for_good() {
        let mut clock = Clock::new(5, 0);
        clock.stop(1_000);
        assert_eq!(clock.read(4_000), Instant(1_005));
        clock.go_on(5_000);
        assert_eq!(clock.read(6_000), Instant(2_005));
        assert_eq!(clock.when(Instant(2_005)), 6_000);
    }
}
