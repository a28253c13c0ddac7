//! The nemesis: faults that come, stay for a while, and go.

use anasazi_protocol::SessionId;

use crate::cluster::{Cluster, Happening};
use crate::network::{Carries, Lasting};
use crate::random::Random;
use crate::session::{Reading, Session};

const MS: u64 = 1_000_000;

/// A kind of fault that comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The nodes fall into sets that do not hear each other.
    Partition,
    /// Some pairs do not hear each other, others in between hear both.
    Overlap,
    /// Some connections work in one direction only.
    OneWay,
    /// Connections stand still, and then everything arrives.
    Clog,
    /// Several nodes are cut off one by one, and come back in another order.
    Swizzle,
    /// Connections lose nearly everything for a short time.
    Spoil,
    /// Multicast stops, unicast does not.
    MulticastOutage,
    /// A process is killed and starts again.
    Crash,
    /// A process is killed and its disk is lost.
    CrashLosingDisk,
    /// A process does not run for a while.
    Pause,
    /// Something goes wrong just when a node has changed its state.
    Ambush,
    /// A node leaves cleanly and comes back.
    Leave,
    /// All are killed, and start at the same time.
    ColdStart,
    /// A machine sleeps for a while, and its clock with it.
    Suspend,
    /// What a node orders reaches nobody, and then it is cut off.
    Hole,
    /// Some connections lose one kind of datagrams.
    KindLost,
    /// A machine has no buffers for half of what it sends.
    SendErrors,
    /// A client dies or raves.
    ClientDies,
    /// A client does not read for a while.
    ClientStalls,
    /// Some connections carry only small datagrams for a while; only where sizes are probed, so
    /// not among `ALL`.
    Narrow,
    /// A node is killed, and its wall clock is set before it starts again. Like those below it has
    /// an option of its own, so it is not among `ALL`.
    ClockSet,
    /// Daemons are replaced by those of another version.
    Replace,
    /// What a node orders reaches nobody, it dies, and the next blow falls when the repair has come
    /// to a certain step; only where traps are laid, so not among `ALL`.
    Trap,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Partition,
        Self::Overlap,
        Self::OneWay,
        Self::Clog,
        Self::Swizzle,
        Self::Spoil,
        Self::MulticastOutage,
        Self::Crash,
        Self::CrashLosingDisk,
        Self::Pause,
        Self::Leave,
        Self::ColdStart,
        Self::Ambush,
        Self::Suspend,
        Self::KindLost,
        Self::SendErrors,
        Self::ClientDies,
        Self::ClientStalls,
        Self::Hole,
    ];

    /// It came last into the swarm.
    pub(crate) fn is_mischief(self) -> bool {
        matches!(
            self,
            Self::Suspend
                | Self::KindLost
                | Self::SendErrors
                | Self::ClientDies
                | Self::ClientStalls
                | Self::Hole
        )
    }

    /// No process ends by it.
    pub fn is_brief(self) -> bool {
        !matches!(
            self,
            Self::Crash
                | Self::CrashLosingDisk
                | Self::Leave
                | Self::ColdStart
                | Self::ClockSet
                | Self::Replace
        )
    }
}

/// How a fault goes, or goes on.
#[derive(Debug)]
pub(crate) enum Undo {
    Cuts(Vec<(usize, usize)>),
    Multicast(Vec<(usize, usize)>),
    Carries(Vec<((usize, usize), Carries)>),
    Resume(usize),
    Boot(usize),
    Read(usize, SessionId),
    Replace { node: usize, newer: bool },
}

impl Cluster {
    /// Plans the first fault.
    pub fn start_faults(&mut self) {
        self.lay_cables();
        self.install_software();
        self.plan_fault();
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
            let needed = all || live == 0 || (node == 0 && self.options.network.sparse_peers);
            if !self.nodes[node].runs() && (needed || self.random.permille(700)) {
                self.boot(node);
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
                self.pairs(|a, b| a < b && sets[a] != sets[b])
            }
            Lasting::Links => {
                let bad: Vec<bool> = (0..n * n).map(|_| self.random.permille(150)).collect();
                self.pairs(|a, b| a < b && bad[a * n + b])
            }
        };
        self.tell(None, &format!("CUT FOR GOOD {cuts:?}"));
        cuts.into_iter().for_each(|(a, b)| self.network.cut_for_good(a, b));
    }

    /// Cuts everything between nodes of different sets. The cuts can be given back to `mend`.
    pub fn partition(&mut self, sets: &[&[usize]]) -> Vec<(usize, usize)> {
        let set_of = |node: usize| sets.iter().position(|s| s.contains(&node));
        let cuts = self.pairs(|a, b| set_of(a) != set_of(b));
        self.tell(None, &format!("PARTITION {sets:?}"));
        self.cut(&cuts);
        cuts
    }

    /// Undoes these cuts.
    pub fn mend(&mut self, cuts: &[(usize, usize)]) {
        self.tell(None, &format!("MENDED {} connections", cuts.len()));
        for (from, to) in cuts {
            self.network.join(*from, *to);
        }
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
            // It has its own time.
            Kind::Ambush => {}
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
            Undo::Boot(node) => self.boot(node),
            Undo::Replace { node, newer } => self.replace_daemon(node, newer),
            Undo::Read(node, session) => self.read_again(node, session),
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

    pub(crate) fn pairs(&self, mut apart: impl FnMut(usize, usize) -> bool) -> Vec<(usize, usize)> {
        let n = self.nodes.len();
        let all = (0..n).flat_map(|a| (0..n).map(move |b| (a, b)));
        all.filter(|(a, b)| a != b && apart(*a, *b)).collect()
    }

    fn cut(&mut self, cuts: &[(usize, usize)]) {
        for (from, to) in cuts {
            self.network.cut(*from, *to);
        }
    }

    pub(crate) fn cut_for(&mut self, time: u64, cuts: Vec<(usize, usize)>) {
        self.cut(&cuts);
        self.plan_undo(time, Undo::Cuts(cuts));
    }

    pub(crate) fn random_partition(&mut self, time: u64) {
        let n = self.nodes.len();
        let lonely = self.random.index(n);
        let shape = self.random.below(3);
        let sets: Vec<usize> = (0..n)
            .map(|node| match shape {
                0 => usize::from(node == lonely),
                1 => node % 2,
                _ => self.random.index(3),
            })
            .collect();
        self.tell(None, &format!("PARTITION {sets:?} for {} ms", time / MS));
        let cuts = self.pairs(|a, b| sets[a] != sets[b]);
        self.cut_for(time, cuts);
    }

    /// A chain, a ring of overlapping majorities, a bridge, or some bad pairs.
    fn overlap(&mut self, time: u64) {
        let n = self.nodes.len();
        let reach = n / 2;
        let shape = self.random.below(4);
        let bad: Vec<bool> = (0..n * n).map(|_| self.random.permille(250)).collect();
        self.tell(None, &format!("OVERLAP of shape {shape} for {} ms", time / MS));
        let cuts = self.pairs(|a, b| {
            let (low, high) = (a.min(b), a.max(b));
            match shape {
                0 => high - low > 1,
                1 => (high - low).min(n - (high - low)) > reach.div_ceil(2),
                2 => low < reach && high > reach,
                _ => bad[low * n + high],
            }
        });
        self.cut_for(time, cuts);
    }

    fn one_way(&mut self, time: u64) {
        let n = self.nodes.len();
        let deaf = self.random.index(n);
        let all = self.random.coin();
        let bad: Vec<bool> = (0..n * n).map(|_| self.random.permille(150)).collect();
        let cuts = self.pairs(|a, b| if all { b == deaf } else { bad[a * n + b] });
        self.tell(None, &format!("ONE WAY {cuts:?} for {} ms", time / MS));
        self.cut_for(time, cuts);
    }

    fn hold_up(&mut self, kind: Kind, time: u64) {
        let share = self.random.pick(&[50, 300, 1_000]);
        let bad: Vec<bool> =
            (0..self.nodes.len().pow(2)).map(|_| self.random.permille(share)).collect();
        let links = self.pairs(|a, b| bad[a * self.nodes.len() + b]);
        self.tell(None, &format!("{kind:?} {} connections for {} ms", links.len(), time / MS));
        for (from, to) in links {
            let until = self.now + time;
            match kind {
                Kind::Clog => self.network.clog(from, to, until),
                _ => self.network.spoil(from, to, until),
            }
        }
    }

    fn swizzle(&mut self, time: u64) {
        let mut nodes: Vec<usize> = (0..self.nodes.len()).filter(|_| self.random.coin()).collect();
        self.random.shuffle(&mut nodes);
        self.tell(None, &format!("SWIZZLE {nodes:?} within {} ms", time / MS));
        for node in nodes {
            let cuts = self.pairs(|a, b| a == node || b == node);
            let back = self.random.between(1, time);
            self.cut_for(back, cuts);
        }
    }

    fn multicast_outage(&mut self, time: u64) {
        let from = self.random.index(self.nodes.len());
        let all = self.random.coin();
        let links = self.pairs(|a, _| all || a == from);
        self.tell(
            None,
            &format!("multicast out on {} connections for {} ms", links.len(), time / MS),
        );
        links.iter().for_each(|(a, b)| self.network.set_outage(*a, *b, true));
        self.plan_undo(time, Undo::Multicast(links));
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
