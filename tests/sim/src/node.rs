//! A simulated machine: its disk, its clock, its socket's buffer, and the core that runs on it, if
//! one does.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anasazi_protocol::{Core, Incarnation, Input, Instant, NodeId, Process, RingId, SessionId};

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
    pub core: Option<Core>,
    /// The present or the last incarnation.
    pub process: Process,
    /// Starts so far; what was planned for an earlier life does not happen any more.
    pub life: u64,
    /// Of the next record.
    pub index: u64,
    /// What outlives a crash.
    pub disk: Disk,
    /// The machine's own clock.
    pub clock: Clock,
    /// How far its wall clock is off, in milliseconds.
    pub wall_ms: i64,
    /// The process does not run for a while.
    pub paused: bool,
    /// What arrived meanwhile, multicast apart.
    pub mailbox: VecDeque<Input>,
    /// Its clients.
    pub sessions: Vec<Session>,
    /// Sessions so far in this life.
    pub sessions_opened: u64,
    /// The time for which a timer is planned.
    pub timer_at: Option<u64>,
    /// Timeouts in a row after which the core wanted another one at once.
    pub spins: u32,
    /// The regular configuration it is in, with its members.
    pub ring: Option<(RingId, Vec<Process>)>,
    /// The core's own word for its state.
    pub state: &'static str,
    /// It was asked to leave.
    pub leaving: bool,
    /// It may end without being asked.
    pub may_stop: bool,
    /// The last things that were told about it.
    pub lines: VecDeque<String>,
}

/// What a node has written.
#[derive(Clone, Debug, Default)]
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

/// A clock that started at some time of its own and runs a little too fast.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What it showed at the beginning, in nanoseconds.
    pub offset: u64,
    /// How much faster it runs, in parts per million.
    pub drift_ppm: u64,
}

impl Clock {
    /// What it shows at a time of the simulation.
    pub fn read(self, now: u64) -> Instant {
        let fast = u128::from(now) * u128::from(1_000_000 + self.drift_ppm) / 1_000_000;
        Instant(self.offset + fast as u64)
    }

    /// The first time of the simulation at which it shows at least this.
    pub fn when(self, instant: Instant) -> u64 {
        let fast = u128::from(instant.0.saturating_sub(self.offset));
        (fast * 1_000_000).div_ceil(u128::from(1_000_000 + self.drift_ppm)) as u64
    }
}

impl Node {
    /// A machine on which nothing runs yet.
    pub fn new(index: usize, clock: Clock) -> Self {
        let id = NodeId(index as u32 + 1);
        Self {
            id,
            address: address(index),
            core: None,
            process: Process { node: id, incarnation: Incarnation(0) },
            life: 0,
            index: 0,
            disk: Disk::default(),
            clock,
            wall_ms: 0,
            paused: false,
            mailbox: VecDeque::new(),
            sessions: Vec::new(),
            sessions_opened: 0,
            timer_at: None,
            spins: 0,
            ring: None,
            state: "down",
            leaving: false,
            may_stop: false,
            lines: VecDeque::new(),
        }
    }

    /// Opens a session and says where it is.
    pub fn open_session(&mut self) -> usize {
        let session =
            SessionId(SessionId::first(self.process.incarnation).0 + self.sessions_opened);
        self.sessions_opened += 1;
        self.sessions.push(Session::new(self.id, session));
        self.sessions.len() - 1
    }

    /// The core is gone, with everything that was in memory.
    pub fn lose(&mut self) {
        self.core = None;
        self.paused = false;
        self.mailbox.clear();
        self.sessions.clear();
        self.timer_at = None;
        self.ring = None;
        self.state = "down";
        self.leaving = false;
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
        for drift_ppm in [0, 1, 500] {
            let clock = Clock { offset: 17, drift_ppm };
            for now in [0, 1, 999, 1_000_000_007, 60_000_000_000] {
                let instant = clock.read(now);
                let back = clock.when(instant);
                assert!(back <= now && clock.read(back) >= instant, "{drift_ppm} {now}");
            }
        }
    }
}
