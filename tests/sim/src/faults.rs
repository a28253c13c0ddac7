//! The nemesis: faults that come, stay for a while, and go. `kind` has their kinds, `network` those
//! of the network, `strain` those that break contracts.

mod kind;
mod network;
mod strain;

use anasazi_protocol::SessionId;

use crate::cluster::{Cluster, Happening};
use crate::network::{Carries, Lasting};
use crate::random::Random;
use crate::session::{Reading, Session};
pub use kind::Kind;

const MS: u64 = 1_000_000;

/// How a fault goes, or goes on.
#[derive(Debug)]
pub(crate) enum Undo {
    Cuts(Vec<(usize, usize)>),
    Multicast(Vec<(usize, usize)>),
    Carries(Vec<((usize, usize), Carries)>),
    Resume(usize),
    Boot(usize),
    Read(usize, SessionId),
    Replace {
        node: usize,
        newer: bool,
    },
    /// Of these nodes, by the fault with this number.
    Strain(Vec<usize>, u64),
}

impl Cluster {
    /// Plans the first fault.
    pub fn start_faults(&mut self) {
        self.lay_cables();
        self.install_software();
        self.plan_fault();
        self.plan_keys();
    }

    /// All faults end now. Who is down starts again, or stays down if `all` is not asked for and
    /// chance says so.
    pub fn heal(&mut self, all: bool) {
        self.epoch += 1;
        self.trap = None;
        self.tell(None, "HEALED");
        self.network.heal(self.now);
        self.cut_for_good();
        (self.options.machine.persist_failure, self.options.machine.slow_nodes) = (0, 0);
        for node in 0..self.nodes.len() {
            self.resume(node);
            self.nodes[node].turn_ns = 0;
            let slow = |s: &&Session| s.reading != Reading::Eager;
            let slow: Vec<_> = self.nodes[node].sessions.iter().filter(slow).collect();
            let slow: Vec<SessionId> = slow.into_iter().map(|s| s.member.session).collect();
            slow.into_iter().for_each(|session| self.read_again(node, session));
        }
        let live = self.nodes.iter().filter(|n| n.runs()).count();
        for node in 0..self.nodes.len() {
            // Whoever is the only one that all know of must be there for them to find each other.
            let known_to_all = node == 0 && self.options.network.sparse_peers;
            let needed = all || live == 0 || known_to_all;
            if known_to_all && self.nodes[node].leaving {
                self.crash(node);
            }
            if self.nodes[node].runs() {
                continue;
            }
            if needed || self.random.permille(700) {
                self.boot(node);
            } else {
                // A start that was planned would be one more change, long after.
                self.nodes[node].life += 1;
            }
        }
        self.judge_from_here();
    }

    /// Cuts what stays cut.
    fn cut_for_good(&mut self) {
        self.lasting = self.options.lasting;
        let n = self.nodes.len();
        let cuts = match self.lasting {
            Lasting::None => return,
            Lasting::Sets => {
                let sets: Vec<u64> = (0..n).map(|_| self.random.below(2)).collect();
                self.pairs(|a, b| sets[a] != sets[b])
            }
            Lasting::Links => {
                // Every second one in one direction only.
                let draw = |_| self.random.permille(150).then(|| self.random.below(4));
                let bad: Vec<Option<u64>> = (0..n * n).map(draw).collect();
                let both = |which: Option<u64>| which.is_some_and(|w| w < 2);
                self.pairs(|a, b| match a < b {
                    true => both(bad[a * n + b]) || bad[a * n + b] == Some(2),
                    false => both(bad[b * n + a]) || bad[b * n + a] == Some(3),
                })
            }
        };
        self.tell(None, &format!("CUT FOR GOOD {cuts:?}"));
        cuts.into_iter().for_each(|(a, b)| self.network.silence_for_good(a, b));
    }

    pub(crate) fn next_fault(&mut self) {
        self.plan_fault();
        self.fault_number += 1;
        if self.options.faults.is_empty() || self.options.without.skips(self.fault_number) {
            return;
        }
        // Each fault has numbers of its own: without one of them the others stay what they were.
        let own = Random::new(self.options.seed ^ self.fault_number << 40);
        let shared = std::mem::replace(&mut self.random, own);
        self.fault();
        self.random = shared;
    }

    fn fault(&mut self) {
        let mut kind = self.options.faults[self.random.index(self.options.faults.len())];
        self.counts.faults += 1;
        let last = self.options.timers().token_loss.as_millis() as u64;
        // Around the times at which the protocol decides something, and sometimes much longer.
        let mut most = self.random.pick(&[last / 2, last, last * 3, last * 12]);
        if self.options.restless {
            most = self.random.pick(&[last / 80, last / 20, last / 5, last * 2]);
            kind = if self.random.permille(40) { Kind::Crash } else { kind };
        }
        let last = self.random.between(1, most) * MS;
        match kind {
            Kind::Partition => self.random_partition(last),
            Kind::Overlap => self.overlap(last),
            Kind::OneWay => self.one_way(last),
            Kind::Clog | Kind::Spoil => self.hold_up(kind, last),
            Kind::Swizzle => self.swizzle(last),
            Kind::MulticastOutage => self.multicast_outage(last),
            Kind::Crash | Kind::CrashLosingDisk => self.random_crash(kind, last),
            Kind::Pause => self.random_pause(last),
            // These have their own time.
            Kind::Ambush => {}
            Kind::Strain => self.strain(),
            Kind::Leave => self.random_leave(last),
            Kind::ColdStart => self.cold_start(last),
            Kind::Narrow => self.narrow(last),
            Kind::ClockSet => self.set_a_clock(last),
            Kind::Replace => self.replace_software(last),
            Kind::Trap => self.set_trap(last),
            kind => self.make_mischief(kind, last),
        }
    }

    pub(crate) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Cuts(cuts) => self.mend(&cuts),
            Undo::Multicast(links) => {
                self.tell(None, "multicast works again");
                links.into_iter().for_each(|(a, b)| self.network.set_outage(a, b, false));
            }
            Undo::Carries(links) => {
                links.into_iter().for_each(|(link, was)| _ = self.network.set_carries(link, was));
            }
            Undo::Resume(node) => self.resume(node),
            Undo::Boot(node) => self.try_to_boot(node),
            Undo::Replace { node, newer } => self.replace_daemon(node, newer),
            Undo::Read(node, session) => self.read_again(node, session),
            Undo::Strain(nodes, number) => self.relieve(&nodes, number),
        }
    }

    /// A node has changed its state: what goes wrong now hits the others in the middle of theirs.
    pub(crate) fn lie_in_wait(&mut self, node: usize) {
        let planned = self.epoch == 0 && self.options.faults.contains(&Kind::Ambush);
        if !planned || !self.random.permille(self.options.ambush) {
            return;
        }
        let reach = self.options.network.delay_us.max(20) * 1_000 * self.random.pick(&[1, 4, 20]);
        let (time, epoch) = (self.random.below(reach), self.epoch);
        self.plan_in(time, Happening::Ambush { epoch, node });
    }

    pub(crate) fn ambush(&mut self, node: usize) {
        let last = self.options.timers().token_loss.as_nanos() as u64;
        let most = self.random.pick(&[last / 4, last * 2, last * 6]);
        let time = self.random.between(MS, most);
        self.counts.faults += 1;
        match self.random.below(5) {
            0 => {
                self.tell(None, "AMBUSH");
                self.cut_off(node, time);
            }
            1 => {
                self.tell(
                    None,
                    &format!("AMBUSH: n{} hears nothing for {} ms", node + 1, time / MS),
                );
                let cuts = self.pairs(|_, b| b == node);
                self.cut_for(time, cuts);
            }
            2 if !self.options.restless && self.nodes[node].runs() => {
                self.crash(node);
                self.plan_undo(time, Undo::Boot(node));
            }
            3 => self.random_partition(time),
            _ => self.hold_up(Kind::Spoil, time),
        }
    }

    fn plan_fault(&mut self) {
        let mut own = Random::new(!self.options.seed ^ self.fault_number << 40);
        let time = own.around(self.options.fault_interval_ms * MS) + MS;
        let epoch = self.epoch;
        self.plan_in(time, Happening::Fault { epoch });
    }

    pub(crate) fn plan_undo(&mut self, time: u64, undo: Undo) {
        let epoch = self.epoch;
        self.plan_in(time, Happening::Undo { epoch, undo });
    }

    pub(crate) fn random_live(&mut self) -> Option<usize> {
        let live: Vec<usize> = (0..self.nodes.len()).filter(|n| self.nodes[*n].runs()).collect();
        (!live.is_empty()).then(|| live[self.random.index(live.len())])
    }

    fn random_crash(&mut self, kind: Kind, time: u64) {
        let Some(node) = self.random_live() else { return };
        self.crash(node);
        if kind == Kind::CrashLosingDisk {
            self.lose_state(node);
        }
        self.plan_undo(time.max(2 * MS), Undo::Boot(node));
    }

    fn random_pause(&mut self, time: u64) {
        let Some(node) = self.random_live() else { return };
        self.pause(node);
        self.plan_undo(time, Undo::Resume(node));
    }

    fn random_leave(&mut self, time: u64) {
        let Some(node) = self.random_live() else { return };
        self.resume(node);
        self.shutdown(node);
        self.plan_undo(time.max(2 * MS), Undo::Boot(node));
    }

    fn cold_start(&mut self, time: u64) {
        let lost = self.random.permille(300);
        self.tell(None, "COLD START of all");
        for node in 0..self.nodes.len() {
            self.crash(node);
            if lost {
                self.lose_state(node);
            }
            self.plan_undo(time.max(2 * MS), Undo::Boot(node));
        }
    }
}
