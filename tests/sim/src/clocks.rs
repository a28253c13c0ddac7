//! Wall clocks that are set while a node is down: without storage its next start may look older
//! than the last one.

use anasazi_protocol::Incarnation;

use crate::cluster::Cluster;
use crate::faults::{Kind, Undo};
use crate::options::Options;
use crate::random::Random;

const MS: u64 = 1_000_000;
/// What keeps a process running starts it again after this, in nanoseconds.
const SUPERVISED_AFTER: u64 = 100 * MS;

impl Options {
    /// Some of the swarm has clocks that are set, mostly where nothing else says what was before.
    pub(crate) fn add_clocks(&mut self, random: &mut Random) {
        if random.permille(200) && !self.restless {
            self.faults.push(Kind::ClockSet);
            self.machine.diskless |= random.permille(600);
        }
    }
}

impl Cluster {
    /// A node is killed, its clock is set, and it starts again.
    pub(crate) fn set_a_clock(&mut self, time: u64) {
        let Some(node) = self.random_live() else { return };
        let most = self.random.pick(&[1_000, 3_600_000, 86_400_000]);
        let ms = self.random.between(1, most) as i64;
        let ms = if self.random.permille(700) { -ms } else { ms };
        self.crash(node);
        if self.random.permille(300) {
            self.lose_state(node);
        }
        self.nodes[node].wall_ms += ms;
        self.tell(Some(node), &format!("its clock is set by {ms} ms"));
        self.plan_undo(time.max(2 * MS), Undo::Boot(node));
    }

    /// The process that runs at a node is older than one that ran there before.
    pub(crate) fn is_outdated(&self, node: usize) -> bool {
        let n = &self.nodes[node];
        n.incarnations.last() > Some(&n.process.incarnation)
    }

    /// The others know an earlier start of this node that was newer: it starts again above it, at
    /// once, as the real engine does.
    pub(crate) fn begin_again(&mut self, node: usize, known: Incarnation) {
        self.end_process(node, &format!("OUTDATED: others know {:x}", known.0));
        let drawn = self.random.next();
        self.nodes[node].known = Some(Incarnation::above(known, drawn));
        self.boot(node);
    }

    /// Clocks are put right, and no process goes on that is outdated: what its former self said may
    /// still come, long after all else is healed.
    pub(crate) fn put_clocks_right(&mut self) {
        for node in 0..self.nodes.len() {
            let Some(last) = self.nodes[node].incarnations.last().copied() else { continue };
            if !self.nodes[node].runs() {
                self.nodes[node].known = Some(Incarnation::above(last, 0));
            } else if self.is_outdated(node) {
                self.begin_again(node, last);
            }
        }
    }

    /// It was turned away when it met those who know better: what keeps it running starts it again.
    pub(crate) fn supervise(&mut self, node: usize) {
        self.boot_in(node, SUPERVISED_AFTER);
    }
}
